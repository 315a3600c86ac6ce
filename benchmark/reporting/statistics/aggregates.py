"""Scores over several tasks as one number with an interval; seeds are drawn anew within each stratum.

Source: Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021.
Runs are a sequence with one array of normalised scores (0: chance, 1: the teacher) for each stratum: a task,
or one of several conditions of a task. Strata may have different numbers of seeds; each counts by its
weight, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Runs = Sequence[Sequence[float] | np.ndarray]
Weights = Sequence[float] | None
"""one for each stratum; None: all alike"""

TAILS = ((1 - 0.95) / 2, (1 + 0.95) / 2)
"""Ends of a 95 % interval, as shares of the draws."""
DRAWS = 2000


@dataclass(frozen=True)
class Aggregate:
    value: np.ndarray
    """a number, or [thresholds]"""
    low: np.ndarray
    """the stratified bootstrap's percentile interval; it holds over seeds, the tasks being these"""
    high: np.ndarray


def interquartile_mean(runs: Runs, weights: Weights = None, draws: int = DRAWS, seed: int = 0) -> Aggregate:
    """The mean of the middle half of all runs: outliers weigh less, and a median wastes more.

    A run counts by its stratum's weight, divided by the runs there; one on the border counts in part.
    """
    shares = [
        weight / len(own) for own, weight in zip(runs, _weights(runs, weights), strict=True) if len(own)
    ]
    each = np.repeat(shares, [len(own) for own in runs if len(own)])

    def middle(drawn: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        scores = np.concatenate(drawn[0], axis=-1)
        order = np.argsort(scores, axis=-1)
        ends = np.cumsum(each[order], axis=-1)
        kept = np.clip(ends, 0.25, 0.75) - np.clip(ends - each[order], 0.25, 0.75)
        return (kept * np.take_along_axis(scores, order, axis=-1)).sum(-1) / kept.sum(-1)

    return _bootstrapped([runs], middle, draws, seed)


def performance_profile(
    runs: Runs, thresholds: Sequence[float] | np.ndarray, weights: Weights = None
) -> Aggregate:
    """The share of runs above each threshold tau."""
    levels = np.asarray(thresholds, float)

    def shares(drawn: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        # Seeds first: to average over the first axis is several times as fast.
        each = [(np.moveaxis(own, -1, 0)[..., None] > levels).mean(0) for own in drawn[0]]
        return np.average(each, axis=0, weights=_weights(runs, weights))

    return _bootstrapped([runs], shares)


def improvement(runs: Runs, others: Runs, weights: Weights = None) -> Aggregate:
    """P(X > Y) + P(X = Y) / 2 for two runs of one stratum, averaged over strata (both in the same order)."""

    def probability(drawn: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        each = []
        for ours, theirs in zip(*drawn, strict=True):
            ahead = ours[..., :, None] - theirs[..., None, :]
            each.append(((ahead > 0) + 0.5 * (ahead == 0)).mean((-2, -1)))
        return np.average(each, axis=0, weights=_weights(runs, weights))

    return _bootstrapped([runs, others], probability)


def _weights(runs: Runs, weights: Weights) -> np.ndarray:
    """[strata], with a sum of 1."""
    found = np.ones(len(runs)) if weights is None else np.asarray(weights, float)
    return found / found.sum()


def _bootstrapped(
    matrices: Sequence[Runs],
    statistic: Callable[[Sequence[Sequence[np.ndarray]]], np.ndarray],
    draws: int = DRAWS,
    seed: int = 0,
) -> Aggregate:
    """The statistic of the runs, and its quantiles over draws of seeds with replacement within each stratum.

    Args:
        statistic: takes matrices of strata [..., seeds] and returns [...] or [..., thresholds].
    """
    arrays = [[np.asarray(stratum, float) for stratum in runs] for runs in matrices]
    if not arrays[0] or any(not stratum.size for runs in arrays for stratum in runs):
        raise ValueError("an aggregate needs at least one stratum, and of each at least one run")
    draw = np.random.default_rng(seed)
    drawn = [
        [stratum[draw.integers(stratum.size, size=(draws, stratum.size))] for stratum in runs]
        for runs in arrays
    ]  # [draws, seeds] for each stratum
    low, high = np.quantile(statistic(drawn), TAILS, axis=0)
    return Aggregate(np.asarray(statistic(arrays)), low, high)


def grouped_bootstrap_intervals(
    differences: Mapping[Key, np.ndarray],
    groups: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[Key, tuple[float, float]]:
    """95 % percentile intervals of mean differences over seeds and groups of test samples (subjects, scenes).

    Samples of one subject are alike, so whole groups are drawn, with replacement; a draw's mean is over the
    samples it holds (Field and Welsh, Bootstrapping clustered data, JRSS B 2007).

    Args:
        differences: name -> [S, N], how much better than another a baseline does sample n with seed s. All
            share N, and the draws of groups.
        groups: [N], the group of each sample; without them each sample is a group of its own.

    Returns:
        name -> (low, high) in the unit of the differences; nan for a single group.
    """
    (count,) = {array.shape[1] for array in differences.values()}
    labels = np.arange(count) if groups is None else np.asarray(groups)
    if len(labels) != count:
        raise ValueError(f"{len(labels)} group labels for {count} samples")
    _, group_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return dict.fromkeys(differences, (np.nan, np.nan))
    sums = {
        name: np.stack([np.bincount(group_of, weights=row, minlength=len(sizes)) for row in array])
        for name, array in differences.items()
    }  # [S, groups]
    draw = np.random.default_rng(seed)
    means: dict[Key, list[np.ndarray]] = {name: [] for name in differences}
    for start in range(0, draws, 100):  # in parts: the weights of a part are [100, groups]
        part = min(100, draws - start)
        times = draw.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=part)
        held = times @ sizes
        for name, array in sums.items():
            seeds = draw.multinomial(len(array), np.full(len(array), 1 / len(array)), size=part)
            weighted = (times @ array.T) / held[:, None]  # [part, S]
            means[name].append((weighted * seeds).sum(1) / len(array))
    return {name: tuple(np.quantile(np.concatenate(parts), TAILS).tolist()) for name, parts in means.items()}
