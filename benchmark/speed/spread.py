"""Numbers of several repeats: their medians, how far they spread, and ratios of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.speed.bench import Timing


@dataclass(frozen=True)
class Spread:
    """One number per repeat."""

    each: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.each)

    def __truediv__(self, other: Spread) -> float:
        """The median of the ratios, repeat by repeat: what else ran then has slowed both down."""
        return statistics.median(a / b for a, b in zip(self.each, other.each, strict=True))

    def __str__(self) -> str:
        median, least, most = (f"{x:.{0 if self.median >= 100 else 1}f}" for x in
                               (self.median, min(self.each), max(self.each)))  # fmt: skip
        return median if len(self.each) == 1 else f"{median} ({least}–{most})"

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "median": self.median,
            "min": min(self.each),
            "max": max(self.each),
            "each": list(self.each),
        }


def spread(timings: Iterable[Timing], of: Callable[[Timing], float]) -> Spread:
    """One number of each timing."""
    return Spread(tuple(of(each) for each in timings))


def total(spreads: Iterable[Spread]) -> Spread:
    """Sums, repeat by repeat."""
    return Spread(tuple(map(sum, zip(*(each.each for each in spreads), strict=True))))
