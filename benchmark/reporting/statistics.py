"""Statistics over seeds: what a table's cell says about a handful of runs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Summary:
    """A sample in four numbers and an interval; all in the unit of the values."""

    mean: float
    sd: float
    """sample standard deviation, ddof = 1; nan for n = 1"""
    n: int
    low: float
    """the 95 % t interval of the mean; nan for n = 1"""
    high: float


def summarise(values: Iterable[float | None], level: float = 0.95) -> Summary:
    """Mean, sample standard deviation and t interval of the mean: mean ± t_{n-1} sd / sqrt(n).

    None stands for a value that was not measured, and is left out of n; a nan is a result: the mean is nan.
    """
    sample = np.array([value for value in values if value is not None], dtype=float)
    if sample.size == 0:
        return Summary(math.nan, math.nan, 0, math.nan, math.nan)
    mean = float(sample.mean())
    if sample.size == 1:
        return Summary(mean, math.nan, 1, math.nan, math.nan)
    sd = float(sample.std(ddof=1))
    half = float(stdtrit(sample.size - 1, (1 + level) / 2)) * sd / math.sqrt(sample.size)
    return Summary(mean, sd, int(sample.size), mean - half, mean + half)


def paired_differences(values: Mapping[int, float], anchor: Mapping[int, float]) -> list[float]:
    """`values - anchor` for each seed that both have, in the order of the seeds."""
    return [values[seed] - anchor[seed] for seed in sorted(values.keys() & anchor.keys())]
