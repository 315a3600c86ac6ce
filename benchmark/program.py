"""What the command is called: `run_all.py` in a checkout, `wcord-bench` where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

INSTALLED = "wcord-bench"
CHECKOUT = "run_all.py"


def program() -> str:
    """The name in messages."""
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path(CHECKOUT)
    installed = started.stem == INSTALLED or started.parent.name == "wcord_bench"
    return INSTALLED if installed else CHECKOUT


def command() -> list[str]:
    """What a user types to run it again."""
    return [INSTALLED] if program() == INSTALLED else ["python", CHECKOUT]
