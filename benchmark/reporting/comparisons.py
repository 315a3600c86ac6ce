"""Who is better than whom, by how much, and how sure that is: rows of a block against one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.checksums import bytes_checksum
from benchmark.errors import UserError, unknown
from benchmark.records import LAST, Record
from benchmark.reporting.differences import best_rows, differences
from benchmark.reporting.frame import CONDITIONS, typed_frame
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PairBlock, ResultRow, anchor_of, grouped, teachers_of
from benchmark.reporting.statistics.aggregates import grouped_bootstrap_intervals
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import (
    BOOTSTRAP_FROM,
    INTERVAL_FROM,
    Estimate,
    estimate_of,
    holm,
    normalised,
    paired_differences,
    probability_of_improvement,
    t_test,
)

EACH = "each"
BEST_MARK, TIED_MARK = "●", "○"


@dataclass(frozen=True)
class Comparison:
    """A row against another one of the same dataset, pair and condition."""

    block: PairBlock
    row: ResultRow
    other: ResultRow
    metric: str
    difference: Difference
    """row minus other, in the metric's printed unit; tested over the methods that meet the other"""
    paired: Estimate
    """the differences by seed (over several teachers or splits by those), for the paired t test"""
    p_paired: float
    """two-sided, of that test; nan below three pairs"""
    p_holm: float = math.nan
    """the same with Holm's correction over the rows that meet the same other"""
    bootstrap: tuple[float, float] = (math.nan, math.nan)
    """95 % interval of the difference over seeds and test samples; nan without saved predictions"""


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
    """Every two rows of a condition; those of a condition are one family of tests."""
    found = []
    for rows in block.comparisons:
        compared = []
        for other, row in combinations(rows, 2):
            difference = differences(other, [row], f"{LAST}/{metric}")[row.id]
            compared.append(_compared(block, metric, row, other, difference))
        compared = [each for each in compared if _meet(each)]
        tested = sum(not math.isnan(each.difference.p) for each in compared)
        for each in _with_holm(compared):
            found.append(replace(each, difference=each.difference.among(tested)))
    return found


def _families(
    block: PairBlock, metric: str, pairs: Iterable[tuple[ResultRow, ResultRow]]
) -> list[Comparison]:
    """The comparisons of pairs (row, other); those with one other are a family."""
    found = []
    for own in grouped(pairs, lambda pair: pair[1].id).values():
        other = own[0][1]
        known = differences(other, [row for row, _ in own], f"{LAST}/{metric}")
        compared = [_compared(block, metric, row, other, known[row.id]) for row, _ in own]
        found += _with_holm([each for each in compared if _meet(each)])
    return found


def _meet(each: Comparison) -> bool:
    """False where both have runs and share no teacher or split: there is nothing to subtract."""
    key = f"{LAST}/{each.metric}"
    return bool(each.difference.n or not each.row.by_seed(key) or not each.other.by_seed(key))


def _compared(
    block: PairBlock, metric: str, row: ResultRow, other: ResultRow, difference: Difference
) -> Comparison:
    key = f"{LAST}/{metric}"
    paired = [] if row.crossed else paired_differences(row.by_unit(key), other.by_unit(key))
    p = t_test(paired) if len(paired) >= INTERVAL_FROM else math.nan
    return Comparison(block, row, other, metric, difference, estimate_of(paired), p)


def _with_holm(family: list[Comparison]) -> list[Comparison]:
    adjusted = holm([each.p_paired for each in family])
    return [replace(each, p_holm=p) for each, p in zip(family, adjusted, strict=True)]


def standings(block: PairBlock, metric: str) -> dict[str, str]:
    """Row's id -> a mark: ● for the best row of a condition where it is surely the only one that may be.

    Otherwise ○ for every row that may be the best (multiple comparisons with the best, 95 % jointly). No
    marks below three seeds, none where a single row competes, none for controls and for a row of which a run
    diverged or failed.
    """
    marks = {}
    higher = block.metrics[metric].direction != "min"
    for rows in block.comparisons:
        best = best_rows(rows, f"{LAST}/{metric}", higher)
        marks |= dict.fromkeys(best.tied, TIED_MARK)
        if best.winner is not None:
            marks[best.winner] = BEST_MARK
    return marks


# --- over seeds and test samples ---


def with_bootstrap(results: Results, comparisons: list[Comparison]) -> list[Comparison]:
    """The comparisons with their bootstrap intervals, where predictions were saved and are the metric's.

    They are its predictions if the share of right ones is the recorded value: so for accuracy alone. Whole
    groups of test samples (subjects, scenes) are drawn where the data has them. Over several teachers or
    splits these are drawn, and not runs; where both vary there is no interval. Runs of other test samples,
    where the data cuts its test part by the split's seed, have none.
    """
    answers: dict[tuple[str, str], Answers | None] = {}
    groups: dict[str, np.ndarray | None] = {}

    def right(record: Record, metric: str) -> Answers | None:
        key = (record.id, metric)
        if key not in answers:
            answers[key] = _right_answers(results, record, metric)
        return answers[key]

    # Those of one comparison share test samples, and so the draws of samples too.
    together: dict[tuple[str, str, str], dict[int, np.ndarray]] = {}
    for place, each in enumerate(comparisons):
        ours, theirs = (
            {(r.condition.teacher_seed, r.condition.split_seed, r.run.seed): r for r in row.finished}
            for row in (each.row, each.other)
        )
        answered = [
            (
                key[:2] if each.row.clusters else key,
                right(ours[key], each.metric),
                right(theirs[key], each.metric),
            )
            for key in sorted(ours.keys() & theirs.keys())
        ]
        found = [(unit, a, b) for unit, a, b in answered if a is not None and b is not None]
        units = grouped(found, lambda pair: pair[0]).values()
        samples = {answers.samples for _, *pair in found for answers in pair}
        if len(units) >= BOOTSTRAP_FROM and len(samples) == 1 and not each.row.crossed:
            key = (each.row.comparison, each.metric, found[0][1].samples)
            means = [np.mean([a.right - b.right for _, a, b in own], axis=0) for own in units]
            together.setdefault(key, {})[place] = np.stack(means)
            groups[key[2]] = found[0][1].group
    intervals = {}
    for key, apart in together.items():
        for place, interval in grouped_bootstrap_intervals(apart, groups[key[2]]).items():
            scale = comparisons[place].block.metrics[key[1]].scale
            intervals[place] = (interval[0] * scale, interval[1] * scale)
    return [
        replace(each, bootstrap=intervals[place]) if place in intervals else each
        for place, each in enumerate(comparisons)
    ]


class Answers(NamedTuple):
    """Of one run to the test samples."""

    right: np.ndarray
    """[N], 1 where the answer is right, else 0"""
    group: np.ndarray | None
    """[N], the subject or scene of each; None where the data has none"""
    samples: str
    """equal for the same samples, as far as their labels and groups tell"""


def _right_answers(results: Results, record: Record, metric: str) -> Answers | None:
    """What was answered rightly; None where the metric isn't its share."""
    arrays = {**results.arrays(record, "test_prediction", "test_label", "test_group")}
    group = arrays.pop("test_group", None)
    shapes = {array.shape for array in arrays.values()}
    if len(arrays) != 2 or len(shapes) != 1 or len(*shapes) != 1:
        return None
    right = (arrays["test_prediction"] == arrays["test_label"]).astype(np.int8)
    value = record.results.score(LAST, metric)
    if value is None or abs(right.mean() - value) >= 1e-3:
        return None
    known = [each for each in (arrays["test_label"], group) if each is not None]
    samples = bytes_checksum(b"".join(each.astype(np.int64).tobytes() for each in known))
    return Answers(right, group, samples)


# --- the public function ---

COLUMNS = (
    "task", "dataset", "synthetic", "pair", *CONDITIONS, "differs_in", "baseline", "against", "metric", "n",
    "difference", "verdict", "low", "high", "simultaneous_low", "simultaneous_high", "p", "p_adjusted",
    "smallest_visible", "equivalent_within", "paired_n", "paired_sd", "paired_low", "paired_high", "paired_p",
    "paired_p_holm", "bootstrap_low", "bootstrap_high", "normalised", "probability_of_improvement",
)  # fmt: skip
"""Of `compare`, where there is nothing to compare too."""


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
        `metric`, `n` (runs; over several teachers or splits how many of those); `difference`, `verdict`,
        `low`, `high` (95 % interval of this difference alone), `simultaneous_low`, `simultaneous_high` (of
        all methods at once), `p`, `p_adjusted` (over the methods), `smallest_visible`, `equivalent_within`
        (see `inference.Difference`; nan below three); `paired_n`, `paired_sd`, `paired_low`, ... (the t test
        paired by seed, over several teachers or splits by those, with Holm's correction); `bootstrap_low`,
        `bootstrap_high` (from five such pairs on), in the metric's printed unit; `normalised` (0: the other
        baseline, 1: the teacher) and `probability_of_improvement`.

    Raises:
        UserError: for a folder without records, or without a row of the anchor where that is what is compared
            with; for a baseline or metric that no record has.
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
    elif not any(record.about.anchor for record in results.records):
        raise UserError(
            f"{results.folder or 'the list'} holds no row of the anchor, which differences are taken to: "
            f"give against= the name of a baseline, or {EACH!r}"
        )
    return comparison_frame(results, pairing, metric, bootstrap)


def comparison_frame(
    results: Results,
    pairing: Callable[[PairBlock, str], list[Comparison]] = against_anchor,
    metric: str | None = None,
    bootstrap: bool = True,
) -> pd.DataFrame:
    """What `compare` returns; without a line where nothing can be compared."""
    lines = []
    for block in (block for blocks in results.blocks.values() for block in blocks):
        names = [metric] if metric else block.primary_metrics
        found = [each for name in names if name in block.metrics for each in pairing(block, name)]
        lines += map(_line, with_bootstrap(results, found) if bootstrap else found)
    return typed_frame(lines) if lines else pd.DataFrame(columns=pd.Index(COLUMNS))


def _check_known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, name, sorted(known))


def _line(each: Comparison) -> Mapping[str, object]:
    block, row, other, difference = each.block, each.row, each.other, each.difference
    paired, shown = each.paired, each.paired.n >= INTERVAL_FROM
    key = f"{LAST}/{each.metric}"
    tested = set(teachers_of(block.compared_with(row), each.metric).values())
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
        "n": difference.n,
        "difference": difference.mean,
        "verdict": difference.verdict,
        "low": difference.low,
        "high": difference.high,
        "simultaneous_low": difference.simultaneous_low,
        "simultaneous_high": difference.simultaneous_high,
        "p": difference.p,
        "p_adjusted": difference.p_adjusted,
        "smallest_visible": difference.smallest_visible,
        "equivalent_within": difference.equivalent_within,
        "paired_n": paired.n,
        "paired_sd": paired.sd,
        "paired_low": paired.low if shown else math.nan,
        "paired_high": paired.high if shown else math.nan,
        "paired_p": each.p_paired,
        "paired_p_holm": each.p_holm,
        "bootstrap_low": each.bootstrap[0],
        "bootstrap_high": each.bootstrap[1],
        "normalised": math.nan
        if ours is None or theirs is None or teacher is None
        else normalised(ours, theirs, teacher),
        "probability_of_improvement": 1 - chance if block.metrics[each.metric].direction == "min" else chance,
    }
