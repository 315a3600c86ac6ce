"""The table over all tasks: interquartile mean and probability of improvement of each baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from benchmark.reporting.across_tasks import SETS, Across, across_tasks, dataset_of
from benchmark.reporting.formatting import Cell
from benchmark.reporting.frame import typed_frame
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PairBlock, ResultRow
from benchmark.reporting.statistics.aggregates import Aggregate
from benchmark.reporting.statistics.spread import Estimate
from benchmark.reporting.tables.captions import anchor_title, provenance_warnings
from benchmark.reporting.tables.task_tables import METHOD, Column, TaskTable, role_of

STEM = "across_tasks"
IQM, BETTER = "iqm", "improvement"
TOO_NARROW_BELOW = 10
"""runs in a block: with five the bootstrap's interval holds in 0.89 of cases"""


def across_tables(results: Results) -> list[TaskTable]:
    """One table for the whole folder; none where fewer than two blocks have anything in common."""
    found = across_tasks(results)
    if not found:
        return []
    blocks = [_as_block(each) for each in found]
    rows = [row for block in blocks for row in block.rows]
    return [
        TaskTable(
            task="",
            kind="across_tasks",
            stem=STEM,
            title="All tasks: normalised scores",
            blocks=blocks,
            columns=_columns(rows),
            caption=[*caption(found), *provenance_warnings([r for row in rows for r in row.records])],
            notes=[],
            frame=_frame(found, blocks),
        )
    ]


def _as_block(across: Across) -> PairBlock:
    """Default or tuned rows as a block of the table, their aggregates as values."""
    return replace(
        across.blocks[0].panel.block,
        rows=tuple(_as_row(across, row) for row in across.rows),
        conditions=(),
        heading=heading(across),
    )


def _as_row(across: Across, row: ResultRow) -> ResultRow:
    runs, own = across.runs(row), across.rows_of(row)
    better = across.improvement(row)
    values = {IQM: _estimate(across.interquartile_mean(row), runs)}
    values |= {} if better is None else {BETTER: _estimate(better, runs)}
    values |= {"blocks": _count(len(runs)), "runs": _count(sum(map(len, runs)))}
    values["lost"] = _count(sum(each.lost for each in own))
    records = tuple(record for each in own for record in each.records)
    return replace(row, records=records, comparison=across.tuning, values=values, differences={})


def _estimate(found: Aggregate, runs: list[list[float]]) -> Estimate:
    return Estimate(float(found.value), math.nan, sum(map(len, runs)), float(found.low), float(found.high))


def _count(number: int) -> Estimate:
    return Estimate(number, math.nan, 1, math.nan, math.nan)


def heading(across: Across) -> str:
    """`Default hyper-parameters; 6 blocks of 3 datasets (1 synthetic)`."""
    datasets, count = across.datasets, len(across.blocks)
    synthetic = {dataset_of(each) for each in across.blocks if each.panel.block.about.synthetic}
    words = f"{SETS[across.tuning].capitalize()}; {count} blocks of {datasets} dataset{'s' * (datasets > 1)}"
    return f"{words} ({len(synthetic)} synthetic)" if synthetic else words


def _columns(rows: list[ResultRow]) -> list[Column]:
    columns = [
        METHOD,
        _column("interquartile\nmean", IQM, _show_aggregate),
        _column(f"probability of being\nbetter than {anchor_title(rows)}", BETTER, _show_aggregate),
        _column("blocks", "blocks", _show_count),
        _column("runs", "runs", _show_count),
        _column("counted\nas chance", "lost", lambda each: _show_count(each) if each.mean else Cell(), 1),
        Column("role", role_of, spare=2, numeric=False),
    ]
    return [column for column in columns if any(column.cell(row) for row in rows)]


def _column(header: str, key: str, show: Callable[[Estimate], str], spare: int = 0) -> Column:
    return Column(
        header,
        lambda row: show(row.values[key]) if key in row.values else Cell(),
        spare,
        value=lambda row: row.value(key),
    )


def _show_aggregate(found: Estimate) -> Cell:
    """`0.83 [0.71, 0.92]`."""
    interval = "" if math.isnan(found.low) else f"[{found.low:.2f}, {found.high:.2f}]"
    return Cell.of(f"{found.mean:.2f}", "", interval)


def _show_count(found: Estimate) -> Cell:
    return Cell.of(f"{found.mean:.0f}")


def _frame(found: list[Across], blocks: list[PairBlock]) -> pd.DataFrame:
    """A line for each baseline, default and tuned ones apart: `iqm`, `iqm_low`, ..., `improvement`, ..."""
    lines = []
    for across, block in zip(found, blocks, strict=True):
        for row in block.rows:
            line = {
                "tuning": across.tuning,
                "baseline": row.baseline,
                "title": row.title,
                "role": row.about.role,
                "datasets": across.datasets,
                "synthetic": any(each.panel.block.about.synthetic for each in across.blocks),
                **{name: int(row.values[name].mean) for name in ("blocks", "runs", "lost")},
            }
            for name in (IQM, BETTER):
                value = row.values.get(name)
                ends = (math.nan,) * 3 if value is None else (value.mean, value.low, value.high)
                line |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
            lines.append(line)
    return typed_frame(lines)


# --- words ---


def caption(found: list[Across]) -> list[str]:
    """What is aggregated, how, and what could not be."""
    blocks = {block.heading: block for across in found for block in across.blocks}
    sentences = [
        "Scores on the test split, normalised within each block (a dataset, pair and condition): 0 is"
        " chance, 1 the block's teacher.",
        "Interquartile mean: of the middle half of all runs. Probability: that a run is better than one of"
        " the anchor's in the same block, ties a half (Agarwal et al., NeurIPS 2021). A dataset is one task,"
        " whose blocks share its weight; a run that diverged or failed counts as chance.",
        *caption_of_intervals(found),
        f"Blocks: {'; '.join(blocks)}.",
    ]
    unknown = [heading for heading, block in blocks.items() if not block.chance_known]
    if unknown:
        where = "" if len(unknown) == len(blocks) else f" in {'; '.join(unknown)}"
        sentences.append(f"The level of chance is not known{where}: 0 stands for it.")
    return sentences + left_out(found)


def caption_of_intervals(found: list[Across]) -> list[str]:
    """What the intervals hold over, and how well; nothing where there are none."""
    rows = [(across, row) for across in found for row in across.rows]
    counts = {len(runs) for across, row in rows for runs in across.runs(row)}
    sentences = [
        "95 % intervals (from five runs in each block on): seeds are drawn within each block; they hold over"
        " seeds, the tasks, teachers and splits being these."
    ]
    if any(own.clusters for across, row in rows for own in across.rows_of(row)):
        sentences.append(
            "Over several teachers or splits the mean on each of these stands for a run, and these are drawn."
        )
    if min(counts) < TOO_NARROW_BELOW:
        sentences.append("Few seeds make them too narrow: at five they hold in 89 % of cases.")
    return sentences


def left_out(found: list[Across]) -> list[str]:
    """Who does not stand in every block, and where not; blocks without a scale."""
    sentences = []
    for across in found:
        where = [f"in {heading}: {', '.join(titles)}" for heading, titles in across.missing.items()]
        if where:
            sentences.append(f"Left out of the {across.tuning} rows, being missing {'; '.join(where)}.")
        if across.unusable:
            sentences.append(f"Without a scale, and left out: {'; '.join(across.unusable)}.")
    return sentences
