"""Where the suite stands, and what its command is called: `run_all.py` in a checkout, else `wcord-bench`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder of `CODE`; a checkout has `results` and `docs` there, too."""
CODE = ("benchmark", "baselines", "tasks")
"""The folders whose every file may be code that runs."""
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
