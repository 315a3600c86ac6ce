"""Differences of many methods to one reference over a handful of runs, and which method may be the best.

Pairing by seed buys nothing (seeds correlate by 0.1 across methods), so runs are a one-way layout and the
methods share their residual where it allows; `variances` has the rule and its reasons. Runs of several
teachers or splits (clusters) are averaged within each, and the clusters' own effects are taken out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

from benchmark.reporting.statistics.dunnett import joint_critical, joint_p
from benchmark.reporting.statistics.spread import INTERVAL_FROM, is_crossed, over_crossed
from benchmark.reporting.statistics.variances import Errors, errors_to_first

Samples = Mapping[str, Sequence[float] | np.ndarray]
Clusters = Mapping[str, Sequence[Hashable]]
Moments = tuple[int, float, float]
Verdict = Literal["above", "below", "no difference", "undecided", ""]

LEVEL = 0.05
POWER = 0.8
ROUNDING = 1e-12
"""Spreads and differences below this part of a mean are none."""


@dataclass(frozen=True)
class Difference:
    """A method minus the reference, in the unit of the values; all but the mean are nan below three runs."""

    mean: float
    n: int
    """the method's runs; with clusters the clusters that it shares with the reference"""
    se: float = math.nan
    df: float = math.nan
    low: float = math.nan
    """the 95 % interval of this difference alone"""
    high: float = math.nan
    simultaneous_low: float = math.nan
    """with `simultaneous_high`: intervals that hold for the whole family at once with 95 %"""
    simultaneous_high: float = math.nan
    p: float = math.nan
    """two-sided, of this difference alone"""
    p_adjusted: float = math.nan
    """two-sided, over the family; nan for a name outside of it"""
    smallest_visible: float = math.nan
    """the true difference that the adjusted test at 5 % finds with a chance of 80 %"""
    equivalent_within: float = math.nan
    """X such that an equivalence test says "no difference above X": the farther end of `interval`, so that it
    holds for the whole family, two one-sided tests each"""
    verdict: Verdict = ""
    """above, below: the adjusted p (outside of the family the single one) is below 0.05; no difference: it is
    not, and a difference of `smallest_visible` is ruled out (`equivalent_within` is no larger); undecided:
    neither; empty where nothing was tested"""

    @property
    def interval(self) -> tuple[float, float]:
        """The simultaneous interval; outside of the family that of the difference alone."""
        alone = math.isnan(self.simultaneous_low)
        return (self.low, self.high) if alone else (self.simultaneous_low, self.simultaneous_high)

    def among(self, count: int) -> Difference:
        """The same as one of `count` differences that are tested together, whatever they share (Šidák)."""
        if math.isnan(self.se):
            return self
        adjusted = max(self.p, _any_of(self.p, count))
        return _judged(self.mean, self.n, self.se, self.df, _critical_of(self.df, count), self.p, adjusted)


@dataclass(frozen=True)
class BestSet:
    names: tuple[str, ...]
    """which may be the best, by their means, best first: the best is among them with 95 %"""
    winner: str | None
    """marked with a chance of at most 5 % where all are equal"""
    tied: tuple[str, ...] = ()
    """the names, where several competed without a winner: even a set of one may be too unsure for that"""


def differences_to(
    samples: Samples,
    reference: str,
    family: Collection[str] | None = None,
    clusters: Clusters | None = None,
) -> dict[str, Difference]:
    """Each name's difference to the reference.

    Args:
        samples: name -> values of its runs; lengths may differ, a nan makes the difference nan.
        reference: the name that all are compared to.
        family: names that are tested together; by default all but the reference. Another name (a control) is
            compared to the reference alone: it has no part in the family's residual, so that what is said of
            the family does not hang on which controls are shown beside it.
        clusters: name -> each run's teacher or split, or (teacher, split). With two or more of them in all,
            the values are their means in each, paired by cluster; intervals then hold over clusters. Of
            several teachers crossed with several splits, every one with every other, they hold over both;
            where some have not met, or below three of either, nothing is said.
    """
    runs = _runs(samples, clusters)
    others = [name for name in samples if name != reference]
    together = others if family is None else [name for name in others if name in family]
    found = {name: _unknown(runs[name], runs[reference]) for name in others}
    found |= _described(_compared(runs, reference, together))
    for name in others:
        if name not in together:
            alone = _described(_compared(runs, reference, [name]))
            nothing = dict.fromkeys(("p_adjusted", "simultaneous_low", "simultaneous_high"), math.nan)
            found |= {key: replace(each, **nothing) for key, each in alone.items()}
    return found


def best_set(samples: Samples, higher: bool = True, clusters: Clusters | None = None) -> BestSet:
    """Multiple comparisons with the best: a name is out if another is above it, tested one-sided and jointly.

    Source: Hsu, Constrained simultaneous confidence intervals for multiple comparisons with the best, Annals
    of Statistics 1984. Each name is once the reference of all others, so the true best is ruled out with a
    chance of at most 5 %. The winner is a set of one at the level a = 5 % (k - 1) / k: where all k are
    equal, k - 1 names must be ruled out for that, and on average at most k a are.

    Args:
        samples, clusters: as in `differences_to`. Names with fewer than three runs are left out.
        higher: whether larger values are better.
    """
    sign = 1.0 if higher else -1.0
    runs = _runs({name: sign * np.asarray(values, float) for name, values in samples.items()}, clusters)
    names = [name for name in runs if runs[name].usable]
    compared = {name: _compared(runs, name, [other for other in names if other != name]) for name in names}
    names = [name for name in names if compared[name].names] if len(names) > 1 else names
    order = sorted(names, key=lambda name: -runs[name].moments[1])
    count = len(order)
    inside = tuple(name for name in order if not _beaten(compared[name], LEVEL))
    sure = [name for name in order if not _beaten(compared[name], LEVEL * (count - 1) / max(count, 1))]
    winner = sure[0] if len(sure) == 1 < count else None
    return BestSet(inside, winner, inside if winner is None and count > 1 else ())


# --- from runs to differences and their errors ---


@dataclass(frozen=True)
class _Runs:
    """Of one name: its values by place, or with clusters their means by cluster."""

    values: Mapping[Hashable, float]
    clustered: bool = False

    @property
    def usable(self) -> bool:
        return len(self.values) >= INTERVAL_FROM and math.isfinite(self.moments[1])

    @cached_property
    def moments(self) -> Moments:
        """Number, mean and variance; a spread of rounding errors is none."""
        return _moments(np.fromiter(self.values.values(), float))


@dataclass(frozen=True)
class _Compared:
    names: list[str]
    """[k], those with enough runs"""
    differences: np.ndarray
    counts: list[int]
    errors: Errors

    @property
    def statistics(self) -> np.ndarray:
        """[k]; without any spread 0 or infinite."""
        certain = np.where(self.differences == 0, 0.0, np.copysign(np.inf, self.differences))
        return np.divide(self.differences, self.errors.se, out=certain, where=self.errors.se > 0)

    def critical(self) -> np.ndarray:
        """[k], what the sizes of the statistics exceed with a chance of 5 % in all."""
        errors, count = self.errors, len(self.names)
        if errors.pooled:
            loadings = tuple(np.sort(errors.loadings.round(12)).tolist())
            return np.full(count, joint_critical(LEVEL, loadings, float(errors.df[0])))
        return np.array([_critical_of(df, count) for df in errors.df])


def _runs(samples: Samples, clusters: Clusters | None) -> dict[str, _Runs]:
    """With fewer than two clusters in all each value is for itself."""
    labels = {label for name in samples for label in clusters[name]} if clusters else set()
    if clusters is None or len(labels) < 2:
        return {name: _Runs(dict(enumerate(map(float, values)))) for name, values in samples.items()}
    runs = {}
    for name, values in samples.items():
        within: dict[Hashable, list[float]] = {}
        for label, value in zip(clusters[name], values, strict=True):
            within.setdefault(label, []).append(float(value))
        runs[name] = _Runs({label: sum(of) / len(of) for label, of in within.items()}, clustered=True)
    return runs


def _moments(values: np.ndarray) -> Moments:
    if len(values) < 2:
        return len(values), float(values.sum()) if len(values) else math.nan, math.nan
    mean = float(values.mean())
    if not math.isfinite(mean):
        return len(values), mean, math.nan
    variance = float(((values - mean) ** 2).sum()) / (len(values) - 1)
    return len(values), mean, variance if variance > (ROUNDING * mean) ** 2 else 0.0


def _unknown(ours: _Runs, theirs: _Runs) -> Difference:
    """The difference of means without a word on its error."""
    if ours.clustered:
        shared = ours.values.keys() & theirs.values.keys()
        ours, theirs = (_Runs({label: each.values[label] for label in shared}) for each in (ours, theirs))
    return Difference(ours.moments[1] - theirs.moments[1], len(ours.values))


def _compared(runs: Mapping[str, _Runs], reference: str, names: Sequence[str]) -> _Compared:
    """The differences to the reference of those names that have enough runs (or shared clusters)."""
    base = runs[reference]
    usable = [name for name in names if runs[name].usable] if base.usable else []
    if base.clustered:
        return _over_clusters(runs, base.values, usable)
    moments = [base.moments, *(runs[name].moments for name in usable)]
    return _one_way(usable, moments, sum(count for count, _, _ in moments) - len(moments))


def _one_way(
    names: list[str], moments: Sequence[Moments], residual_df: int, pool: bool | None = None
) -> _Compared:
    """From [1 + k] moments, the reference's first."""
    counts, means, variances = (np.array(each) for each in zip(*moments, strict=True))
    differences = means[1:] - means[0]
    differences[np.abs(differences) <= ROUNDING * abs(means[0])] = 0.0
    errors = errors_to_first(variances, counts, residual_df, pool)
    return _Compared(names, differences, counts[1:].tolist(), errors)


def _over_clusters(
    runs: Mapping[str, _Runs], base: Mapping[Hashable, float], names: Sequence[str]
) -> _Compared:
    """With the effects of clusters taken out: the model method + cluster.

    In the residuals of G methods and J clusters each method's variance is smaller by about (G - 1) / G, and
    (G - 1)(J - 1) degrees of freedom are left; scaled up, they serve the one-way formulas, and where the
    variances agree the result is the least squares fit's. A method without some of the reference's clusters
    has no place in that table: then all are compared by the paired differences of the clusters they share.
    """
    shared = {name: [label for label in base if label in runs[name].values] for name in names}
    names = [name for name in names if len(shared[name]) >= INTERVAL_FROM]
    if is_crossed([label for label in base if isinstance(label, tuple)]):
        return _over_crossed(runs, base, names)
    if all(len(shared[name]) == len(base) for name in names):
        columns = [list(base.values()), *([runs[name].values[label] for label in base] for name in names)]
        table = np.array(columns)  # [G, J]
        means = table.mean(1, keepdims=True)
        residuals = table - means - table.mean(0) + table.mean()
        scaled = means + residuals * math.sqrt(len(table) / max(len(table) - 1, 1))
        pool = True if len(table) == 2 else None  # the two residuals are one another's negative
        return _one_way(names, [_moments(row) for row in scaled], (len(table) - 1) * (len(base) - 1), pool)
    differences = [[runs[name].values[label] - base[label] for label in shared[name]] for name in names]
    moments = [_moments(np.array(each)) for each in differences]
    counts, means, variances = (np.array(each) for each in zip(*moments, strict=True))
    errors = Errors(np.sqrt(variances / counts), counts - 1.0, np.zeros(len(names)), pooled=False)
    return _Compared(names, means, counts.tolist(), errors)


def _over_crossed(runs: Mapping[str, _Runs], base: Mapping[Any, float], names: Sequence[str]) -> _Compared:
    """Clusters (teacher, split) of several teachers and several splits, each with each: both are samples."""
    cells = {
        name: {
            label: runs[name].values[label] - own for label, own in base.items() if label in runs[name].values
        }
        for name in names
    }
    known = {name: error for name in names if (error := over_crossed(cells[name])) is not None}
    means = np.array([sum(cells[name].values()) / len(cells[name]) for name in known])
    se, df = (np.array([error[k] for error in known.values()]) for k in (0, 1))
    errors = Errors(se, df, np.zeros(len(known)), pooled=False)
    return _Compared(list(known), means, [len(cells[name]) for name in known], errors)


# --- from errors to words ---


def _described(compared: _Compared) -> dict[str, Difference]:
    if not compared.names:
        return {}
    mean, se, df = compared.differences, compared.errors.se, compared.errors.df
    statistics = np.abs(compared.statistics)
    single = 2 * stdtr(df, -statistics)
    if compared.errors.pooled:
        joint = joint_p(np.minimum(statistics, 1e6), compared.errors.loadings, float(df[0]))
    else:
        joint = np.array([_any_of(p, len(mean)) for p in single])
    adjusted = np.clip(joint, single, 1.0)
    lines = zip(mean, compared.counts, se, df, compared.critical(), single, adjusted, strict=True)
    return {name: _judged(*line) for name, line in zip(compared.names, lines, strict=True)}


def _any_of(p: float, count: int) -> float:
    """The chance that the smallest of `count` independent p is no larger; of others, at most (Šidák)."""
    return -math.expm1(count * math.log1p(-min(p, 1 - 1e-16)))


def _critical_of(df: float, count: int) -> float:
    """What the sizes of `count` t statistics exceed with a chance of 5 % in all, or less (Šidák)."""
    return float(-stdtrit(df, -math.expm1(math.log1p(-LEVEL) / count) / 2))


def _judged(
    mean: float, n: int, se: float, df: float, critical: float, single: float, adjusted: float
) -> Difference:
    """What is said of a difference whose p alone is `single`, and over its family `adjusted`.

    critical   what t exceeds by chance in 5 % of such families
    """
    half, wide = stdtrit(df, 1 - LEVEL / 2) * se, critical * se
    visible, within = nctdtrinc(df, 1 - POWER, critical) * se, abs(mean) + wide
    verdict: Verdict = "no difference" if within <= visible else "undecided"
    if adjusted < LEVEL:
        verdict = "above" if mean > 0 else "below"
    return Difference(
        mean=float(mean),
        n=n,
        se=float(se),
        df=float(df),
        low=float(mean - half),
        high=float(mean + half),
        simultaneous_low=float(mean - wide),
        simultaneous_high=float(mean + wide),
        p=float(single),
        p_adjusted=float(adjusted),
        smallest_visible=float(visible),
        equivalent_within=float(within),
        verdict=verdict,
    )


def _beaten(compared: _Compared, level: float) -> bool:
    """Whether some method is above the reference, one-sided, over all of them."""
    if not compared.names:
        return False
    count, p = len(compared.names), stdtr(compared.errors.df, -compared.statistics)
    smallest = float(p.min())
    if not compared.errors.pooled:
        return smallest < -math.expm1(math.log1p(-level) / count)  # Šidák
    if smallest >= level or smallest * count < level:  # no need of the integral: p <= joint <= count p
        return smallest < level
    largest = np.array([compared.statistics.max()])
    return float(joint_p(largest, compared.errors.loadings, float(compared.errors.df[0]), 1)[0]) < level
