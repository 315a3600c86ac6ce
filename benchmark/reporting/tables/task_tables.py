"""One table per task: which columns it has, and what its cells say."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Literal

import pandas as pd

from benchmark.records import BEST, FIRM_VALIDATION, LAST, Metric, Record, Status
from benchmark.reporting.comparisons import standings
from benchmark.reporting.formatting import (
    UNFINISHED,
    Cell,
    all_notes,
    decimals_of,
    failures,
    metric_name,
    row_n,
    show_count,
    show_difference,
    show_estimate,
    show_mean,
    show_number,
    show_p,
    show_status,
    show_value,
    show_verdict,
)
from benchmark.reporting.frame import CONDITIONS, typed_frame
from benchmark.reporting.identity import identity
from benchmark.reporting.results import Results
from benchmark.reporting.rows import LOST, PairBlock, ResultRow, merge_metrics
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import Estimate
from benchmark.reporting.tables.captions import anchor_title, caption

TEXTUAL = ("fold", "teacher_data", "teacher_checkpoint", "precision", "overrides")
"""Conditions that are no numbers."""

Kind = Literal["results", "pairs", "probes", "corruptions", "across_tasks"]


@dataclass(frozen=True)
class Column:
    """A column of the printed table. `spare`: 0 is always shown; of the others the largest leaves first."""

    header: str
    """may hold a line break, which narrow renderers use"""
    cell: Callable[[ResultRow], str]
    spare: int = 0
    numeric: bool = True
    value: Callable[[ResultRow], float | None] | None = None
    """the number that it sorts by, where it has one"""
    tells: bool = False
    """whether it tells rows of one baseline apart"""

    @property
    def title(self) -> str:
        """The header without its line breaks."""
        return self.header.replace("-\n", "-").replace("\n", " ")


METHOD = Column("method", lambda row: row.title, numeric=False)
N = Column("n", lambda row: Cell.of(f"{row_n(row)}"), value=row_n)


def fitting(columns: Iterable[Column], fits: Callable[[list[Column]], bool]) -> list[Column]:
    """As many columns as fit, those that are always shown in any case."""
    shown = list(columns)
    while not fits(shown) and (spare := max(shown, key=lambda column: column.spare)).spare:
        shown.remove(spare)
    return shown


def measured_runs(results: Results, measured: Callable[[Record], object]) -> Results:
    """As if there were those runs alone of which something was measured, and the lost ones beside them: no
    mean may hide what it leaves out."""
    kept = list(filter(measured, results.records))
    beside = {identity(record).any_teacher for record in kept}
    lost = (record for record in results.records if record.status in LOST)
    return results.only([*kept, *(record for record in lost if identity(record).any_teacher in beside)])


def status_column(blocks: list[PairBlock], notes: list[str]) -> list[Column]:
    """What did not finish; no column where all did."""
    column = Column("status", lambda row: show_status(row, notes), numeric=False)
    return [column] * any(column.cell(row) for block in blocks for row in block.rows)


def row_groups(block: PairBlock) -> list[list[ResultRow]]:
    """The rows between which a rule goes: the teachers, and each condition's students."""
    return [list(group) for _, group in groupby(block.rows, key=lambda row: row.comparison)]


@dataclass(frozen=True)
class TaskTable:
    """Everything that a renderer needs; `columns` make printed cells, `frame` has the numbers."""

    task: str
    """empty for a table over all tasks"""
    kind: Kind
    stem: str
    """of its files"""
    title: str
    blocks: list[PairBlock]
    columns: list[Column]
    caption: list[str]
    """one sentence an item; the first says what is shown"""
    notes: list[str]
    """why runs diverged, failed or did not apply; note k is marked [k] in the cells"""
    frame: pd.DataFrame


def task_tables(results: Results) -> list[TaskTable]:
    """The tables of all tasks, sorted by the task's name."""
    tables = []
    for task, blocks in results.blocks.items():
        own = [record for record in results.records if record.run.task == task]
        notes = all_notes(blocks)
        columns, words = _columns(blocks, merge_metrics(own), notes), caption(blocks, own)
        frame = numbers_frame(blocks, own)
        title = results.task_title(task)
        tables.append(TaskTable(task, "results", task, title, blocks, columns, words, notes, frame))
    return tables


def _columns(blocks: list[PairBlock], metrics: dict[str, Metric], notes: list[str]) -> list[Column]:
    rows = [row for block in blocks for row in block.rows]
    first = _primary(blocks, metrics)
    columns = difference_columns(blocks, metrics, anchor_title(rows))
    columns += [Column("status", lambda row: _status(row, notes), numeric=False)]
    columns += [_best_column(name, metrics[name]) for name in first]
    others = [name for name in metrics if name not in first]
    columns += [_metric_column(name, metrics[name], spare=5 + k) for k, name in enumerate(others)]
    spare = 5 + len(others)
    columns += [
        Column("role", role_of, spare=4, numeric=False),
        _value_column("parameters", "parameters", show_count, spare + 2),
        _value_column("multiply-\naccumulates", "macs", show_count, spare + 3),
        _value_column("ms per step", "step_ms", partial(show_mean, decimals=1), spare),
        _value_column("teacher's\nshare (ms)", "teacher_share_ms", partial(show_mean, decimals=1), spare + 1),
        _value_column("whole\ncost (s)", "whole_s", partial(show_mean, decimals=1), spare),
        _value_column("of it\ntuning (s)", "tuning_s", partial(show_mean, decimals=1), spare + 1),
        _value_column("peak\nmemory (MB)", "peak_memory_mb", partial(show_mean, decimals=0), spare + 4),
    ]
    return [column for column in columns if column in (METHOD, N) or any(column.cell(row) for row in rows)]


def difference_columns(blocks: list[PairBlock], metrics: dict[str, Metric], other: str) -> list[Column]:
    """The primary metrics, their differences to the row titled `other`, and what tells the rows apart."""
    columns = [METHOD]
    for name in (first := _primary(blocks, metrics)):
        columns += _primary_columns(blocks, name, metrics[name], f"{other}," if len(first) > 1 else other)
    return [*columns, N, *telling_columns(blocks)]


def _primary(blocks: list[PairBlock], metrics: dict[str, Metric]) -> list[str]:
    """Those that any dataset is judged by."""
    found = {name for block in blocks for name in block.primary_metrics}
    return [name for name in metrics if name in found]


def _status(row: ResultRow, notes: list[str]) -> str:
    """What did not finish; and, where that is known, the mean with those runs counted as guessing."""
    status, first = show_status(row, notes), row.records[0]
    # Of its own data: other data of the task has other classes, and another level of chance.
    metric = first.metrics.get(first.primary_metric)
    if not row.is_student or not row.lost or metric is None or metric.chance is None:
        return status
    own = row.by_seed(f"{LAST}/{first.primary_metric}").values()
    everyone = [*own, *[metric.scale * metric.chance] * row.lost]
    return f"{status}; {sum(everyone) / len(everyone):.{decimals_of(metric)}f} with chance for it"


def _value_column(header: str, key: str, show: Callable[[Estimate | None], str], spare: int = 0) -> Column:
    return Column(header, lambda row: show(row.values.get(key)), spare, value=lambda row: row.value(key))


def telling_columns(blocks: list[PairBlock]) -> list[Column]:
    """What tells rows of one baseline apart: the conditions that vary, and whatever else differs."""
    varying = [_condition_column(name) for name in blocks[0].conditions]
    differing = any(row.differs_in for block in blocks for row in block.rows)
    return varying + [Column("differs in", lambda row: row.differs_in, numeric=False, tells=True)] * differing


def role_of(row: ResultRow) -> str:
    """Its role, where it is no method."""
    return row.about.role if row.is_student and row.about.role != "method" else ""


def _condition_column(name: str) -> Column:
    def value(row: ResultRow) -> float | None:
        found = row.condition.get(name)
        return float(found) if isinstance(found, int | float) else None

    return Column(
        name.replace("_", "\n", 1).replace("_", " "),
        lambda row: show_value(row.condition[name]) if name in row.condition else "",
        numeric=name not in TEXTUAL,
        value=value,
        tells=True,
    )


def _primary_columns(blocks: list[PairBlock], name: str, metric: Metric, anchor: str) -> list[Column]:
    decimals = partial(own_decimals, name=name, metric=metric)
    measured = [block for block in blocks if name in block.primary_metrics]
    marks = {row: mark for block in measured for row, mark in standings(block, name).items()}
    words = metric_name(metric, name)
    # With one primary metric the header before has named it already.
    unit = (
        metric_name(metric, name, arrow=False)
        if anchor.endswith(",")
        else f"({'points' if metric.unit == '%' else metric.unit})" * bool(metric.unit)
    )

    def of(row: ResultRow) -> Difference | None:
        return row.differences.get(name)

    return [
        estimate_column(f"{words}\nlast epoch", f"{LAST}/{name}", decimals),
        Column(
            f"difference to\n{anchor} {unit}".rstrip(),
            lambda row: show_difference(of(row), decimals(row)),
            value=lambda row: getattr(of(row), "mean", None),
        ),
        Column("best", lambda row: marks.get(row.id, ""), numeric=False),
        Column("verdict", lambda row: show_verdict(of(row), decimals(row)), 1, numeric=False),
        Column(
            "smallest\nvisible",
            lambda row: show_number(getattr(of(row), "smallest_visible", None), decimals(row)),
            1,
            value=lambda row: getattr(of(row), "smallest_visible", None),
        ),
        Column(
            "adjusted\np",
            lambda row: show_p(_p_of(of(row))),
            2,
            value=lambda row: _p_of(of(row)),
        ),
    ]


def _p_of(difference: Difference | None) -> float:
    """The p that the verdict rests on: over the family, or of a control or reference alone."""
    if difference is None:
        return math.nan
    return difference.p if math.isnan(difference.p_adjusted) else difference.p_adjusted


def _metric_column(name: str, metric: Metric, spare: int) -> Column:
    words = metric_name(metric, name)
    # Long titles break in the middle, so that the header is no wider than the numbers.
    middle = words.find(" ", len(words) // 2 - 3) if len(words) > 14 else -1
    header = words if middle < 0 else f"{words[:middle]}\n{words[middle + 1 :]}"
    return estimate_column(header, f"{LAST}/{name}", partial(own_decimals, name=name, metric=metric), spare)


def _best_column(name: str, metric: Metric) -> Column:
    """The epoch that is best on validation; empty where so few samples choose by chance."""
    decimals = partial(own_decimals, name=name, metric=metric)
    shown = estimate_column(f"{metric_name(metric, name)}\nbest valid.", f"{BEST}/{name}", decimals, 3)

    def firm(row: ResultRow) -> bool:
        return (row.about.num_validation or 0) >= FIRM_VALIDATION

    return replace(
        shown,
        cell=lambda row: shown.cell(row) if firm(row) else "",
        value=lambda row: row.value(f"{BEST}/{name}") if firm(row) else None,
    )


def own_decimals(row: ResultRow, name: str, metric: Metric) -> int:
    """Of a metric in a row: other data of a task may have it on another scale than `metric` tells."""
    return decimals_of(row.records[0].metrics.get(name, metric))


def estimate_column(header: str, key: str, decimals: Callable[[ResultRow], int], spare: int = 0) -> Column:
    """Mean ± deviation of a row's value."""
    return Column(
        header,
        lambda row: show_estimate(row.values.get(key), decimals(row), row_n(row)),
        spare,
        value=lambda row: row.value(key),
    )


def numbers_frame(blocks: list[PairBlock], records: list[Record]) -> pd.DataFrame:
    """The table as numbers: `<key>/mean`, `/sd`, `/n`, and `/low`, `/high` of the 95 % t interval.

    Metrics are in the unit of the printed table. All conditions are columns, varying or not.
    """
    # That a baseline's code fails is rare: a column for it stands only where it happened.
    failed = any(record.status == "failed" for record in records)
    shown: list[Status] = [status for status in UNFINISHED if status != "failed" or failed]
    rows = [row for block in blocks for row in block.rows]
    measured = {key for row in rows for key, estimate in row.values.items() if estimate.n}
    lines = []
    for block in blocks:
        for row in block.rows:
            about = row.about if row.is_student else None
            line = {
                "dataset": block.dataset,
                "synthetic": block.about.synthetic,
                "pair": block.pair,
                "row": row.kind,
                "baseline": row.baseline or None,
                "title": row.title,
                "role": about and about.role,
                "paper": about and about.paper,
                **{name: row.condition.get(name) for name in CONDITIONS},
                "differs_in": row.differs_in,
                "runs": len(row.records) if row.is_student else len(row.numbers),
                "finished": row_n(row),
                **{status: row.count(status) if row.is_student else 0 for status in shown},
                "reasons": "; ".join(reason for _, reason in failures(row) if reason),
            }
            for key, estimate in row.values.items():
                if key in measured:
                    line |= {f"{key}/{part}": value for part, value in vars(estimate).items()}
            for name, difference in row.differences.items():
                line |= {f"difference/{name}/{part}": value for part, value in vars(difference).items()}
            lines.append(line)
    return typed_frame(lines)
