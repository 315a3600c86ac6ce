"""Where a hyper-parameter may be searched: a range or a choice, with the source of its default; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """The search range of a numeric hyper-parameter and the source of its default; goes into Annotated."""

    low: float
    high: float
    log: bool = False
    source: str = ""


@dataclass(frozen=True)
class Choice:
    """The values that a categorical hyper-parameter may take and where its default comes from.

    None where it is an open name. Tuning varies numbers alone: a word or a switch is another form of the
    method, and is set by hand.
    """

    values: tuple[Any, ...]
    source: str = ""
