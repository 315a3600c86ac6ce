"""Who is better than whom, by how much, and how sure that is: rows of a block against one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.errors import UserError, unknown
from benchmark.records import LAST, Record
from benchmark.reporting.frame import CONDITIONS, typed_frame
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PairBlock, ResultRow, anchor_of, grouped
from benchmark.reporting.statistics import (
    FIRM_FROM,
    INTERVAL_FROM,
    Estimate,
    bootstrap_intervals,
    estimate_of,
    holm,
    normalised,
    paired_differences,
    probability_of_improvement,
    t_test,
)

LEVEL = 0.05
EACH = "each"
BEST_MARK, TIED_MARK = "●", "○"


@dataclass(frozen=True)
class Comparison:
    """A row against another one of the same dataset, pair and condition, paired by seed."""

    block: PairBlock
    row: ResultRow
    other: ResultRow
    metric: str
    difference: Estimate
    """row minus other, in the metric's printed unit"""
    p: float
    """two-sided, of the paired t test; nan below three common seeds"""
    p_holm: float = math.nan
    """adjusted over the family: the rows of this block and condition that meet the same other"""
    bootstrap: tuple[float, float] = (math.nan, math.nan)
    """95 % interval of the difference over seeds and test samples; nan without saved predictions"""

    @property
    def better(self) -> bool:
        """Whether the row is better than the other beyond noise."""
        higher = self.block.metrics[self.metric].direction != "min"
        return self.p_holm < LEVEL and (self.difference.mean > 0) == higher

    @property
    def worse(self) -> bool:
        return self.p_holm < LEVEL and not self.better

    @property
    def indicative(self) -> bool:
        """Three or four seeds: enough for an interval, too few to rely on it."""
        return INTERVAL_FROM <= self.difference.n < FIRM_FROM


def against_anchor(block: PairBlock, metric: str) -> list[Comparison]:
    """Every row against the anchor of its condition."""
    pairs = [(row, anchor_of(row, block.students)) for row in block.students]
    return _families(block, metric, [(row, anchor) for row, anchor in pairs if anchor is not None])


def against_one(block: PairBlock, metric: str, baseline: str) -> list[Comparison]:
    """Every row against the row of `baseline` in its condition, where there is exactly one."""
    pairs = []
    for rows in block.comparisons:
        others = [row for row in rows if row.baseline == baseline]
        if len(others) == 1:
            pairs += [(row, others[0]) for row in rows if row is not others[0]]
    return _families(block, metric, pairs)


def each_against_each(block: PairBlock, metric: str) -> list[Comparison]:
    """Every two rows of a condition; one family of tests for each condition."""
    found = []
    for rows in block.comparisons:
        pairs = [(row, other) for other, row in combinations(rows, 2)]
        found += _adjusted([_compared(block, metric, *pair) for pair in pairs])
    return found


def _families(
    block: PairBlock, metric: str, pairs: Iterable[tuple[ResultRow, ResultRow]]
) -> list[Comparison]:
    """The comparisons of pairs (row, other); those with one other are a family."""
    compared = [_compared(block, metric, row, other) for row, other in pairs]
    families = grouped(compared, lambda each: each.other.id)
    return [each for family in families.values() for each in _adjusted(family)]


def _compared(block: PairBlock, metric: str, row: ResultRow, other: ResultRow) -> Comparison:
    key = f"{LAST}/{metric}"
    differences = paired_differences(row.by_seed(key), other.by_seed(key))
    p = t_test(differences) if len(differences) >= INTERVAL_FROM else math.nan
    return Comparison(block, row, other, metric, estimate_of(differences), p)


def _adjusted(family: list[Comparison]) -> list[Comparison]:
    adjusted = holm([each.p for each in family])
    return [replace(each, p_holm=p) for each, p in zip(family, adjusted, strict=True)]


def standings(block: PairBlock, metric: str) -> dict[str, str]:
    """Row's id -> a mark: ● for the best row of a condition if it is better than every other beyond noise.

    That is tested on its differences to each other row, paired by seed, with Holm's correction. Otherwise the
    best has ○, and so have the rows whose 95 % interval of that difference holds 0. No marks below three
    seeds, and none for a row of which a run diverged or failed: its mean is one of survivors.
    """
    marks = {}
    sign, key = -1 if block.metrics[metric].direction == "min" else 1, f"{LAST}/{metric}"
    for rows in block.comparisons:
        scored = [row for row in rows if row.values[key].n >= INTERVAL_FROM and not row.lost]
        if len(scored) < 2:
            continue
        best = max(scored, key=lambda row: sign * row.values[key].mean)
        others = [row for row in scored if row is not best]
        tests = _adjusted([_compared(block, metric, best, row) for row in others])
        marks |= {each.other.id: TIED_MARK for each in tests if not each.p < LEVEL}
        marks[best.id] = BEST_MARK if all(each.p_holm < LEVEL for each in tests) else TIED_MARK
    return marks


# --- over seeds and test samples ---


def with_bootstrap(results: Results, comparisons: list[Comparison]) -> list[Comparison]:
    """The comparisons with their bootstrap intervals, where predictions were saved and are the metric's.

    They are its predictions if the share of right ones is the recorded value: so for accuracy alone.
    """
    answers: dict[tuple[str, str], np.ndarray | None] = {}

    def right(record: Record, metric: str) -> np.ndarray | None:
        key = (record.id, metric)
        if key not in answers:
            answers[key] = _right_answers(results, record, metric)
        return answers[key]

    # Those of one block that share test samples share the draws of samples too.
    together: dict[tuple[str, str, int], dict[int, np.ndarray]] = {}
    for place, each in enumerate(comparisons):
        ours, theirs = ({r.run.seed: r for r in row.finished} for row in (each.row, each.other))
        answered = [
            (right(ours[seed], each.metric), right(theirs[seed], each.metric))
            for seed in ours.keys() & theirs.keys()
        ]
        found = [(a, b) for a, b in answered if a is not None and b is not None and a.shape == b.shape]
        if len(found) >= INTERVAL_FROM and len({len(a) for a, _ in found}) == 1:
            key = (each.block.id, each.metric, len(found[0][0]))
            together.setdefault(key, {})[place] = np.stack([a.astype(np.int8) - b for a, b in found])
    intervals = {}
    for (_, metric, _), differences in together.items():
        for place, interval in bootstrap_intervals(differences).items():
            scale = comparisons[place].block.metrics[metric].scale
            intervals[place] = (interval[0] * scale, interval[1] * scale)
    return [
        replace(each, bootstrap=intervals[place]) if place in intervals else each
        for place, each in enumerate(comparisons)
    ]


def _right_answers(results: Results, record: Record, metric: str) -> np.ndarray | None:
    """Which test samples [N] are answered rightly, as 0 and 1; None where the metric isn't their share."""
    arrays = results.arrays(record, "test_prediction", "test_label")
    shapes = {array.shape for array in arrays.values()}
    if len(arrays) != 2 or len(shapes) != 1 or len(*shapes) != 1:
        return None
    right = (arrays["test_prediction"] == arrays["test_label"]).astype(np.int8)
    value = record.results.score(LAST, metric)
    return right if value is not None and abs(right.mean() - value) < 1e-3 else None


# --- the public function ---


def compare(
    source: Path | str | Results | Iterable[Record],
    against: str | None = None,
    metric: str | None = None,
    bootstrap: bool = True,
) -> pd.DataFrame:
    """A line for each baseline, dataset, pair and condition: its difference to another baseline.

    Args:
        source: a results folder (`results/<name>`), one that was read already, or records (without their
            folder there is no bootstrap).
        against: a baseline's name; "each" for every two baselines; by default the anchor.
        metric: a metric's name; by default the primary metrics of each block.
        bootstrap: whether to add the interval over seeds and test samples (it reads the saved predictions).

    Returns:
        Columns `task`, `dataset`, `synthetic`, `pair`, the conditions, `differs_in`, `baseline`, `against`,
        `metric`, `n` (seeds that both have); `difference`, `sd`, `low`, `high` (95 % t interval, nan below
        three seeds), `p`, `p_holm`, `indicative` (three or four seeds), `bootstrap_low`, `bootstrap_high`, in
        the metric's printed unit;
        `normalised` (0: the other baseline, 1: the teacher) and `probability_of_improvement`.

    Raises:
        UserError: for a folder without records, a baseline or metric that no record has.
    """
    if isinstance(source, str | Path):
        source = Results.read(Path(source))
    results = source if isinstance(source, Results) else Results.of(source)
    if not results.records:
        raise UserError(f"{results.folder or 'the list'} holds no finished run: there is nothing to compare")
    if against not in (None, EACH):
        _check_known("baseline", against, {record.run.baseline for record in results.records})
    if metric is not None:
        _check_known("metric", metric, {name for record in results.records for name in record.metrics})
    pairing: Callable[[PairBlock, str], list[Comparison]] = against_anchor
    if against is not None:
        pairing = each_against_each if against == EACH else lambda b, m: against_one(b, m, against)
    lines = []
    for block in (block for blocks in results.blocks.values() for block in blocks):
        names = [metric] if metric else block.primary_metrics
        found = [each for name in names if name in block.metrics for each in pairing(block, name)]
        lines += map(_line, with_bootstrap(results, found) if bootstrap else found)
    return typed_frame(lines)


def _check_known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, name, sorted(known))


def _line(each: Comparison) -> Mapping[str, object]:
    block, row, other, shown = each.block, each.row, each.other, each.difference.n >= INTERVAL_FROM
    key = f"{LAST}/{each.metric}"
    # Of the other: a control's own teacher is no end of the scale.
    known = (record.teacher.test.get(each.metric) for record in other.records)
    tested = {value for value in known if value is not None}
    teacher = tested.pop() * block.metrics[each.metric].scale if len(tested) == 1 else None
    chance = probability_of_improvement(row.by_seed(key).values(), other.by_seed(key).values())
    ours, theirs = row.value(key), other.value(key)
    return {
        "task": block.task,
        "dataset": block.dataset,
        "synthetic": block.about.synthetic,
        "pair": block.pair,
        **{name: row.condition.get(name) for name in CONDITIONS},
        "differs_in": row.differs_in,
        "baseline": row.baseline,
        "against": other.baseline,
        "metric": each.metric,
        "n": each.difference.n,
        "difference": each.difference.mean,
        "sd": each.difference.sd,
        "low": each.difference.low if shown else math.nan,
        "high": each.difference.high if shown else math.nan,
        "p": each.p,
        "p_holm": each.p_holm,
        "indicative": each.indicative,
        "bootstrap_low": each.bootstrap[0],
        "bootstrap_high": each.bootstrap[1],
        "normalised": math.nan
        if ours is None or theirs is None or teacher is None
        else normalised(ours, theirs, teacher),
        "probability_of_improvement": 1 - chance if block.metrics[each.metric].direction == "min" else chance,
    }
