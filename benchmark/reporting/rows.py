"""Records grouped into rows of tables and figures; runs share a row if nothing but the seed differs."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.records import BEST, LAST, About, Metric, Probes, Record, Status
from benchmark.reporting.frame import (
    CONDITIONS,
    RECIPES,
    columns,
    condition_columns,
    show_overrides,
    sort_key,
)
from benchmark.reporting.statistics import Estimate, estimate_of, paired_differences

PROBES = "probes/"
"""Prefix of the values of probes: `probes/own/linear`, in percent."""

SPLITS = (LAST, BEST)
COSTS = ("parameters", "macs")
LOST: tuple[Status, ...] = ("diverged", "failed")
"""How a run ends that began and has no result."""

OF_OWN_TEACHER = ("teacher_epochs", "teacher_checkpoint")
MEASUREMENTS = (
    "step_ms", "teacher_share_ms", "data_share_ms", "latency_ms", "peak_memory_mb", "total_s",
)  # fmt: skip


@dataclass(frozen=True)
class ResultRow:
    """One baseline under one condition, over its seeds; or (`baseline` None) an end of the scale."""

    title: str
    baseline: str | None
    condition: dict[str, Any]
    """what the condition columns show: name -> value, the overrides in one line"""
    records: tuple[Record, ...]
    values: dict[str, Estimate] = field(default_factory=dict)
    variant: str = ""
    """what else differs from a row of the same baseline and condition"""
    comparison_condition: dict[str, Any] = field(default_factory=dict)
    """the condition under which the row is compared: that of its anchor, or its own; without own overrides"""
    kind: str = "teacher"
    """what a row without a baseline is: "teacher" (over teachers), or "untrained" (students, over seeds)"""

    @property
    def about(self) -> About:
        return self.records[0].about

    @property
    def name(self) -> str:
        """The baseline's name; empty for an end of the scale."""
        return self.baseline or ""

    @property
    def is_teacher(self) -> bool:
        return self.baseline is None

    @property
    def is_anchor(self) -> bool:
        return not self.is_teacher and self.about.anchor

    @property
    def finished(self) -> list[Record]:
        return [record for record in self.records if record.status == "finished"]

    def count(self, status: Status) -> int:
        """How many runs ended with the status."""
        return sum(record.status == status for record in self.records)

    @property
    def lost(self) -> int:
        """How many runs diverged or failed: the row's means are those of the others."""
        return sum(map(self.count, LOST))

    def by_seed(self, key: str, metrics: dict[str, Metric]) -> dict[int, float]:
        """Seed -> value of `test@last/top1`, say, in the metric's own unit; finished runs that have it."""
        split, name = key.split("/")
        found = {record.run.seed: record.results.score(split, name) for record in self.finished}
        return {seed: value * metrics[name].scale for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class PairBlock:
    """One dataset and pair of one task: what may stand under one heading."""

    dataset: str
    pair: str
    metrics: dict[str, Metric]
    conditions: tuple[str, ...]
    """the condition columns that vary within the task"""
    rows: tuple[ResultRow, ...]

    @property
    def about(self) -> About:
        return self.rows[0].about

    @property
    def primary_metrics(self) -> list[str]:
        return primary_metrics(self.metrics)


def primary_metrics(metrics: dict[str, Metric]) -> list[str]:
    """The metrics that the task is judged by first; the first one where none is marked."""
    return [name for name, metric in metrics.items() if metric.primary] or list(metrics)[:1]


def merge_metrics(records: Iterable[Record]) -> dict[str, Metric]:
    """Every metric of the records with its description; the first description counts."""
    merged: dict[str, Metric] = {}
    for record in records:
        for name, metric in record.metrics.items():
            merged.setdefault(name, metric)
    return merged


def task_blocks(records: Iterable[Record]) -> dict[str, list[PairBlock]]:
    """Task -> its blocks, each with its teacher's and its baselines' rows; sorted by name."""
    by_task = defaultdict(list)
    for record in records:
        by_task[record.run.task].append(record)
    blocks = {}
    for task in sorted(by_task):
        conditions = varying_conditions(by_task[task])
        by_block = defaultdict(list)
        for record in by_task[task]:
            by_block[record.run.dataset, record.run.pair].append(record)
        blocks[task] = [_block(by_block[key], key, conditions) for key in sorted(by_block)]
    return blocks


def varying_conditions(records: list[Record]) -> tuple[str, ...]:
    """The condition columns with more than one value."""
    known = [condition_columns(record.condition) for record in records]
    return tuple(name for name in CONDITIONS if len({json.dumps(each[name]) for each in known}) > 1)


def _block(records: list[Record], key: tuple[str, str], conditions: tuple[str, ...]) -> PairBlock:
    metrics = merge_metrics(records)
    rows = [
        ResultRow(
            group[0].about.baseline_title or baseline,
            baseline,
            condition_columns(group[0].condition),
            tuple(group),
            _values(group, metrics),
            variant,
        )
        for baseline, variant, group in _groups(records)
    ]
    rows = [_compared(row, rows, metrics) for row in rows]
    rows.sort(
        key=lambda row: (
            [sort_key(row.comparison_condition[name]) for name in conditions],
            not row.is_anchor,
            row.about.order,
            sort_key(row.condition["overrides"]),
            row.title,
            row.variant,
        )
    )
    return PairBlock(*key, metrics, conditions, (*_teacher_rows(records, conditions, metrics), *rows))


def _groups(records: list[Record]) -> list[tuple[str, str, list[Record]]]:
    """(baseline, variant, records by seed): the records that one row may average."""
    declared = defaultdict(list)
    for record in records:
        declared[record.run.baseline, json.dumps(columns(record.condition), sort_keys=True)].append(record)
    groups = []
    for (baseline, _), group in declared.items():
        variants = defaultdict(list)
        seen = Counter()
        for record in sorted(group, key=lambda r: (r.run.seed, r.id)):
            label = _variant(record, group)
            seen[label, record.run.seed] += 1
            copy = seen[label, record.run.seed]
            # Two records of one seed differ in something that no part of the record tells.
            variants[label if copy == 1 else f"{label}, copy {copy}".removeprefix(", ")].append(record)
        groups += [(baseline, label, members) for label, members in variants.items()]
    return groups


def _variant(record: Record, group: list[Record]) -> str:
    """How a record's hyper-parameters, data or teacher differ from others of its baseline and condition."""
    parts = []
    settings = [other.hyperparameters for other in group if other.hyperparameters]
    for name, value in sorted(record.hyperparameters.items()):
        if any(other.get(name, value) != value for other in settings):
            parts.append(f"{name}={value}")
    data = {other.provenance.data_fingerprint for other in group}
    teachers = {other.teacher.id for other in group}
    for title, own, known in (
        ("data", record.provenance.data_fingerprint, data),
        ("teacher", record.teacher.id, teachers),
    ):
        if len(known - {""}) > 1 and own:
            parts.append(f"{title} {own[:8]}")
    return ", ".join(parts)


def _values(records: list[Record], metrics: dict[str, Metric]) -> dict[str, Estimate]:
    finished = [record for record in records if record.status == "finished"]
    values = {}
    for split in SPLITS:
        for name, metric in metrics.items():
            found = (record.results.score(split, name) for record in finished)
            values[f"{split}/{name}"] = _scaled(found, metric.scale)
    for name in COSTS:
        values[name] = estimate_of(getattr(record.results, name) for record in finished)
    for name in MEASUREMENTS:
        values[name] = estimate_of(getattr(record.measurements, name) for record in finished)
    return values | probe_values([record.results.probes for record in finished])


def probe_values(found: list[Probes]) -> dict[str, Estimate]:
    """`probes/own/linear` and so on, in percent, over the probes of several networks."""
    keys = dict.fromkeys((name, probe) for probes in found for name in probes for probe in probes[name])
    return {
        f"{PROBES}{name}/{probe}": _scaled((p.get(name, {}).get(probe) for p in found), 100)
        for name, probe in keys
    }


def _scaled(values: Iterable[float | None], scale: float) -> Estimate:
    return estimate_of(None if value is None else value * scale for value in values)


def _compared(row: ResultRow, rows: list[ResultRow], metrics: dict[str, Metric]) -> ResultRow:
    """The row with its comparison condition, and `difference/top1`: test@last minus the anchor's, by seed."""
    anchor = anchor_of(row, rows)
    if anchor is None:
        return replace(row, comparison_condition=shared_condition(row))
    values = dict(row.values)
    for name in primary_metrics(metrics):
        key = f"{LAST}/{name}"
        differences = paired_differences(row.by_seed(key, metrics), anchor.by_seed(key, metrics))
        values[f"difference/{name}"] = estimate_of(differences)
    return replace(row, comparison_condition=shared_condition(anchor), values=values)


def anchor_of(row: ResultRow, rows: Iterable[ResultRow]) -> ResultRow | None:
    """The anchor row of the same condition; None for an anchor itself, or if none or several would do.

    What can't change the anchor may differ: overrides of the row's own hyper-parameters and, for a control,
    how its own teacher was trained.
    """
    if row.is_anchor:
        return None
    anchors = [other for other in rows if other.is_anchor]
    found = [other for other in anchors if other.condition == row.condition]
    if not found:
        found = [other for other in anchors if shared_condition(other) == shared_condition(row)]
    if not found and row.about.role == "control":
        found = [other for other in anchors if _but_teacher(other) == _but_teacher(row)]
    if len(found) > 1:
        found = [other for other in found if teacher_id(other.records[0]) == teacher_id(row.records[0])]
    return found[0] if len(found) == 1 else None


def shared_condition(row: ResultRow) -> dict[str, Any]:
    """The row's condition with overrides of the recipes only: what it shares with its anchor."""
    overrides = row.records[0].condition.overrides
    shared = {name: value for name, value in overrides.items() if name.startswith(RECIPES)}
    return {**row.condition, "overrides": " ".join(show_overrides(shared))}


def _but_teacher(row: ResultRow) -> dict[str, Any]:
    return {name: value for name, value in shared_condition(row).items() if name not in OF_OWN_TEACHER}


def teacher_id(record: Record) -> str:
    """Which teacher a record's student had; its scores where the record knows no id."""
    return record.teacher.id or json.dumps(record.teacher.test, sort_keys=True)


def _teacher_rows(
    records: list[Record], conditions: tuple[str, ...], metrics: dict[str, Metric]
) -> list[ResultRow]:
    """The teachers of the block, averaged over teachers that differ in nothing but `teacher_seed`.

    Controls have teachers of their own (an untrained one, say), which must not enter the mean: they
    count only where there are no other rows.
    """
    taught = [record for record in records if record.teacher.test]
    taught = [record for record in taught if record.about.role != "control"] or taught
    by_teacher = defaultdict(list)
    for record in taught:
        by_teacher[teacher_id(record)].append((record, condition_columns(record.condition)))

    def tells_teachers_apart(name: str) -> bool:
        """Constant for each teacher, and not the same for all."""
        values = [{json.dumps(condition[name]) for _, condition in group} for group in by_teacher.values()]
        return all(len(own) == 1 for own in values) and len(set().union(*values)) > 1

    own = [name for name in conditions if name != "teacher_seed" and tells_teachers_apart(name)]
    rows = defaultdict(list)
    for (record, condition), *_ in by_teacher.values():
        key = json.dumps([record.teacher.architecture, *(condition[name] for name in own)])
        rows[key].append(record)
    return [_teacher_row(group, own, metrics) for _, group in sorted(rows.items())]


def _teacher_row(records: list[Record], own: list[str], metrics: dict[str, Metric]) -> ResultRow:
    """The row of one record a teacher; `own`: the conditions that tell it from other rows of teachers."""
    teachers, condition = [record.teacher for record in records], condition_columns(records[0].condition)
    values = {
        f"{LAST}/{name}": _scaled((teacher.test.get(name) for teacher in teachers), metric.scale)
        for name, metric in metrics.items()
    }
    values |= {name: estimate_of(getattr(teacher, name) for teacher in teachers) for name in COSTS}
    values |= probe_values([teacher.probes for teacher in teachers])
    title = f"teacher ({teachers[0].architecture or 'unnamed'})"
    return ResultRow(title, None, {name: condition[name] for name in own}, tuple(records), values)
