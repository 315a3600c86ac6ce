"""Statistics over seeds and test samples: what a cell or a comparison says about a handful of runs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.special import stdtr, stdtrit

Key = TypeVar("Key", bound=Hashable)

INTERVAL_FROM = 3
"""With fewer seeds, or clusters of them, nothing is compared: the t interval of two is nine times as wide as
their distance."""

BOOTSTRAP_FROM = 5
"""With fewer seeds a bootstrap over them covers too little: at three, 0.82 to 0.85 instead of 0.95."""


@dataclass(frozen=True)
class Estimate:
    """A sample in four numbers and an interval; all in the unit of the values."""

    mean: float
    sd: float
    """sample standard deviation, ddof = 1; nan for n = 1"""
    n: int
    low: float
    """the 95 % t interval of the mean; nan for n = 1"""
    high: float


def estimate_of(values: Iterable[float | None]) -> Estimate:
    """Mean, sample standard deviation and 95 % t interval of the mean: mean ± t_{n-1} sd / sqrt(n).

    None stands for a value that was not measured, and is left out of n; with a nan the mean is nan.
    """
    sample = np.array([value for value in values if value is not None], dtype=float)
    if sample.size == 0:
        return Estimate(math.nan, math.nan, 0, math.nan, math.nan)
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, math.nan, 1, math.nan, math.nan)
    sd = float(sample.std(ddof=1))
    half = float(stdtrit(sample.size - 1, 0.975)) * sd / math.sqrt(sample.size)
    return Estimate(mean, sd, int(sample.size), mean - half, mean + half)


def is_crossed(cells: Iterable[tuple[str, ...]]) -> bool:
    """Whether cells (teacher, split) share teachers or splits, so that they are no independent sample."""
    cells = set(cells)
    return any(len(set(factor)) < len(cells) for factor in zip(*cells, strict=True))


def over_crossed(cells: Mapping[tuple[str, ...], float]) -> tuple[float, float] | None:
    """The standard error and degrees of freedom of the mean of values (teacher, split) -> value.

    Teachers and splits are both samples: the variance is that of the teachers' means over their number plus
    the same of the splits. What single cells vary is in both, so that it is rather too large. Degrees of
    freedom are Satterthwaite's. None where not every teacher met every split, or below three of either.

    Source: Cameron, Gelbach and Miller, Robust inference with multiway clustering, JBES 2011, without the
    third term.
    """
    factors = [sorted(set(factor)) for factor in zip(*cells, strict=True)]
    counts = [len(names) for names in factors]
    if len(factors) != 2 or min(counts) < INTERVAL_FROM or len(cells) < math.prod(counts):
        return None
    table = np.array([[cells[first, second] for second in factors[1]] for first in factors[0]])
    parts = [float(table.mean(axis).var(ddof=1)) / len(table.mean(axis)) for axis in (1, 0)]
    squares = sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return math.sqrt(sum(parts)), sum(parts) ** 2 / squares if squares else float(min(counts) - 1)


def over_clusters(means: Mapping[tuple[str, ...], float]) -> Estimate:
    """The mean over clusters and its 95 % interval; nan for an interval that crossed ones don't give."""
    estimate = estimate_of(means.values())
    if not means or not is_crossed(means):
        return estimate
    error = over_crossed(means)
    half = math.nan if error is None else float(stdtrit(error[1], 0.975)) * error[0]
    return replace(estimate, low=estimate.mean - half, high=estimate.mean + half)


def paired_differences(values: Mapping[Key, float], anchor: Mapping[Key, float]) -> list[float]:
    """`values - anchor` for each seed that both have, in their order."""
    both = sorted(values.keys() & anchor.keys())  # pyright: ignore[reportArgumentType]
    return [values[seed] - anchor[seed] for seed in both]


def t_test(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t test that the mean of [n] differences is 0; nan below two.

    Differences that are all the same have no spread to test with: p is 1 where they are 0, else 0.
    """
    sample = np.asarray(differences, dtype=float)
    if sample.size < 2:
        return math.nan
    mean, sd = float(sample.mean()), float(sample.std(ddof=1))
    if sd == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / (sd / math.sqrt(sample.size))
    return float(2 * stdtr(sample.size - 1, -abs(t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of one family (Holm, 1979), in the given order; nan stays nan and does not count."""
    adjusted = [math.nan] * len(p_values)
    order = sorted((p, k) for k, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for place, (p, k) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p))
        adjusted[k] = largest
    return adjusted


def normalised(value: float, scratch: float, teacher: float) -> float:
    """The share of the way from scratch (0) to the teacher (1); nan where the two don't differ.

    What may be averaged over tasks; above 1 the student is better than its teacher.
    """
    return (value - scratch) / (teacher - scratch) if teacher != scratch else math.nan


def probability_of_improvement(values: Iterable[float], others: Iterable[float]) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of seeds (Agarwal et al., NeurIPS 2021); nan without values."""
    ours, theirs = np.asarray(list(values))[:, None], np.asarray(list(others))[None, :]
    if not ours.size or not theirs.size:
        return math.nan
    return float(((ours > theirs) + 0.5 * (ours == theirs)).mean())
