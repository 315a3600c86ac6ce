"""Records grouped into rows of tables and figures; runs share a row if nothing but the seed differs."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.reporting.frame import Record, condition_names, sort_key
from benchmark.reporting.statistics import Summary, paired_differences, summarise

PROBES = "probes/"
"""Prefix of the values of probes: `probes/own/linear`, in percent."""

SPLITS = ("test@last", "test@best_validation")
COSTS = ("parameters", "macs")
OF_OWN_TEACHER = ("teacher_epochs", "teacher_checkpoint")
MEASUREMENTS = (
    "step_ms", "teacher_share_ms", "data_share_ms", "latency_ms", "peak_memory_mb", "total_s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One baseline under one condition, over its seeds; or (`baseline` None) an end of the scale."""

    title: str
    baseline: str | None
    condition: dict[str, Any]
    records: tuple[Record, ...]
    values: dict[str, Summary] = field(default_factory=dict)
    variant: str = ""
    """what else differs from a row of the same baseline and condition"""
    home: dict[str, Any] = field(default_factory=dict)
    """the condition under which the row is compared: that of its anchor, or its own; without own overrides"""
    end: str = "teacher"
    """what a row without a baseline is: "teacher" (over teachers), or "untrained" (students, over seeds)"""

    @property
    def about(self) -> dict[str, Any]:
        return self.records[0]["about"]

    @property
    def is_teacher(self) -> bool:
        return self.baseline is None

    @property
    def is_anchor(self) -> bool:
        return not self.is_teacher and bool(self.about.get("anchor"))

    @property
    def finished(self) -> list[Record]:
        return [record for record in self.records if record["status"] == "finished"]

    def count(self, status: str) -> int:
        """How many runs ended with the status."""
        return sum(record["status"] == status for record in self.records)

    def by_seed(self, key: str, metrics: dict[str, dict]) -> dict[int, float]:
        """Seed -> value of `test@last/top1`, say, in the metric's own unit; finished runs that have it."""
        split, name = key.split("/")
        found = {r["run"]["seed"]: r["results"].get(split, {}).get(name) for r in self.finished}
        scale = scale_of(metrics[name])
        return {seed: value * scale for seed, value in found.items() if value is not None}


@dataclass(frozen=True)
class Block:
    """One dataset and pair of one task: what may stand under one heading."""

    dataset: str
    pair: str
    metrics: dict[str, dict]
    conditions: tuple[str, ...]
    """the condition columns that vary within the task"""
    rows: tuple[Row, ...]

    @property
    def about(self) -> dict[str, Any]:
        return self.rows[0].about

    @property
    def headlines(self) -> list[str]:
        return headlines(self.metrics)


def scale_of(metric: dict) -> float:
    return metric.get("scale") or 1


def headlines(metrics: dict[str, dict]) -> list[str]:
    """The metrics marked as headline; the first one where none is."""
    return [name for name, metric in metrics.items() if metric.get("headline")] or list(metrics)[:1]


def merge_metrics(records: Iterable[Record]) -> dict[str, dict]:
    """Every metric of the records with its description; the first description counts."""
    merged: dict[str, dict] = {}
    for record in records:
        for name, metric in record["metrics"].items():
            merged.setdefault(name, metric)
    return merged


def task_blocks(records: Iterable[Record]) -> dict[str, list[Block]]:
    """Task -> its blocks, each with its teacher's and its baselines' rows; sorted by name."""
    by_task = defaultdict(list)
    for record in records:
        by_task[record["run"]["task"]].append(record)
    blocks = {}
    for task in sorted(by_task):
        conditions = varying_conditions(by_task[task])
        by_block = defaultdict(list)
        for record in by_task[task]:
            by_block[record["run"]["dataset"], record["run"]["pair"]].append(record)
        blocks[task] = [_block(by_block[key], key, conditions) for key in sorted(by_block)]
    return blocks


def varying_conditions(records: list[Record]) -> tuple[str, ...]:
    """The condition columns with more than one value."""
    return tuple(
        name
        for name in condition_names(records)
        if len({json.dumps(record["condition"].get(name)) for record in records}) > 1
    )


def _block(records: list[Record], key: tuple[str, str], conditions: tuple[str, ...]) -> Block:
    metrics = merge_metrics(records)
    rows = [
        Row(
            group[0]["about"].get("baseline_title") or baseline,
            baseline,
            group[0]["condition"],
            tuple(group),
            _values(group, metrics),
            variant,
        )
        for baseline, variant, group in _groups(records)
    ]
    rows = [_compared(row, rows, metrics) for row in rows]
    rows.sort(
        key=lambda row: (
            [sort_key(row.home.get(name)) for name in conditions],
            not row.is_anchor,
            row.about.get("order", 0),
            sort_key(row.condition.get("overrides")),
            row.title,
            row.variant,
        )
    )
    return Block(*key, metrics, conditions, (*_teacher_rows(records, conditions, metrics), *rows))


def _groups(records: list[Record]) -> list[tuple[str, str, list[Record]]]:
    """(baseline, variant, records by seed): the records that one row may average."""
    declared = defaultdict(list)
    for record in records:
        declared[record["run"]["baseline"], json.dumps(record["condition"], sort_keys=True)].append(record)
    groups = []
    for (baseline, _), group in declared.items():
        variants = defaultdict(list)
        seen = Counter()
        for record in sorted(group, key=lambda r: (sort_key(r["run"]["seed"]), r["id"])):
            label = _variant(record, group)
            seen[label, record["run"]["seed"]] += 1
            copy = seen[label, record["run"]["seed"]]
            # Two records of one seed differ in something that no part of the record tells.
            variants[label if copy == 1 else f"{label}, copy {copy}".removeprefix(", ")].append(record)
        groups += [(baseline, label, members) for label, members in variants.items()]
    return groups


def _variant(record: Record, group: list[Record]) -> str:
    """How a record's hyper-parameters, data or teacher differ from others of its baseline and condition."""
    parts = []
    settings = [other["hyperparameters"] for other in group if other.get("hyperparameters")]
    for name, value in sorted((record.get("hyperparameters") or {}).items()):
        if any(other.get(name, value) != value for other in settings):
            parts.append(f"{name}={value}")
    for title, name in (("data", "data_fingerprint"), ("teacher", "teacher_id")):
        known = {other.get("provenance", {}).get(name) for other in group} - {None, ""}
        own = record.get("provenance", {}).get(name)
        if len(known) > 1 and own:
            parts.append(f"{title} {own[:8]}")
    return ", ".join(parts)


def _values(records: list[Record], metrics: dict[str, dict]) -> dict[str, Summary]:
    finished = [record for record in records if record["status"] == "finished"]
    values = {}
    for split in SPLITS:
        for name, metric in metrics.items():
            found = (record["results"].get(split, {}).get(name) for record in finished)
            values[f"{split}/{name}"] = _scaled(found, metric)
    for part, names in (("results", COSTS), ("measurements", MEASUREMENTS)):
        for name in names:
            values[name] = summarise(record.get(part, {}).get(name) for record in finished)
    return values | probe_values(finished)


def probe_values(records: list[Record], owner: str = "") -> dict[str, Summary]:
    """`probes/own/linear` and so on, in percent, of the students or of the `owner` ("teacher") beside."""
    found = [(r["results"].get(owner, {}) if owner else r["results"]).get("probes", {}) for r in records]
    keys = dict.fromkeys((name, probe) for probes in found for name in probes for probe in probes[name])
    return {
        f"{PROBES}{name}/{probe}": _scaled((p.get(name, {}).get(probe) for p in found), {"scale": 100})
        for name, probe in keys
    }


def _scaled(values: Iterable[float | None], metric: dict) -> Summary:
    scale = scale_of(metric)
    return summarise(None if value is None else value * scale for value in values)


def _compared(row: Row, rows: list[Row], metrics: dict[str, dict]) -> Row:
    """The row with its home, and `difference/top1`: test@last minus the anchor's, paired by seed."""
    anchor = anchor_of(row, rows)
    if anchor is None:
        return replace(row, home=shared_condition(row))
    values = dict(row.values)
    for name in headlines(metrics):
        key = f"test@last/{name}"
        differences = paired_differences(row.by_seed(key, metrics), anchor.by_seed(key, metrics))
        values[f"difference/{name}"] = summarise(differences)
    return replace(row, home=shared_condition(anchor), values=values)


def anchor_of(row: Row, rows: Iterable[Row]) -> Row | None:
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
    if not found and row.about.get("role") == "control":
        found = [other for other in anchors if _but_teacher(other) == _but_teacher(row)]
    if len(found) > 1:
        found = [other for other in found if teacher_id(other.records[0]) == teacher_id(row.records[0])]
    return found[0] if len(found) == 1 else None


def shared_condition(row: Row) -> dict[str, Any]:
    """The row's condition with overrides of the recipes only: what it shares with its anchor."""
    shared = [item for item in overrides_of(row) if item.startswith(("recipe.", "teacher_recipe."))]
    return {**row.condition, "overrides": " ".join(shared)}


def overrides_of(row: Row) -> list[str]:
    """`["recipe.milestones=(0.5, 0.75)", "tau=0.1"]`: the items of the condition `overrides`."""
    text = str(row.condition.get("overrides") or "")
    return [item for item in re.split(r"\s+(?=[\w.+]+=)", text) if item]


def _but_teacher(row: Row) -> dict[str, Any]:
    return {name: value for name, value in shared_condition(row).items() if name not in OF_OWN_TEACHER}


def teacher_id(record: Record) -> str:
    """Which teacher a record's student had; empty where the record knows no teacher."""
    known = record.get("provenance", {}).get("teacher_id")
    return known or json.dumps(record["results"].get("teacher") or "", sort_keys=True)


def _teacher_rows(records: list[Record], conditions: tuple[str, ...], metrics: dict[str, dict]) -> list[Row]:
    """The teachers of the block, averaged over teachers that differ in nothing but `teacher_seed`.

    Controls have teachers of their own (an untrained one, say), which must not enter the mean: they
    count only where there are no other rows.
    """
    taught = [r for r in records if r["results"].get("teacher", {}).get("test")]
    taught = [r for r in taught if r["about"].get("role") != "control"] or taught
    by_teacher = defaultdict(list)
    for record in taught:
        by_teacher[teacher_id(record)].append(record)

    def tells_teachers_apart(name: str) -> bool:
        """Constant for each teacher, and not the same for all."""
        values = [{json.dumps(r["condition"].get(name)) for r in group} for group in by_teacher.values()]
        return all(len(own) == 1 for own in values) and len(set().union(*values)) > 1

    own = [name for name in conditions if name != "teacher_seed" and tells_teachers_apart(name)]
    rows = defaultdict(list)
    for group in by_teacher.values():
        architecture = group[0]["about"].get("teacher", "")
        rows[json.dumps([architecture, *(group[0]["condition"].get(name) for name in own)])].append(group[0])
    return [_teacher_row(group, own, metrics) for _, group in sorted(rows.items())]


def _teacher_row(teachers: list[Record], own: list[str], metrics: dict[str, dict]) -> Row:
    results = [record["results"] for record in teachers]
    values = {
        f"test@last/{name}": _scaled((r["teacher"]["test"].get(name) for r in results), metric)
        for name, metric in metrics.items()
    }
    values |= {name: summarise(r.get(f"teacher_{name}") for r in results) for name in COSTS}
    values |= probe_values(teachers, owner="teacher")
    title = f"teacher ({teachers[0]['about'].get('teacher', 'unnamed')})"
    return Row(
        title, None, {name: teachers[0]["condition"].get(name) for name in own}, tuple(teachers), values
    )
