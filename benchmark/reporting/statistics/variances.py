"""How sure a difference to a reference is: one variance for all methods where they agree, else their own.

The rule was chosen by simulation (`benchmark.reporting.statistics.calibration` prints the figures):

1. Variances agree if neither Bartlett's test nor the F test that the reference's is the larger one has a
   p below 0.4. Then all are pooled. At three seeds a tenfold variance often goes unseen at a usual level, and
   the pooled test would be wrong in 12 % (one method large) or 23 % (the reference large) of families.
2. Otherwise each method's variance is moderated with at most ONE prior degree of freedom (limma's own d0 is
   liberal with one large variance: 11 %), the reference, which enters all differences, keeps its own, and the
   degrees of freedom are Satterthwaite's.
3. Fewer than four groups have too little to share: their own variances serve, as in Welch's test. So they
   do where a method has over twice as many degrees of freedom as another: a large variance of the one with
   few would go unseen (10 % of families with 3 runs beside 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, digamma, fdtrc, polygamma

AGREE_ABOVE = 0.4
MOST_PRIOR_DF = 1.0
FEWEST_TO_SHARE = 4


@dataclass(frozen=True)
class Errors:
    """Of the differences of k methods to the reference."""

    se: np.ndarray
    """[k], standard errors"""
    df: np.ndarray
    """[k], their degrees of freedom"""
    loadings: np.ndarray
    """[k], correlations with the reference's mean"""
    pooled: bool
    """whether one variance serves all: then the joint distribution is Dunnett's"""


@dataclass(frozen=True)
class Prior:
    """What the variances of all methods say about one: s_i^2 ~ location F(d_i, df)."""

    df: float
    """infinite where the variances differ by no more than chance"""
    location: float
    """exp of the mean of log s_i^2, each freed of its bias digamma(d_i / 2) - log(d_i / 2)"""

    @property
    def scale(self) -> float:
        """limma's s0^2; only for finite df below the location."""
        half = self.df / 2
        return self.location if math.isinf(half) else self.location * math.exp(digamma(half) - math.log(half))


def prior_of(variances: np.ndarray, dfs: np.ndarray) -> Prior:
    """The prior of variances [G] with degrees of freedom [G], by the moments of log s^2.

    Source: Smyth, Linear models and empirical Bayes methods for assessing differential expression, SAGMB
    2004, section 6.2. As in limma, a variance of zero counts as 1e-5 of the median.
    """
    usual = float(np.median(variances)) or float(variances.max())
    if usual == 0:
        return Prior(math.inf, 0.0)
    logs = np.log(np.maximum(variances, 1e-5 * usual)) - digamma(dfs / 2) + np.log(dfs / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, dfs / 2).mean()) if len(logs) > 1 else 0.0
    df = 2 * _trigamma_inverse(excess) if excess > 0 else math.inf
    return Prior(df, math.exp(float(logs.mean())))


def moderated(variances: np.ndarray, dfs: np.ndarray, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
    """(d0 location + d_i s_i^2) / (d0 + d_i) and d0 + d_i, with d0 half of the prior's, at most one.

    Half, because d0 itself is an estimate: with tenfold standard deviations in half of the methods all of it
    gives 8 % of wrong families at three seeds, half of it 6 %.
    """
    weight = min(MOST_PRIOR_DF, prior.df / 2)
    return (weight * prior.location + dfs * variances) / (weight + dfs), weight + dfs


def agree(variances: np.ndarray, dfs: np.ndarray) -> bool:
    """Whether variances [G], the reference's first, may be pooled: Bartlett's test, and F for the first."""
    if len(set(variances.tolist())) == 1:
        return True
    if not variances.all():
        return False
    total, count = dfs.sum(), len(dfs)
    pooled = float(dfs @ variances) / total
    correction = 1 + ((1 / dfs).sum() - 1 / total) / (3 * (count - 1))
    # Where variances are equal but for rounding, it may come out below 0.
    bartlett = max(0.0, (total * math.log(pooled) - dfs @ np.log(variances)) / correction)
    others = float(dfs[1:] @ variances[1:]) / dfs[1:].sum()
    larger = fdtrc(dfs[0], dfs[1:].sum(), variances[0] / others)
    return bool(min(chdtrc(count - 1, bartlett), larger) > AGREE_ABOVE)


def errors_to_first(
    variances: np.ndarray, counts: np.ndarray, residual_df: float, pool: bool | None = None
) -> Errors:
    """Errors of the differences of means to the first one's.

    Args:
        variances: [1 + k], the reference's first.
        counts: [1 + k], how many values each mean is of, 2 or more.
        residual_df: degrees of freedom of the pooled variance.
        pool: whether to pool; by default where four or more variances agree.
    """
    dfs = counts - 1.0
    shared = len(counts) >= FEWEST_TO_SHARE and dfs.max() <= 2 * dfs.min()
    pooled = shared and agree(variances, dfs) if pool is None else pool
    if pooled:
        used = np.full(len(dfs), float(dfs @ variances) / dfs.sum())
        df = np.full(len(dfs) - 1, float(residual_df))
    else:
        used, used_df = variances.copy(), dfs.copy()
        if shared:
            used, used_df = moderated(variances, dfs, prior_of(variances, dfs))
            used[0], used_df[0] = variances[0], dfs[0]
        parts = used / counts
        squares = parts**2 / used_df
        with np.errstate(invalid="ignore"):  # both zero
            df = (parts[1:] + parts[0]) ** 2 / (squares[1:] + squares[0])
        df = np.minimum(np.nan_to_num(df, nan=1.0), residual_df)
    ours, theirs = used[1:] / counts[1:], used[0] / counts[0]
    se = np.sqrt(ours + theirs)
    loadings = np.sqrt(np.divide(theirs, se**2, out=np.zeros_like(se), where=se > 0))
    return Errors(se, df, loadings, bool(pooled))


def _trigamma_inverse(value: float) -> float:
    """The x with trigamma(x) = value > 0, by Newton's steps on 1 / trigamma (Smyth 2004, appendix)."""
    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x
