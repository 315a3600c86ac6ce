"""Lines for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmark.errors import UserError, reason_of

if TYPE_CHECKING:
    from rich.console import Console


def tell(console: Console, text: object, style: str | None = None, end: str = "\n") -> None:
    """Prints text as it is: brackets are no markup, numbers have no colour, and a long line stays one."""
    console.print(text, style=style, end=end, markup=False, highlight=False, soft_wrap=True)


def exit_code(module: str, work: Callable[[], int], interrupted: str = "interrupted") -> int:
    """That of `work`, the command `python -m MODULE`; 2 and one line for what the user can mend, 130 and
    `interrupted` after Ctrl-C."""
    try:
        return work()
    except UserError as error:
        line = str(error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        line = str(UserError(f"{place}{error.strerror or reason_of(error)}; mend that and start it again"))
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    print(f"{module}: {line}", file=sys.stderr)
    return 2


def check_no_arguments(arguments: Sequence[str], what: str) -> None:
    """Raises UserError where a command that takes none is given some, --help among them."""
    if arguments:
        raise UserError(f"{' '.join(arguments)}: it takes no arguments; without them it {what}")
