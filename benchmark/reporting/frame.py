"""Records as one tidy frame: a row for each run, flat columns, and the ids of what each run belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import pandas as pd

from benchmark.errors import UserError
from benchmark.records import (
    BEST,
    LAST,
    VALIDATION,
    Condition,
    Record,
    Results,
    Run,
    Teacher,
    TeacherRecord,
)
from benchmark.reporting.identity import RECIPES, flat, identity

RUN_KEYS = tuple(each.name for each in fields(Run))
CONDITIONS = tuple(each.name for each in fields(Condition))
"""The condition columns, in the order of every table."""


def columns(part: Any) -> dict[str, Any]:
    """A part of a record as columns: field -> value (`vars` would miss fields that were left to defaults)."""
    return {each.name: getattr(part, each.name) for each in fields(part)}


def show_overrides(overrides: Mapping[str, Any]) -> list[str]:
    """`["tau=0.1", "recipe.milestones=(0.5, 0.75)"]`: own hyper-parameters, then the recipes'."""
    items = [
        f"{name}={tuple(value) if isinstance(value, list) else value}" for name, value in overrides.items()
    ]
    return sorted(items, key=lambda item: (item.startswith(RECIPES), item))


def condition_columns(condition: Condition) -> dict[str, Any]:
    """The condition as tables show it: column -> value, the overrides in one line."""
    return {**columns(condition), "overrides": " ".join(show_overrides(condition.overrides))}


MEASURED_AT_WISH = ("probes", "untrained_probes", "corrupted")
"""What a command may leave out of results and of a teacher: a record without contradicts none that has it."""


def contradiction(first: Record | TeacherRecord, second: Record | TeacherRecord) -> str | None:
    """The part in which two records of one id differ and must not; of teachers spec and weights count."""
    parts = ("run", "condition", "status", "results", "teacher", "hyperparameters")
    if isinstance(first, TeacherRecord):
        parts = ("spec", "checksum")
    return next((name for name in parts if _differ(getattr(first, name), getattr(second, name))), None)


def _differ(first: Any, second: Any) -> bool:
    if isinstance(first, Results | Teacher):
        names = [name for name in MEASURED_AT_WISH if hasattr(first, name)]
        left_out = {name: {} for name in names if not (getattr(first, name) and getattr(second, name))}
        return replace(first, **left_out) != replace(second, **left_out)
    return first != second


def _measured(record: Record) -> int:
    """How much of what is measured at wish a record has."""
    parts = (record.results, record.teacher)
    return sum(bool(getattr(part, name, None)) for part in parts for name in MEASURED_AT_WISH)


def distinct(records: Iterable[Record]) -> list[Record]:
    """Each run once, however often it was read: from two folders, say; the record that tells more of it.

    Raises:
        UserError: where two records of one id differ in their condition or their results.
    """
    found: dict[str, Record] = {}
    for record in records:
        first = found.setdefault(record.id, record)
        if name := contradiction(first, record):
            raise UserError(
                f"two records of run {record.id} differ in their {name}"
                f" ({first.folder or 'one'} and {record.folder or 'another'}): leave one of them out"
            )
        found[record.id] = max(first, record, key=_measured)
    return list(found.values())


def tidy_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per run, flat columns.

    `task`, `dataset`, `pair`, `baseline`, `seed`; the conditions under their own names; `status`, `reason`;
    titles and sizes; the results as `test@last/top1`, `teacher/test/top1`, `parameters`, ..., unscaled;
    `hyperparameters` as JSON; the measurements (`step_ms`, `total_s`, ...) and the `whole_cost`; where the
    record comes from (`commit`, `clean`, `device`, ...). What a run does not have is missing in its row.
    `row`, `comparison` and `block` say which runs may be averaged, subtracted from one another and shown
    together (`identity`).

    Raises:
        UserError: where two records of one run contradict each other.
    """
    rows = [{key: _cell(value) for key, value in _row(record).items()} for record in distinct(records)]
    keys = [*RUN_KEYS, *CONDITIONS, "id"]
    return typed_frame(sorted(rows, key=lambda row: [sort_key(row.get(key)) for key in keys]))


def _row(record: Record) -> dict[str, Any]:
    provenance = provenance_columns(record)
    del provenance["versions"]
    ids = identity(record)
    return {
        **columns(record.run),
        **condition_columns(record.condition),
        "status": record.status,
        "reason": record.reason,
        **about_columns(record),
        **_results(record),
        "hyperparameters": json.dumps(record.hyperparameters, sort_keys=True),
        **known(columns(record.measurements)),
        **known(whole_cost(record)),
        **provenance,
        "id": record.id,
        "folder": record.folder,
        **{name: getattr(ids, name) for name in ("row", "comparison", "block")},
    }


def about_columns(record: Record) -> dict[str, Any]:
    """What the record says about its run, the two networks and what they see among it."""
    about, teacher = columns(record.about), record.teacher
    student, seen = about.pop("student"), about.pop("student_modalities")
    return {
        **about,
        "teacher": teacher.architecture,
        "student": student,
        "teacher_modalities": teacher.modalities,
        "student_modalities": seen,
    }


def provenance_columns(record: Record) -> dict[str, Any]:
    """Where the record comes from, its teacher's identity among it."""
    provenance, teacher = columns(record.provenance), record.teacher
    sums = {name: provenance.pop(name) for name in ("data_fingerprint", "code_checksum")}
    return {**provenance, "teacher_id": teacher.id, "teacher_checksum": teacher.checksum, **sums}


def cost_columns(record: Record) -> dict[str, Any]:
    """What is known of the sizes of both networks."""
    costs = {
        "parameters": record.results.parameters,
        "macs": record.results.macs,
        "teacher_parameters": record.teacher.parameters,
        "teacher_macs": record.teacher.macs,
    }
    return known(costs)


def whole_cost(record: Record) -> dict[str, float | None]:
    """What whoever wants this one student pays, in seconds: `whole_s`; `tuning_s` is part of it.

    That is its training with first stages and shares of common passes, all of its teacher's training, and
    all trials of a tuned baseline. None where a part was not measured.
    """
    trained, taught = record.measurements.total_s, _teacher_seconds(record)
    tuning = None if record.selection is None else record.selection.seconds
    whole = None if trained is None or taught is None else trained + taught + (tuning or 0.0)
    return {"whole_s": whole, "tuning_s": tuning}


def _teacher_seconds(record: Record) -> float | None:
    """Of training its teacher: 0 where it has no use for one, or where nobody trained it (a checkpoint)."""
    measured = record.measurements
    # In older records the anchor has a share of the teacher's pass, which it didn't look at.
    without = record.about.anchor or measured.teacher_share_ms == 0
    if without and not measured.first_stages_s:
        return 0.0
    trained_here = record.condition.teacher_epochs is not None
    return measured.teacher_s if trained_here else measured.teacher_s or 0.0


def _results(record: Record) -> dict[str, Any]:
    """`{"test@last/top1": 0.6, "parameters": 78042}` and so on, of the student and its teacher."""
    results, teacher = record.results, record.teacher
    return flat(
        {
            "teacher": {"test": teacher.test, "probes": teacher.probes, "corrupted": teacher.corrupted},
            **cost_columns(record),
            **{split: results.scores.get(split, {}) for split in (VALIDATION, LAST)},
            **known({"best_epoch": results.best_epoch}),
            BEST: results.scores.get(BEST, {}),
            "probes": results.probes,
            "untrained": {"probes": results.untrained_probes},
            "corrupted": results.corrupted,
        }
    )


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def sort_key(value: Any) -> tuple[int, Any]:
    """A key that sorts missing values first, then numbers by size, then text."""
    if value is None or value != value:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, str(value))


def typed_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame whose columns have one type each, as parquet asks.

    Whole numbers stay whole beside missing values; what mixes text and numbers becomes text.
    """
    frame = pd.DataFrame(rows, dtype=object)
    for name in frame.columns:
        present = frame[name].dropna()
        kinds = {bool if isinstance(v, bool) else type(v) for v in present}
        if float in kinds and kinds <= {int, float}:
            frame[name] = frame[name].astype(float)
        elif len(kinds) > 1:
            frame[name] = frame[name].map(str, na_action="ignore").astype("string")
        else:
            frame[name] = frame[name].convert_dtypes()
    return frame
