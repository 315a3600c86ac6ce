"""The papers' layout: a table for each dataset, a line for each baseline, a column for each pair."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from benchmark.records import LAST, Record
from benchmark.reporting.comparisons import standings
from benchmark.reporting.formatting import (
    Cell,
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
from benchmark.reporting.identity import OF_OWN_TEACHER
from benchmark.reporting.published import TEACHER, Published, published
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PairBlock, ResultRow, grouped
from benchmark.reporting.statistics.spread import estimate_of
from benchmark.reporting.tables.captions import caption_of_marks, conditional_on, provenance_warnings
from benchmark.reporting.tables.task_tables import METHOD, Column, TaskTable

Cells = dict[str, dict[str, ResultRow]]
"""Id of a line -> pair -> the row whose numbers stand there."""


def pair_tables(results: Results) -> list[TaskTable]:
    """For each task, dataset and primary metric; teachers first, then the anchor, then the others."""
    tables = []
    for task, blocks in results.blocks.items():
        for dataset, own in grouped(blocks, lambda block: block.dataset).items():
            names = dict.fromkeys(name for block in own for name in block.primary_metrics)
            for name in names:
                suffix = f"_{name}" if len(names) > 1 else ""
                measured = [block for block in own if name in block.metrics]
                table = _pair_table(f"{task}_{dataset}_pairs{suffix}", measured, name)
                tables.append(replace(table, task=task, title=results.task_title(task)))
    return tables


def adds_to_task_table(table: TaskTable) -> bool:
    """Whether it says what the task's own table does not: pairs side by side, or published figures."""
    return sum(name.endswith(("/mean", "/published")) for name in table.frame) > 1


def _pair_table(stem: str, blocks: list[PairBlock], metric: str) -> TaskTable:
    metrics, pairs = blocks[0].metrics, list(dict.fromkeys(block.pair for block in blocks))
    conditions = _telling_conditions(blocks)
    lines, cells = _lines(blocks, conditions)
    marks = {row: mark for block in blocks for row, mark in standings(block, metric).items()}
    notes = all_notes(blocks)
    figures = {
        (line, pair): figure
        for line, rows in cells.items()
        for pair, row in rows.items()
        if (figure := _published(row, metric)) is not None
    }
    sources = list(dict.fromkeys(figure.source for figure in figures.values()))
    decimals = decimals_of(metrics[metric])

    def ours(line: ResultRow, pair: str) -> str:
        row = cells[line.id].get(pair)
        if row is None:
            return ""
        words = show_estimate(row.values.get(f"{LAST}/{metric}"), decimals, row_n(row))
        return words.with_words(marks.get(row.id, ""), show_status(row, notes))

    def theirs(line: ResultRow, pair: str) -> str:
        figure = figures.get((line.id, pair))
        number = len(notes) + sources.index(figure.source) + 1 if figure else 0
        return Cell.of(f"{figure.value:.2f}", "", f"[{number}]") if figure else ""

    columns = [METHOD]
    columns += [
        Column(
            show_words(name),
            lambda line, name=name: show_value(line.condition[name]) if name in line.condition else "",
            tells=True,
        )
        for name in conditions
    ]
    if any(line.differs_in for line in lines):
        columns.append(Column("differs in", lambda line: line.differs_in, numeric=False, tells=True))
    for pair in pairs:
        columns.append(
            Column(
                _breakable(pair),
                lambda line, pair=pair: ours(line, pair),
                value=lambda line, pair=pair: _mean(cells[line.id].get(pair), metric),
            )
        )
        if any(each == pair for _, each in figures):
            columns.append(Column("published", lambda line, pair=pair: theirs(line, pair), spare=1))
    heading = replace(blocks[0], pair="", conditions=conditions, rows=tuple(lines))
    return TaskTable(
        task="",
        kind="pairs",
        stem=stem,
        title="",
        blocks=[heading],
        columns=columns,
        caption=_caption(blocks, metric, cells, bool(figures)),
        notes=[*notes, *(f"published in: {source}" for source in sources)],
        frame=_frame(heading, pairs, cells, metric, figures),
    )


def _caption(blocks: list[PairBlock], metric: str, cells: Cells, figures: bool) -> list[str]:
    rows = [row for found in cells.values() for row in found.values()]
    counts = {row_n(row) for row in rows if row.is_student} - {0}
    runs = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "0"
    unit = "run" if any(row.clusters for row in rows) else "seed"
    caption = [
        f"{metric_name(blocks[0].metrics[metric], metric)} on the test split, last epoch: mean ± sample"
        f" standard deviation over {runs} {unit}{'s' * (runs != '1')}.",
        "One column for each pair, whose recipes may differ.",
        *caption_of_marks(blocks),
        conditional_on(rows),
    ]
    if figures:
        caption.append("Published figures stand only where dataset, pair, metric and recipe are the same.")
    return caption + provenance_warnings([record for row in rows for record in row.records])


def _telling_conditions(blocks: list[PairBlock]) -> tuple[str, ...]:
    """The conditions that tell rows of one pair apart; those that differ between pairs only do not."""
    return tuple(
        name
        for name in blocks[0].conditions
        if any(len({repr(_condition(row)[name]) for row in block.students}) > 1 for block in blocks)
    )


def _condition(row: ResultRow) -> dict[str, Any]:
    """The row's condition; that a control has a teacher of its own is what its title says."""
    shared = {name: row.comparison_condition[name] for name in OF_OWN_TEACHER if row.is_student}
    return row.condition | shared


def _lines(blocks: list[PairBlock], conditions: tuple[str, ...]) -> tuple[list[ResultRow], Cells]:
    """Rows of several pairs that differ in nothing that the table shows are one line; which row is where.

    Rows of one pair never share a line: a second one like the first has a line of its own.
    """
    lines: dict[str, ResultRow] = {}
    cells: Cells = {}
    known: dict[tuple, list[str]] = {}
    for block in blocks:
        for row in block.rows:
            shown = tuple(repr(_condition(row).get(name)) for name in conditions)
            # A pair's teachers have a line each; those of other pairs join them, in their order.
            key = (row.baseline, *shown, row.differs_in) if row.is_student else (row.kind, *shown)
            line = next((each for each in known.get(key, ()) if block.pair not in cells[each]), None)
            if line is None:
                line = row.id
                title = row.title if row.is_student else TEACHER
                lines[line] = replace(row, title=title, condition=_condition(row), records=(), identities=())
                known.setdefault(key, []).append(line)
            cells.setdefault(line, {})[block.pair] = row
            records = lines[line].records + row.records
            identities = lines[line].identities + row.identities
            lines[line] = replace(lines[line], records=records, identities=identities)
    groups = list(dict.fromkeys(_group(line, conditions) for line in lines.values()))
    ordered = sorted(
        lines.values(),
        key=lambda line: (
            line.is_student,
            groups.index(_group(line, conditions)),
            not line.is_anchor,
            line.about.order,
        ),
    )
    return [replace(line, comparison=repr(_group(line, conditions))) for line in ordered], cells


def _group(line: ResultRow, conditions: Iterable[str]) -> tuple[str, ...]:
    """What the lines of one condition share."""
    return (*(repr(line.comparison_condition.get(name)) for name in conditions), line.setting)


def _published(row: ResultRow, metric: str) -> Published | None:
    """The figure for a cell; a teacher's has the recipe of its pair's students."""
    first: Record = row.records[0]
    baseline = row.baseline if row.is_student else TEACHER
    return published(first, baseline, metric)


def _mean(row: ResultRow | None, metric: str) -> float | None:
    return None if row is None else row.value(f"{LAST}/{metric}")


def _breakable(pair: str) -> str:
    """`resnet32x4-\\nresnet8x4`: a long pair on two lines."""
    return pair.replace("-", "-\n", 1) if len(pair) > 12 else pair


def _frame(
    heading: PairBlock,
    pairs: list[str],
    cells: Cells,
    metric: str,
    figures: dict[tuple[str, str], Published],
) -> pd.DataFrame:
    """A line each; columns `<pair>/mean`, `/sd`, `/n`, `/published`, in the metric's printed unit."""
    rows: list[dict[str, Any]] = []
    for line in heading.rows:
        values: dict[str, Any] = {
            "dataset": heading.dataset,
            "synthetic": heading.about.synthetic,
            "row": line.kind,
            "baseline": line.baseline or None,
            "title": line.title,
            "metric": metric,
            **{name: line.condition.get(name) for name in heading.conditions},
            "differs_in": line.differs_in,
        }
        for pair in pairs:
            row = cells[line.id].get(pair)
            measured = {} if row is None else row.values
            estimate = measured.get(f"{LAST}/{metric}", estimate_of([]))
            values |= {f"{pair}/{part}": getattr(estimate, part) for part in ("mean", "sd", "n")}
            if any(each == pair for _, each in figures):
                figure = figures.get((line.id, pair))
                values[f"{pair}/published"] = math.nan if figure is None else figure.value
        rows.append(values)
    return typed_frame(rows)


def wide_frame(source: Results | Iterable[Record]) -> pd.DataFrame:
    """The same numbers as one frame: a line for each task, dataset, metric and baseline, columns by pair.

    Raises:
        UserError: where two records of one run contradict each other.
    """
    results = source if isinstance(source, Results) else Results.of(source)
    frames = [table.frame.assign(table=table.stem) for table in pair_tables(results)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
