"""Dunnett's joint distribution: many methods against one reference, all with one pooled variance.

The statistics T_j = (mean_j - mean_0) / (s sqrt(1/n_j + 1/n_0)) share the reference's mean and s. Given both
they are independent: the chance that all stay below a bound is a product, averaged over a normal and a chi.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, gammaln, ndtr, stdtrit

NORMAL_NODES, CHI_NODES = 40, 48


def joint_p(statistics: np.ndarray, loadings: np.ndarray, df: float, sides: int = 2) -> np.ndarray:
    """P(max_j |T_j| >= |t|) (two-sided) or P(max_j T_j >= t) (one-sided) for each t.

    Source: Dunnett, A multiple comparison procedure for comparing several treatments with a control,
    JASA 1955.

    Args:
        statistics: [m], the values t.
        loadings: [k], the correlation of T_j with the reference's mean, sqrt(n_j / (n_j + n_0)); the
            correlation of two statistics is the product of their loadings.
        df: degrees of freedom of the pooled variance.
        sides: 1 or 2.

    Returns:
        p values [m], within 1e-5 of the integral.
    """
    shared, weights = _normal_nodes()
    if sides == 2:  # the product is even in the reference's mean
        shared, weights = shared[: len(shared) // 2], 2 * weights[: len(shared) // 2]
    scales, scale_weights = _chi_nodes(df)
    distinct, counts = np.unique(loadings.round(12), return_counts=True)
    below = np.ones((len(statistics), len(shared), len(scales)))
    for loading, count in zip(distinct, counts, strict=True):
        rest, moved = np.sqrt(1 - loading**2), loading * shared[:, None]
        bound = (np.abs(statistics) if sides == 2 else statistics)[:, None, None] * scales
        chance = ndtr((bound + moved) / rest)
        if sides == 2:
            chance = chance - ndtr((moved - bound) / rest)
        below *= chance**count
    return np.clip(np.einsum("z,mzs,s->m", weights, 1 - below, scale_weights), 0, 1)


@lru_cache(maxsize=4096)
def joint_critical(level: float, loadings: tuple[float, ...], df: float, sides: int = 2) -> float:
    """The c with joint_p(c) = level."""
    array = np.asarray(loadings)
    # Between the bound for one method and Bonferroni's.
    low = float(stdtrit(df, 1 - level / sides)) - 1e-6
    high = float(stdtrit(df, 1 - level / sides / len(loadings))) + 1e-6
    if len(loadings) == 1:
        return low + 1e-6
    ends = joint_p(np.array([low, high]), array, df, sides) - level
    return _root(
        lambda c: float(joint_p(np.array([c]), array, df, sides)[0]) - level, low, high, *ends.tolist()
    )


def _root(
    function: Callable[[float], float], low: float, high: float, at_low: float, at_high: float
) -> float:
    """Where a falling function is 0, by the Illinois rule (importing scipy.optimize takes long)."""
    middle, side = low, 0
    for _ in range(60):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        value = function(middle)
        if abs(value) < 1e-9:
            break
        if value > 0:  # an end that stays for a second time counts half
            low, at_low, at_high = middle, value, at_high / (1 + (side > 0))
            side = 1
        else:
            high, at_high, at_low = middle, value, at_low / (1 + (side < 0))
            side = -1
    return middle


@lru_cache(maxsize=1)
def _normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(NORMAL_NODES)
    return nodes, weights / weights.sum()


@lru_cache(maxsize=512)
def _chi_nodes(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of sqrt(chi2_df / df): Gauss-Legendre on its logarithm, between far quantiles."""
    low, high = (0.5 * np.log(chdtri(df, tail) / df) for tail in (1 - 1e-12, 1e-13))
    nodes, weights = np.polynomial.legendre.leggauss(CHI_NODES)
    logs = low + (nodes + 1) / 2 * (high - low)
    scales = np.exp(logs)
    density = np.exp(df / 2 * np.log(df / 2) - gammaln(df / 2) + df * logs - df * scales**2 / 2)
    weights = weights * density
    return scales, weights / weights.sum()
