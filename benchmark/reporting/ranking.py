"""Ranks over blocks: Friedman's test and Nemenyi's, as Demšar (JMLR 2006) asks for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmark.reporting.panels import Panel, contests
from benchmark.reporting.rows import ResultRow, grouped

FEWEST_BLOCKS = 5
FEWEST_BASELINES = 3


@dataclass(frozen=True)
class Ranking:
    """Average ranks of baselines over complete blocks (1 is best), or the reason why there are none."""

    reason: str = ""
    """why nothing is ranked; empty where something is"""
    blocks: int = 0
    ranks: Mapping[str, float] = field(default_factory=dict)
    """name -> average rank, best first; a baseline's title, with its own name where others have that title"""
    statistic: float = math.nan
    """Friedman's chi squared"""
    p: float = math.nan
    """nan where all baselines are level in every block"""
    critical_difference: float = math.nan
    """average ranks that differ by less can't be told apart (Nemenyi, 5 %)"""
    pairwise: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """two names -> Nemenyi's p"""
    left_out: tuple[str, ...] = ()
    """names without a mean in every block: runs did not finish, diverged or failed there, or are missing"""


def rank(panels: Iterable[Panel]) -> Ranking:
    """Ranks the baselines of all datasets by their means over seeds; a block is a dataset.

    Pairs and conditions of one dataset are no new evidence: their scores, each from 0 for the worst baseline
    to 1 for the best, are averaged. Only rows with default hyper-parameters enter, and of
    these only baselines with a mean in every block. Blocks of fewer than two such baselines don't count.
    """
    untuned = (panel for panel in contests(panels) if panel.rows[0].condition["tuning"] == "default")
    by_dataset = grouped(untuned, lambda panel: (panel.block.task, panel.block.dataset))
    blocks = [scores for own in by_dataset.values() if len(scores := _of_dataset(own)) > 1]
    if len(blocks) < FEWEST_BLOCKS:
        return Ranking(
            f"not drawn: {len(blocks)} dataset{'s' * (len(blocks) != 1)}, {FEWEST_BLOCKS} are needed"
        )
    names = _names(row for own in by_dataset.values() for panel in own for row in panel.rows)
    baselines = list(dict.fromkeys(baseline for scores in blocks for baseline in scores))
    complete = [baseline for baseline in baselines if all(baseline in scores for scores in blocks)]
    left_out = tuple(names[baseline] for baseline in baselines if baseline not in complete)
    if len(complete) < FEWEST_BASELINES:
        return Ranking(
            f"not drawn: {len(complete)} baselines finished in all {len(blocks)} datasets,"
            f" {FEWEST_BASELINES} are needed"
        )
    scores = np.array([[own[baseline] for baseline in complete] for own in blocks])
    return friedman_nemenyi([names[baseline] for baseline in complete], scores, left_out)


def _names(rows: Iterable[ResultRow]) -> dict[str, str]:
    """Baseline -> its title, with its own name where another one has the same."""
    titles: dict[str, str] = {}
    for row in rows:
        titles.setdefault(row.baseline, row.title)
    times = Counter(titles.values())
    return {name: title if times[title] == 1 else f"{title} ({name})" for name, title in titles.items()}


def _of_dataset(panels: list[Panel]) -> dict[str, float]:
    """Baseline -> the mean over panels of its place between the worst and the best score there."""
    places: dict[str, list[float]] = {}
    found = [scores for panel in panels if len(scores := _scores(panel)) > 1]
    for scores in found:
        low, high = min(scores.values()), max(scores.values())
        for name, score in scores.items():
            places.setdefault(name, []).append((score - low) / (high - low) if high > low else 0.5)
    return {name: float(np.mean(own)) for name, own in places.items() if len(own) == len(found)}


def _scores(panel: Panel) -> dict[str, float]:
    """Baseline -> the primary metric's mean, the larger the better; a mean of survivors is none."""
    key = panel.key
    sign = -1.0 if panel.metric.direction == "min" else 1.0
    return {
        row.baseline: sign * row.values[key].mean
        for row in panel.rows
        if row.values[key].n and not row.lost and math.isfinite(row.values[key].mean)
    }


def friedman_nemenyi(names: list[str], scores: np.ndarray, left_out: tuple[str, ...] = ()) -> Ranking:
    """Ranks scores [blocks, baselines], larger is better; ties share their mean rank.

    Source: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006, section 3.2.
    """
    # Here and not above: half a second that no other part of a report needs.
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    blocks, count = scores.shape
    average = rankdata(-scores, axis=1).mean(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 where all are level
        statistic, p = friedmanchisquare(*scores.T)
    pairwise = posthoc_nemenyi_friedman(scores).to_numpy()
    quantile = studentized_range.ppf(0.95, count, np.inf) / math.sqrt(2)
    order = sorted(range(count), key=lambda k: (average[k], names[k]))
    return Ranking(
        blocks=blocks,
        ranks={names[k]: float(average[k]) for k in order},
        statistic=float(statistic),
        p=float(p),
        critical_difference=float(quantile * math.sqrt(count * (count + 1) / (6 * blocks))),
        pairwise={(names[i], names[j]): float(pairwise[i, j]) for i in order for j in order if i != j},
        left_out=left_out,
    )
