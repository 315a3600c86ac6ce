"""One table per task: which columns it has, what its cells say, and the sentences of its caption."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from benchmark.reporting.comparisons import BEST, TIED, against_anchor, by_condition, standings
from benchmark.reporting.frame import Record, condition_names, typed_frame
from benchmark.reporting.rows import Block, Row, headlines, merge_metrics, task_blocks, varying_conditions
from benchmark.reporting.statistics import FIRM_FROM, INTERVAL_FROM, Summary
from benchmark.reporting.words import (
    all_notes,
    decimals_of,
    failures,
    metric_name,
    row_n,
    show_count,
    show_difference,
    show_mean,
    show_p,
    show_status,
    show_summary,
    show_value,
)


@dataclass(frozen=True)
class Column:
    """A column of the printed table. `spare`: 0 is always shown; of the others the largest leaves first."""

    header: str
    """may hold a line break, which narrow renderers use"""
    cell: Callable[[Row], str]
    spare: int = 0
    numeric: bool = True


@dataclass(frozen=True)
class TaskTable:
    """Everything that a renderer needs; `columns` make printed cells, `frame` has the numbers."""

    task: str
    title: str
    blocks: list[Block]
    columns: list[Column]
    caption: list[str]
    """one sentence an item"""
    notes: list[str]
    """why runs diverged or did not apply; note k is marked [k] in the cells"""
    frame: pd.DataFrame


def task_tables(records: Iterable[Record]) -> list[TaskTable]:
    """The tables of all tasks, sorted by the task's name."""
    records = list(records)
    tables = []
    for task, blocks in task_blocks(records).items():
        own = [record for record in records if record["run"]["task"] == task]
        notes = all_notes(blocks)
        title = own[0]["about"].get("task_title") or task
        columns = _columns(blocks, merge_metrics(own), notes)
        caption = _caption(blocks, own)
        tables.append(TaskTable(task, title, blocks, columns, caption, notes, numbers_frame(blocks, own)))
    return tables


def _columns(blocks: list[Block], metrics: dict[str, dict], notes: list[str]) -> list[Column]:
    rows = [row for block in blocks for row in block.rows]
    columns = [Column("method", lambda row: row.title, numeric=False)]
    columns += [Column("role", _role, spare=3, numeric=False)]
    columns += condition_columns(blocks)
    columns += [Column("n", lambda row: str(row_n(row)))]
    columns += [Column("status", lambda row: show_status(row, notes), numeric=False)]
    first = headlines(metrics)
    anchor = _anchor_title(rows)
    for name in first:
        columns += _headline_columns(blocks, name, metrics[name], f"{anchor}," if len(first) > 1 else anchor)
    others = [name for name in metrics if name not in first]
    columns += [_metric_column(name, metrics[name], spare=4 + k) for k, name in enumerate(others)]
    spare = 4 + len(others)
    columns += [
        Column("parameters", lambda row: show_count(row.values.get("parameters")), spare + 2),
        Column("multiply-\naccumulates", lambda row: show_count(row.values.get("macs")), spare + 3),
        Column("ms per step", lambda row: show_mean(row.values.get("step_ms"), 1), spare),
        Column(
            "teacher's\nshare (ms)", lambda row: show_mean(row.values.get("teacher_share_ms"), 1), spare + 1
        ),
        Column("peak\nmemory (MB)", lambda row: show_mean(row.values.get("peak_memory_mb"), 0), spare + 4),
    ]
    kept = {"method", "n"}
    return [column for column in columns if column.header in kept or any(column.cell(row) for row in rows)]


def condition_columns(blocks: list[Block]) -> list[Column]:
    """What tells rows of one baseline apart: the conditions that vary, and whatever else differs."""
    varying = [_condition_column(name) for name in blocks[0].conditions]
    variants = any(row.variant for block in blocks for row in block.rows)
    return varying + [Column("differs in", lambda row: row.variant, numeric=False)] * variants


def _role(row: Row) -> str:
    role = "" if row.is_teacher else row.about.get("role", "")
    return "" if role == "method" else role


def _condition_column(name: str) -> Column:
    return Column(
        name.replace("_", "\n", 1).replace("_", " "),
        lambda row: show_value(row.condition[name]) if name in row.condition else "",
    )


def _anchor_title(rows: list[Row]) -> str:
    titles = {row.title for row in rows if row.is_anchor}
    return titles.pop() if len(titles) == 1 else "anchor"


def _headline_columns(blocks: list[Block], name: str, metric: dict, anchor: str) -> list[Column]:
    decimals = decimals_of(metric)
    measured = [block for block in blocks if name in block.metrics]
    marks = {row: mark for block in measured for row, mark in standings(block, name).items()}
    tested = {id(each.row): each.p_holm for block in measured for each in against_anchor(block, name)}
    words = metric_name(metric, name)
    # With one headline metric the header before has named it already.
    unit = (
        metric_name({**metric, "direction": ""}, name)
        if anchor.endswith(",")
        else f"({'points' if metric.get('unit') == '%' else metric.get('unit', '')})"
    )
    return [
        Column(f"{words}\nlast epoch", _summary_cell(f"test@last/{name}", decimals)),
        Column("best", lambda row: marks.get(id(row), ""), numeric=False),
        Column(f"{words}\nbest valid.", _summary_cell(f"test@best_validation/{name}", decimals), spare=2),
        Column(
            f"difference to\n{anchor} {unit}",
            lambda row: show_difference(row.values.get(f"difference/{name}"), decimals, row_n(row)),
            spare=1,
        ),
        Column("Holm\np", lambda row: show_p(tested.get(id(row), math.nan)), spare=1),
    ]


def _metric_column(name: str, metric: dict, spare: int) -> Column:
    words = metric_name(metric, name)
    # Long titles break in the middle, so that the header is no wider than the numbers.
    middle = words.find(" ", len(words) // 2 - 3) if len(words) > 14 else -1
    header = words if middle < 0 else f"{words[:middle]}\n{words[middle + 1 :]}"
    return Column(header, _summary_cell(f"test@last/{name}", decimals_of(metric)), spare)


def _summary_cell(key: str, decimals: int) -> Callable[[Row], str]:
    return lambda row: show_summary(row.values.get(key), decimals, row_n(row))


def _common_conditions(records: list[Record]) -> str:
    """The condition that all records share, in words: `epochs 10, train samples 5000`."""
    varying = varying_conditions(records)
    shared = {
        name: records[0]["condition"].get(name) for name in condition_names(records) if name not in varying
    }
    return ", ".join(
        f"{name.replace('_', ' ')} {show_value(value)}"
        for name, value in shared.items()
        if value is not None and value != ""
    )


def _caption(blocks: list[Block], records: list[Record]) -> list[str]:
    rows = [row for block in blocks for row in block.rows]
    sentences = [
        "Results on the test split: mean ± sample standard deviation over n seeds; for the teacher, n counts"
        " distinct teachers. A single run has no ±."
    ]
    if any(row.is_anchor for row in rows):
        sentences.append(
            f"Differences to {_anchor_title(rows)} are paired by seed, under the same condition, with their"
            " 95 % t interval; p is that of the paired t test, with Holm's correction over the rows compared."
        )
    sentences += caption_of_marks(blocks)
    sentences.append("All numbers, and every interval over student seeds, are conditional on the teacher.")
    if any(row.count("diverged") for row in rows if not row.is_teacher):
        sentences.append("Means leave out runs that diverged; the status column counts them.")
    if common := _common_conditions(records):
        sentences.append(f"All runs: {common}.")
    if any("step_ms" in record.get("measurements", {}) for record in records):
        sentences.append(
            "Milliseconds per step are the student's own; the teacher's share is its pass divided by the runs"
            " that share it."
        )
    return sentences + provenance_warnings(records)


def caption_of_marks(blocks: list[Block]) -> list[str]:
    """What the marks of the best rows mean, or why nothing is marked; what three or four seeds are worth."""
    groups = [rows for block in blocks for rows in by_condition(block) if len(rows) > 1]
    most = max((max(len(row.finished) for row in rows) for rows in groups), default=0)
    if not most:
        return []
    if most < INTERVAL_FROM:
        return [f"Below {INTERVAL_FROM} seeds nothing is tested and no winner is marked."]
    sentences = [
        f"{BEST}: the best, beyond noise (paired t tests against all others, Holm, 5 %). {TIED}: the best"
        " where it is not, and the rows whose 95 % interval of the difference to it holds 0."
    ]
    if most < FIRM_FROM:
        sentences.append(f"With fewer than {FIRM_FROM} seeds every comparison is indicative only.")
    return sentences


def provenance_warnings(records: Iterable[Record]) -> list[str]:
    """Sentences for records of several commits or devices, or of a tree with uncommitted changes."""
    known = [record.get("provenance", {}) for record in records]
    commits = sorted({str(provenance["commit"])[:8] for provenance in known if provenance.get("commit")})
    dirty = sum(provenance.get("clean") is False for provenance in known)
    devices = sorted({str(provenance["device"]) for provenance in known if provenance.get("device")})
    sentences = []
    if len(commits) > 1:
        sentences.append(f"These records mix {len(commits)} commits of the code: {', '.join(commits)}.")
    if dirty:
        sentences.append(f"{dirty} of {len(known)} records come from a tree with uncommitted changes.")
    if len(devices) > 1:
        sentences.append(
            f"These records mix devices: {', '.join(devices)}; times and memory are not comparable."
        )
    return sentences


def numbers_frame(blocks: list[Block], records: list[Record]) -> pd.DataFrame:
    """The table as numbers: `<key>/mean`, `/sd`, `/n`, and `/low`, `/high` of the 95 % t interval.

    Metrics are in the unit of the printed table. All conditions are columns, varying or not.
    """
    conditions = condition_names(records)
    lines = []
    for block in blocks:
        for row in block.rows:
            line = {
                "dataset": block.dataset,
                "synthetic": bool(block.about.get("synthetic")),
                "pair": block.pair,
                "row": row.end if row.is_teacher else "student",
                "baseline": row.baseline,
                "title": row.title,
                "role": None if row.is_teacher else row.about.get("role"),
                "paper": None if row.is_teacher else row.about.get("paper"),
                **{name: row.condition.get(name) for name in conditions},
                "differs_in": row.variant,
                "runs": len(row.records),
                "finished": row_n(row),
                "diverged": 0 if row.is_teacher else row.count("diverged"),
                "not_applicable": 0 if row.is_teacher else row.count("not_applicable"),
                "reasons": "; ".join(reason for _, reason in failures(row) if reason),
            }
            for key, summary in row.values.items():
                line |= {f"{key}/{part}": value for part, value in vars(summary).items()}
            lines.append(line)
    # A key that no row has a value for says nothing; its columns go.
    return typed_frame(lines).drop(columns=_empty_keys(lines))


def _empty_keys(lines: list[dict]) -> list[str]:
    names = dict.fromkeys(name for line in lines for name in line)
    empty = [
        n.removesuffix("/n") for n in names if n.endswith("/n") and not any(line.get(n) for line in lines)
    ]
    return [f"{key}/{part}" for key in empty for part in Summary.__dataclass_fields__]
