"""The leaderboard as one frame: a line for each method of each group, and for its teacher.

A group is what `identity` calls a comparison (the same task, data, pair, teacher, recipe, condition and
number of updates), of one version of the suite and of one seed of teacher and split: no other rows are
ranked together. All statistics are those of the report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from benchmark.program import INSTALLED
from benchmark.records import Record
from benchmark.reporting import archive
from benchmark.reporting.differences import best_rows, differences
from benchmark.reporting.formatting import failures
from benchmark.reporting.frame import CONDITIONS, distinct, sort_key, typed_frame
from benchmark.reporting.identity import identity, stable_id
from benchmark.reporting.leaderboard.sources import Source
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, anchor_of, grouped
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import INTERVAL_FROM

FILE = archive.FOLDER.parent / "leaderboard.parquet"

TO_ANCHOR, TO_BEST = "to_anchor/", "to_best/"
"""Prefixes of the columns of a difference: to the anchor (Scratch), and to the row of rank 1."""

BEST, TIED = "best", "may be best"
OWN_SETTINGS = "own settings"
"""Why a row with hyper-parameters that somebody chose has no rank: nobody knows on which samples."""

Origins = Mapping[str, list[Source]]
"""Id of a run -> the archives that hold it."""


def leaderboard_frame(sources: Iterable[Source]) -> pd.DataFrame:
    """A line for each row of each group, best first; the same archives give the same frame.

    `group` (an id that stays the same while others are added), `kind` ("teacher", "student", or "companion":
    a fully labelled row that is shown beside few labels), `rank` by the mean and, where there is none, in
    `unranked` the reason; `standing`: "best" (the only one that may be), "may be best", or empty. What it is:
    task, dataset, pair, method, the conditions. What it reached: `metric`, `mean`, `sd`, `n`, the 95 % t
    interval `low`, `high`, in the unit of tables. `to_anchor/...` and `to_best/...`: the fields of
    `inference.Difference`. Where it comes from: version, fingerprint, checksums, commits, devices, archives,
    and who made them.

    Raises:
        UserError: where two records of one run contradict each other.
    """
    sources = list(sources)
    origins: dict[str, list[Source]] = {}
    for source in sources:
        for record in source.results.records:
            origins.setdefault(record.id, []).append(source)
    records = distinct(record for source in sources for record in source.results.records)
    groups = [
        lines
        for own in grouped(records, _apart).values()
        for panels in Results.of(own).panels.values()
        for panel in panels
        if (lines := _Group(panel).lines(origins))
    ]
    groups.sort(key=_place)
    return typed_frame([line for lines in groups for line in lines])


def suite_version(record: Record) -> str:
    """The version of the suite that made a record; empty where that was not installed."""
    return record.provenance.versions.get(INSTALLED, "")


def group_of(record: Record) -> str:
    """The id of the group that a run stands in; a control with a teacher of its own may join another."""
    return _group(record, identity(record).comparison)


def _group(record: Record, comparison: str) -> str:
    # Not the comparison alone: two versions of the suite have the same one.
    return stable_id((_apart(record), comparison))


def _apart(record: Record) -> tuple[str, int, int]:
    """What no group goes over: a teacher more in a submission must not change what others stand on."""
    return suite_version(record), record.condition.teacher_seed, record.condition.split_seed


def _place(lines: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    """Where a group stands: by its question, its condition, and last by its id."""
    names = ("task", "dataset", "pair", *CONDITIONS, "suite_version", "group")
    typical = next((line for line in lines if line["kind"] == "student"), lines[0])
    return [sort_key(typical[name]) for name in names]


# --- one group ---


class _Group:
    """The rows of a panel as the leaderboard orders them."""

    def __init__(self, panel: Panel) -> None:
        self._panel, self._key = panel, panel.key
        own = [row for row in panel.rows if row.comparison == panel.rows[0].comparison]
        # Its own teacher is what a control's title speaks of.
        self._typical = min(own, key=lambda row: row.about.role == "control")
        self._own = {row.id: row for row in own}
        self._unranked = {row.id: "other labels" for row in panel.rows}
        self._unranked |= {row.id: _unranked(row, panel.key) for row in own}
        self._contenders = sorted(
            (row for row in own if not self._unranked[row.id]), key=lambda row: (-self._reached(row), row.id)
        )
        if len(self._contenders) == 1:
            self._unranked[self._contenders.pop().id] = "alone"

    def _reached(self, row: ResultRow) -> float:
        """The larger the better."""
        mean = row.values[self._key].mean
        return mean if self._panel.higher_is_better else -mean

    def lines(self, origins: Origins) -> list[dict[str, Any]]:
        """Its teacher, what is ranked, best first, and what is not."""
        rest = [row for row in self._panel.rows if row not in self._contenders]
        rest.sort(
            key=lambda row: (self._unranked[row.id], row.about.order, row.condition["overrides"], row.id)
        )
        group = _group(self._typical.records[0], self._typical.comparison)
        shared = {"group": group, **_question(self._panel, self._typical)}
        standing, anchors, best = self._standing(), self._to_anchors(), self._to_best()
        lines = [
            {
                **shared,
                "kind": "student" if row.id in self._own else "companion",
                **standing[row.id],
                "label": self._panel.label(row),
                **_told(row, self._key, origins),
                "anchor": anchors[row.id][0] if row.id in anchors else None,
                **_parts(anchors[row.id][1] if row.id in anchors else None, TO_ANCHOR),
                "best": self._contenders[0].title if row.id in best else None,
                **_parts(best.get(row.id), TO_BEST),
            }
            for row in (*self._contenders, *rest)
        ]
        return [*_teacher(self._panel, dict.fromkeys(lines[0]) | shared), *lines]

    def _standing(self) -> dict[str, dict[str, Any]]:
        """Row's id -> its rank, or why it has none, and whether it may be the best."""
        found: dict[str, dict[str, Any]] = {
            name: {"rank": None, "unranked": reason, "standing": ""}
            for name, reason in self._unranked.items()
        }
        may_be = best_rows(self._contenders, self._key, self._panel.higher_is_better)
        for row in self._contenders:
            better = sum(self._reached(other) > self._reached(row) for other in self._contenders)
            mark = BEST if row.id == may_be.winner else TIED if row.id in may_be.tied else ""
            found[row.id] |= {"rank": 1 + better, "standing": mark}
        return found

    def _to_anchors(self) -> dict[str, tuple[str, Difference]]:
        """Row's id -> the title of its anchor, and the difference to that."""
        own = list(self._own.values())
        pairs = [(row, anchor) for row in own if (anchor := anchor_of(row, own)) is not None]
        return {
            name: (anchored[0][1].title, difference)
            for anchored in grouped(pairs, lambda pair: pair[1].id).values()
            for name, difference in self._minus(anchored[0][1], [row for row, _ in anchored]).items()
        }

    def _to_best(self) -> dict[str, Difference]:
        if not self._contenders:
            return {}
        best = self._contenders[0]
        return self._minus(best, [row for row in self._own.values() if row is not best])

    def _minus(self, other: ResultRow, rows: list[ResultRow]) -> dict[str, Difference]:
        """Rows minus another one. Those with settings of their own are a family for themselves.

        An ablation may have any number of them: what is said of the others does not hang on that.
        """
        families = grouped(rows, lambda row: self._unranked[row.id] == OWN_SETTINGS).values()
        return {name: each for own in families for name, each in differences(other, own, self._key).items()}


def _unranked(row: ResultRow, key: str) -> str:
    """Why a row of a group has no rank; empty for one that has."""
    if row.about.role == "control":
        return "control"
    if row.condition["overrides"] != row.comparison_condition["overrides"]:
        return OWN_SETTINGS
    if row.lost:
        return "diverged or failed"
    estimate = row.values[key]
    if not estimate.n and row.count("not_applicable"):
        return "not applicable"
    few = estimate.n < INTERVAL_FROM or not math.isfinite(estimate.mean)
    return f"fewer than {INTERVAL_FROM} runs" if few else ""


def _parts(difference: Difference | None, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{each.name}": getattr(difference, each.name, None) for each in fields(Difference)}


# --- what a line tells ---


def _question(panel: Panel, typical: ResultRow) -> dict[str, Any]:
    """What all lines of a group share."""
    block, about, first = panel.block, typical.about, typical.records[0]
    metric = panel.metric
    return {
        "task": block.task,
        "task_title": about.task_title,
        "dataset": block.dataset,
        "dataset_title": about.dataset_title,
        "synthetic": about.synthetic,
        "pair": block.pair,
        "suite_version": suite_version(first),
        "data_fingerprint": first.provenance.data_fingerprint,
        "teacher": first.teacher.architecture,
        "teacher_modalities": ", ".join(first.teacher.modalities),
        "teacher_id": first.teacher.id,
        "teacher_checksum": first.teacher.checksum,
        "student": about.student,
        "student_modalities": ", ".join(about.student_modalities),
        "num_train": about.num_train,
        "num_test": about.num_test,
        "metric": panel.primary_metric,
        "metric_title": metric.title,
        "metric_short": metric.short,
        "direction": metric.direction,
        "unit": metric.unit,
        "scale": metric.scale,
    }


def _told(row: ResultRow, key: str, origins: Origins) -> dict[str, Any]:
    """What a row of students tells of itself."""
    about = row.about
    return {
        "baseline": row.baseline,
        "method": row.title,
        "role": about.role,
        "paper": about.paper,
        "arxiv": about.arxiv,
        **{name: row.condition[name] for name in CONDITIONS},
        "num_labelled": about.num_labelled,
        "differs_in": row.differs_in,
        "hyperparameters": json.dumps(row.records[0].hyperparameters, sort_keys=True),
        **vars(row.values[key]),
        "runs": len(row.records),
        "reasons": "; ".join(f"{words}: {reason}" for words, reason in failures(row)),
        **_provenance(row.records, origins),
    }


def _provenance(records: Iterable[Record], origins: Origins) -> dict[str, Any]:
    """Where a row comes from; where its runs differ in that, each value once."""
    records = list(records)
    known = [record.provenance for record in records]
    archives = {source.name: source.maker for record in records for source in origins[record.id]}
    finished = sorted(each.finished for each in known)
    return {
        "code_checksum": _each(each.code_checksum for each in known),
        "commit": _each(each.commit for each in known),
        "device": _each(each.device for each in known),
        "device_name": _each(each.device_name for each in known),
        "threads": _each(each.threads for each in known),
        "torch": _each(each.versions.get("torch") for each in known),
        "first_finished": finished[0],
        "last_finished": finished[-1],
        "commands": "\n".join(archive.commands(records)),
        "archives": _each(archives),
        "submitted_by": "; ".join(sorted({maker.by for maker in archives.values()})),
        "code": _each(maker.code for maker in archives.values()),
    }


def _each(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value}))


def _teacher(panel: Panel, shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The line of the one teacher that taught a group; none where it was not tested."""
    row = panel.teacher_row
    if row is None or not row.values[panel.key].n:
        return []
    told = {"kind": "teacher", "unranked": "teacher", "label": row.title, "method": row.title}
    return [{**shared, **told, **vars(row.values[panel.key])}]
