"""Lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def tell(console: Console, text: object, style: str | None = None, end: str = "\n") -> None:
    """Prints text as it is: brackets are no markup, numbers have no colour, and a long line stays one."""
    console.print(text, style=style, end=end, markup=False, highlight=False, soft_wrap=True)
