"""Lines for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmark.errors import UserError, one_line

if TYPE_CHECKING:
    from rich.console import Console


def tell(console: Console, text: object, style: str | None = None, end: str = "\n") -> None:
    """Prints text as it is: brackets are no markup, numbers have no colour, and a long line stays one."""
    console.print(text, style=style, end=end, markup=False, highlight=False, soft_wrap=True)


def told(name: str, command: Callable[[], int]) -> int:
    """The exit code of the command `name`. What went wrong is one line, and no traceback: 2 for bad input and
    for files that can't be read or written, 130 where it was interrupted."""
    try:
        return command()
    except UserError as error:
        line, code = str(error), 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        line, code = one_line(f"{place}{error.strerror or error}: mend that and start it again"), 2
    except KeyboardInterrupt:
        line, code = "interrupted", 130
    print(f"{name}: {line}", file=sys.stderr)
    return code


def check_no_arguments(arguments: Sequence[str], what: str) -> None:
    """Raises UserError where a command that takes none is given some, --help among them."""
    if arguments:
        raise UserError(f"{' '.join(arguments)}: it takes no arguments; without them it {what}")
