"""The papers' layout: a table for each dataset, a line for each baseline, a column for each pair."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchmark.records import LAST, Record
from benchmark.reporting.comparisons import standings
from benchmark.reporting.formatting import (
    all_notes,
    decimals_of,
    metric_name,
    row_n,
    show_estimate,
    show_status,
    show_value,
    show_words,
)
from benchmark.reporting.frame import typed_frame
from benchmark.reporting.published import TEACHER, Published, published
from benchmark.reporting.rows import PairBlock, ResultRow, task_blocks
from benchmark.reporting.tables import Column, TaskTable, caption_of_marks, provenance_warnings


@dataclass
class Line:
    """A line of such a table: the rows of one baseline (or of the teachers), pair by pair."""

    row: ResultRow
    """what the renderers see: title, grouping, and all records of the line"""
    by_pair: dict[str, ResultRow] = field(default_factory=dict)


def pair_tables(records: Iterable[Record]) -> list[TaskTable]:
    """For each task, dataset and primary metric; teachers first, then the anchor, then the others."""
    records = list(records)
    tables = []
    for task, blocks in task_blocks(records).items():
        for dataset in dict.fromkeys(block.dataset for block in blocks):
            own = [block for block in blocks if block.dataset == dataset]
            names = dict.fromkeys(name for block in own for name in block.primary_metrics)
            for name in names:
                suffix = f"_{name}" if len(names) > 1 else ""
                tables.append(_pair_table(f"{task}_{dataset}_pairs{suffix}", own, name, records))
    return tables


def adds_to_task_table(table: TaskTable) -> bool:
    """Whether it says what the task's own table does not: pairs side by side, or published figures."""
    return sum(name.endswith(("/mean", "/published")) for name in table.frame) > 1


def _pair_table(stem: str, blocks: list[PairBlock], metric: str, records: list[Record]) -> TaskTable:
    about, metrics = blocks[0].about, blocks[0].metrics
    conditions = _telling_conditions(blocks)
    lines = _lines(blocks, conditions)
    of_row = {id(line.row): line for line in lines}
    marks = {row: mark for block in blocks for row, mark in standings(block, metric).items()}
    notes = all_notes(blocks)
    figures = {
        (id(line.row), pair): figure
        for line in lines
        for pair, row in line.by_pair.items()
        if (figure := _published(blocks, pair, row, metric)) is not None
    }
    sources = list(dict.fromkeys(figure.source for figure in figures.values()))
    decimals = decimals_of(metrics[metric])

    def ours(row: ResultRow, pair: str) -> str:
        found = of_row[id(row)].by_pair.get(pair)
        if found is None:
            return ""
        words = show_estimate(found.values.get(f"{LAST}/{metric}"), decimals, row_n(found))
        return " ".join(part for part in (words, marks.get(id(found), ""), show_status(found, notes)) if part)

    def theirs(row: ResultRow, pair: str) -> str:
        figure = figures.get((id(row), pair))
        return (
            "" if figure is None else f"{figure.value:.2f} [{len(notes) + sources.index(figure.source) + 1}]"
        )

    columns = [Column("method", lambda row: row.title, numeric=False)]
    columns += [
        Column(
            show_words(name),
            lambda row, name=name: (
                show_value(row.comparison_condition.get(name)) if row.comparison_condition else ""
            ),
        )
        for name in conditions
    ]
    for block in blocks:
        columns.append(Column(_breakable(block.pair), lambda row, pair=block.pair: ours(row, pair)))
        if any(pair == block.pair for _, pair in figures):
            columns.append(Column("published", lambda row, pair=block.pair: theirs(row, pair), spare=1))
    own = [record for line in lines for record in line.row.records]
    heading = PairBlock(blocks[0].dataset, "", metrics, conditions, tuple(line.row for line in lines))
    name = metric_name(metrics[metric], metric)
    counts = {row_n(row) for line in lines for row in line.by_pair.values() if not row.is_teacher} - {0}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "0"
    caption = [
        f"{name} on the test split, last epoch: mean ± sample standard deviation over"
        f" {seeds} seed{'s' * (seeds != '1')}; one column for each pair, whose recipes may differ.",
        *caption_of_marks(blocks),
        "All numbers are conditional on the teacher.",
    ]
    if figures:
        caption.append("Published figures stand only where dataset, pair, metric and recipe are the same.")
    return TaskTable(
        stem,
        about.task_title or stem,
        [heading],
        columns,
        caption + provenance_warnings(own),
        [*notes, *(f"published in: {source}" for source in sources)],
        _frame(blocks, lines, conditions, metric, figures),
    )


def _telling_conditions(blocks: list[PairBlock]) -> tuple[str, ...]:
    """The conditions that tell rows of one pair apart; those that differ between pairs only do not."""
    telling: dict[str, None] = {}
    for block in blocks:
        own = [row.comparison_condition for row in block.rows if not row.is_teacher]
        for name in block.conditions:
            if len({json.dumps(condition.get(name)) for condition in own}) > 1:
                telling[name] = None
    return tuple(name for name in blocks[0].conditions if name in telling)


def _lines(blocks: list[PairBlock], conditions: tuple[str, ...]) -> list[Line]:
    lines: dict[tuple, Line] = {}
    for block in blocks:
        for row in block.rows:
            shared = {} if row.is_teacher else {name: row.comparison_condition[name] for name in conditions}
            title = TEACHER if row.is_teacher else row.title
            overrides = "" if row.is_teacher else row.condition["overrides"]
            own = row.condition if row.is_teacher else {}
            told = json.dumps([shared, row.variant, overrides, own], sort_keys=True)
            key = (row.is_teacher, row.baseline, title, told)
            if row.is_teacher and key not in lines:
                # A pair's teachers have a line each; those of other pairs join them, in their order.
                key = next((k for k, v in lines.items() if k[0] and block.pair not in v.by_pair), key)
            line = lines.setdefault(
                key, Line(ResultRow(title, row.baseline, row.condition, (), {}, row.variant, shared))
            )
            line.by_pair[block.pair] = row
    for line in lines.values():
        records = tuple(record for row in line.by_pair.values() for record in row.records)
        first = next(iter(line.by_pair.values()))
        line.row = ResultRow(
            line.row.title,
            first.baseline,
            first.condition,
            records,
            {},
            first.variant,
            line.row.comparison_condition,
        )
    first_seen = list(lines.values())
    groups = list(
        dict.fromkeys(json.dumps(line.row.comparison_condition, sort_keys=True) for line in first_seen)
    )
    return sorted(
        first_seen,
        key=lambda line: (
            not line.row.is_teacher,
            groups.index(_group(line)),
            not line.row.is_anchor,
            line.row.about.order,
        ),
    )


def _group(line: Line) -> str:
    """What the lines of one condition share."""
    return json.dumps(line.row.comparison_condition, sort_keys=True)


def _published(blocks: list[PairBlock], pair: str, row: ResultRow, metric: str) -> Published | None:
    """The figure for a cell; a teacher's has the recipe of its pair's students."""
    baseline = TEACHER if row.is_teacher else row.name
    return published(blocks[0].dataset, pair, baseline, metric, row.records[0].condition)


def _breakable(pair: str) -> str:
    """`resnet32x4-\\nresnet8x4`: a long pair on two lines."""
    return pair.replace("-", "-\n", 1) if len(pair) > 12 else pair


def _frame(
    blocks: list[PairBlock],
    lines: list[Line],
    conditions: tuple[str, ...],
    metric: str,
    figures: dict[tuple[int, str], Published],
) -> pd.DataFrame:
    """A line each; columns `<pair>/mean`, `/sd`, `/n`, `/published`, in the metric's printed unit."""
    rows: list[dict[str, Any]] = []
    for line in lines:
        values: dict[str, Any] = {
            "dataset": blocks[0].dataset,
            "synthetic": blocks[0].about.synthetic,
            "row": "teacher" if line.row.is_teacher else "student",
            "baseline": line.row.baseline,
            "title": line.row.title,
            "metric": metric,
            **{name: line.row.comparison_condition.get(name) for name in conditions},
            "differs_in": line.row.variant,
        }
        for block in blocks:
            row = line.by_pair.get(block.pair)
            estimate = None if row is None else row.values.get(f"{LAST}/{metric}")
            known = estimate if estimate is not None and estimate.n > 0 else None
            values |= {
                f"{block.pair}/mean": math.nan if known is None else known.mean,
                f"{block.pair}/sd": math.nan if known is None else known.sd,
                f"{block.pair}/n": 0 if known is None else known.n,
            }
            figure = figures.get((id(line.row), block.pair))
            if any(pair == block.pair for _, pair in figures):
                values[f"{block.pair}/published"] = math.nan if figure is None else figure.value
        rows.append(values)
    return typed_frame(rows)


def wide_frame(records: Iterable[Record]) -> pd.DataFrame:
    """The same numbers as one frame: a line for each task, dataset, metric and baseline, columns by pair."""
    tables = pair_tables(records)
    frames = [table.frame.assign(table=table.task) for table in tables]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
