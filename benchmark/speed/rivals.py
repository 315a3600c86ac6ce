"""Times the parts that baselines share beside other code: `baselines/_comparisons.py` brings both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from benchmark import plugins
from benchmark.contracts import Comparison
from benchmark.ranks import Fabric
from benchmark.speed.bench import wait

LEAST = 0.02
"""Seconds that a repeat takes at least: quick ones are called as often as that takes."""


@dataclass(frozen=True)
class Compared:
    """A comparison with its milliseconds per call, one of each side per repeat, in turns."""

    comparison: Comparison
    ours: list[float]
    theirs: list[float]
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether both compute the same, within the tolerance."""
        return self.difference <= self.comparison.tolerance


def known_comparisons(fabric: Fabric, say: Callable[[str], None]) -> Iterable[Comparison]:
    """Those of the plugins; `say` is told what is left out."""
    file = plugins.COMPARISONS
    return import_module(f"{file.parent.name}.{file.stem}").comparisons(fabric.device, say)


def compare(comparisons: Iterable[Comparison], fabric: Fabric, repeats: int) -> list[Compared]:
    """Times both sides of each, after one call that nobody times."""
    done = []
    for each in comparisons:
        difference = each.difference(each.ours(), each.theirs())
        often = [max(1, round(LEAST / _seconds(way, 1, fabric))) for way in (each.ours, each.theirs)]
        times = [
            [
                1000 * _seconds(way, count, fabric)
                for way, count in zip((each.ours, each.theirs), often, strict=True)
            ]
            for _ in range(repeats)
        ]
        ours, theirs = map(list, zip(*times, strict=True))
        done.append(Compared(each, ours, theirs, difference))
    return done


def _seconds(way: Callable[[], object], count: int, fabric: Fabric) -> float:
    """Per call, over `count` of them."""
    wait(fabric)
    began = time.perf_counter()
    for _ in range(count):
        way()
    wait(fabric)
    return (time.perf_counter() - began) / count
