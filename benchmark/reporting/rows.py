"""Rows and blocks: what tables and figures are made of. `grouping` makes them from the tidy frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from benchmark.records import BEST, LAST, About, Metric, Record, Status
from benchmark.reporting.frame import CONDITIONS, condition_columns, show_overrides
from benchmark.reporting.identity import Identity, shared_overrides
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import Estimate, is_crossed

PROBES = "probes/"
"""Prefix of the values of probes: `probes/own/linear`, in percent."""

CORRUPTED = "corrupted/"
"""Prefix of the values on corrupted test samples: `corrupted/gaussian_noise/2/top1`, in the metric's unit."""

SPLITS = (LAST, BEST)
COSTS = ("parameters", "macs")
LOST: tuple[Status, ...] = ("diverged", "failed")
"""How a run ends that began and has no result."""

MEASUREMENTS = (
    "step_ms", "teacher_share_ms", "data_share_ms", "latency_ms", "peak_memory_mb", "total_s", "whole_s",
    "tuning_s",
)  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ResultRow:
    """One baseline under one condition, over its seeds; or an end of the scale."""

    id: str
    """stable: the same for the same runs in every process"""
    title: str
    baseline: str
    """empty for an end of the scale"""
    condition: dict[str, Any]
    """what the condition columns show: name -> value, the overrides in one line"""
    records: tuple[Record, ...]
    identities: tuple[Identity, ...]
    """of the records, one each"""
    numbers: pd.DataFrame
    """a line for each finished run, by its seed (over several teachers or splits by those too), or for each
    teacher; in the units of tables, nan where nothing was measured"""
    clusters: Mapping[Hashable, tuple[str, ...]] = field(default_factory=dict)
    """place of each record among the lines -> its teacher and split; empty where there is only one"""
    comparison: str = ""
    """id of the rows that it may be compared with"""
    comparison_condition: dict[str, Any] = field(default_factory=dict)
    """the condition that those share: without overrides of their own, with every teacher and split of them"""
    setting: str = ""
    """what tells its comparison from others under the same condition: `data 823fa01c`"""
    variant: str = ""
    """what tells it from rows of the same baseline within its comparison: `weight=0.1`"""
    kind: Literal["student", "teacher", "untrained"] = "student"
    values: dict[str, Estimate] = field(default_factory=dict)
    """of each column of `numbers`; without an interval below three runs (teachers, splits)"""
    differences: Mapping[str, Difference] = field(default_factory=dict)
    """primary metric -> its value on the test split minus the anchor's"""

    @property
    def about(self) -> About:
        return self.records[0].about

    @property
    def is_student(self) -> bool:
        return self.kind == "student"

    @property
    def is_anchor(self) -> bool:
        return self.is_student and self.about.anchor

    @property
    def own_overrides(self) -> list[str]:
        """`["temperature=2.0"]`: the overrides in which it differs from `comparison_condition`."""
        overrides = self.records[0].condition.overrides
        shared = shared_overrides(overrides)
        return show_overrides({name: value for name, value in overrides.items() if name not in shared})

    @property
    def differs_in(self) -> str:
        """Whatever tells it from rows of the same baseline and condition."""
        return ", ".join(part for part in (self.setting, self.variant) if part)

    @property
    def finished(self) -> list[Record]:
        return [record for record in self.records if record.status == "finished"]

    def count(self, status: Status) -> int:
        """How many runs ended with the status."""
        return sum(record.status == status for record in self.records)

    @cached_property
    def unscored_places(self) -> list[Hashable]:
        """The lines of finished runs without a finite score, where others of the row have one."""
        names = [f"{LAST}/{name}" for name in primary_metrics(self.records[0].metrics)]
        finite = np.isfinite(self.numbers[names].to_numpy(float))
        scores = finite[:, finite.any(axis=0)]
        return [place for place, own in zip(self.numbers.index, scores, strict=True) if not own.all()]

    @property
    def lost_places(self) -> list[Hashable]:
        """The seeds (or teachers, splits and seeds) of the runs that diverged or failed, or have no score."""
        places = self.clusters or [record.run.seed for record in self.records]
        lost = [place for place, run in zip(places, self.records, strict=True) if run.status in LOST]
        return [*lost, *self.unscored_places]

    @property
    def lost(self) -> int:
        """How many runs those are: the row's means are those of the others."""
        return len(self.lost_places)

    def by_seed(self, key: str) -> dict[Hashable, float]:
        """Seed (or teacher, split and seed) -> value of `test@last/top1`, say; finished runs that have it."""
        return self.numbers[key].dropna().to_dict() if key in self.numbers else {}

    def by_unit(self, key: str) -> dict[Hashable, float]:
        """What a test may take for a sample: the values by seed; over several teachers or splits their means
        on each of these."""
        return means_of_units(self.by_seed(key), self.clusters)

    @property
    def crossed(self) -> bool:
        """Whether several teachers met several splits, so that these are no independent sample."""
        return is_crossed(self.clusters.values())

    def interval(self, key: str) -> tuple[float, float] | None:
        """The 95 % t interval of a column's mean; None where there is none."""
        estimate = self.values[key]
        return None if math.isnan(estimate.low) else (estimate.low, estimate.high)

    def value(self, key: str) -> float | None:
        """The mean of a column; None where nothing was measured."""
        estimate = self.values.get(key)
        return estimate.mean if estimate is not None and estimate.n else None


@dataclass(frozen=True, eq=False)
class PairBlock:
    """One dataset and pair of one task: what may stand under one heading."""

    id: str
    task: str
    dataset: str
    pair: str
    metrics: dict[str, Metric]
    conditions: tuple[str, ...]
    """the condition columns that vary within the task"""
    rows: tuple[ResultRow, ...]
    heading: str = ""
    """what it is called where that is not its dataset and pair"""

    @property
    def about(self) -> About:
        return self.rows[0].about

    @property
    def primary_metrics(self) -> list[str]:
        return primary_metrics(self.metrics)

    @property
    def students(self) -> list[ResultRow]:
        """The rows that are no end of the scale."""
        return [row for row in self.rows if row.is_student]

    @property
    def comparisons(self) -> list[list[ResultRow]]:
        """The student rows that may be compared with one another, group by group."""
        return list(grouped(self.students, lambda row: row.comparison).values())

    def compared_with(self, row: ResultRow) -> list[ResultRow]:
        """The rows of a row's comparison, itself among them."""
        return [other for other in self.students if other.comparison == row.comparison]


def grouped(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """The items by their key, in the order of its first sight."""
    found: dict[Any, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def means_of_units(
    values: Mapping[Hashable, float], clusters: Mapping[Hashable, tuple[str, ...]]
) -> dict[Any, float]:
    """The mean of the values on each teacher and split; where there are no clusters the values themselves."""
    units = grouped(values, lambda place: clusters.get(place, place))
    return {unit: sum(values[place] for place in own) / len(own) for unit, own in units.items()}


def primary_metrics(metrics: Mapping[str, Metric]) -> list[str]:
    """The metrics that the task is judged by first; the first one where none is marked."""
    return [name for name, metric in metrics.items() if metric.primary] or list(metrics)[:1]


def merge_metrics(records: Iterable[Record]) -> dict[str, Metric]:
    """Every metric of the records, in the order of first sight; the first description counts, without a unit
    that others of its name don't have."""
    merged: dict[str, Metric] = {}
    for record in records:
        for name, metric in record.metrics.items():
            known = merged.setdefault(name, metric)
            if known.unit not in ("", metric.unit):
                merged[name] = replace(known, unit="")
    return merged


def teachers_of(rows: Iterable[ResultRow], metric: str) -> dict[str, float]:
    """A metric of each distinct teacher on the test split, unscaled, by the teacher's id.

    Those of controls are left out: a teacher of their own is no end of the scale.
    """
    return {
        ids.teacher: value
        for row in rows
        for record, ids in zip(row.records, row.identities, strict=True)
        if record.about.role != "control" and (value := record.teacher.test.get(metric)) is not None
    }


def varying_conditions(records: Iterable[Record]) -> tuple[str, ...]:
    """The condition columns with more than one value."""
    known = [condition_columns(record.condition) for record in records]
    return tuple(name for name in CONDITIONS if len({repr(each[name]) for each in known}) > 1)


def anchor_of(row: ResultRow, rows: Iterable[ResultRow]) -> ResultRow | None:
    """The anchor row of the same comparison; None for an anchor itself, or if none or several would do."""
    if row.is_anchor:
        return None
    anchors = [other for other in rows if other.is_anchor and other.comparison == row.comparison]
    found = [other for other in anchors if other.condition == row.condition] or anchors
    return found[0] if len(found) == 1 else None
