"""Records on disk as pandas frames: one row per run, and one row per epoch of a run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmark.records import BEST, LAST, VALIDATION, Condition, CorruptRecord, Record, Run, read_record

RUN_KEYS = tuple(each.name for each in fields(Run))
CONDITIONS = tuple(each.name for each in fields(Condition))
"""The condition columns, in the order of every table."""

RECIPES = ("recipe.", "teacher_recipe.")
"""Prefixes of the overrides that reach every baseline."""


class Loaded(NamedTuple):
    """The valid records, and a line for each thing that could not be read."""

    records: list[Record]
    problems: list[str]


class History(NamedTuple):
    """One row per run and epoch, and a line for each broken file or line."""

    frame: pd.DataFrame
    problems: list[str]


def load_records(folder: Path) -> Loaded:
    """Read `folder/runs/*/record.json`; each record gains `folder`, the name of its run folder.

    A corrupt, half-written or missing record costs its own run only, and is named in `problems`.
    """
    records: dict[str, Record] = {}
    problems = []
    for run_folder in sorted(path for path in (Path(folder) / "runs").glob("*") if path.is_dir()):
        name, file = run_folder.name, run_folder / "record.json"
        try:
            record = read_record(file)
        except CorruptRecord as error:
            problems.append(f"{name}: {str(error).replace(str(file), file.name, 1)}")
            continue
        if record is None:
            problems.append(f"{name}: not finished (no record.json)")
        elif record.id in records:
            problems.append(f"{name}: the same run as {records[record.id].folder}, which is the one counted")
        else:
            records[record.id] = replace(record, folder=name)
    return Loaded(list(records.values()), problems)


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


def tidy_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per run, flat columns.

    `task`, `dataset`, `pair`, `baseline`, `seed`; the conditions under their own names; `status`, `reason`;
    titles and sizes; the results as `test@last/top1`, `teacher/test/top1`, `parameters`, ..., unscaled;
    `hyperparameters` as JSON; the measurements (`step_ms`, `total_s`, ...); where the record comes from
    (`commit`, `clean`, `device`, ...). What a run does not have is missing in its row.
    """
    rows = [{key: _cell(value) for key, value in _row(record).items()} for record in records]
    keys = [*RUN_KEYS, *CONDITIONS, "id"]
    return typed_frame(sorted(rows, key=lambda row: [sort_key(row.get(key)) for key in keys]))


def _row(record: Record) -> dict[str, Any]:
    provenance = provenance_columns(record)
    del provenance["versions"]
    return {
        **columns(record.run),
        **condition_columns(record.condition),
        "status": record.status,
        "reason": record.reason,
        **about_columns(record),
        **_results(record),
        "hyperparameters": json.dumps(record.hyperparameters, sort_keys=True),
        **known(columns(record.measurements)),
        **provenance,
        "id": record.id,
        "folder": record.folder,
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


def _results(record: Record) -> dict[str, Any]:
    """`{"test@last/top1": 0.6, "parameters": 78042}` and so on, of the student and its teacher."""
    results, teacher = record.results, record.teacher
    return _flat(
        {
            "teacher": {"test": teacher.test, "probes": teacher.probes},
            **cost_columns(record),
            **{split: results.scores.get(split, {}) for split in (VALIDATION, LAST)},
            **known({"best_epoch": results.best_epoch}),
            BEST: results.scores.get(BEST, {}),
            "probes": results.probes,
            "untrained": {"probes": results.untrained_probes},
        }
    )


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a/b": 1}`."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


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
        if kinds == {int}:
            frame[name] = frame[name].astype("Int64")
        elif kinds and kinds <= {int, float}:
            frame[name] = frame[name].astype(float)
        elif len(kinds) > 1:
            frame[name] = frame[name].map(str, na_action="ignore").astype("string")
        else:
            frame[name] = frame[name].convert_dtypes()
    return frame


def save_frame(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `records.parquet` and `records.csv` into the folder; returns both paths."""
    paths = [folder / "records.parquet", folder / "records.csv"]
    frame.to_parquet(paths[0], index=False)
    frame.to_csv(paths[1], index=False)
    return paths


def history_frame(folder: Path, records: Iterable[Record]) -> History:
    """One row per run and epoch: `id`, the run's keys, `epoch`, `train/loss`, `validation/top1`, ...

    A run that was stopped and resumed may have written an epoch twice; the last line counts.
    """
    rows, problems = [], []
    for record in records:
        name = record.folder
        try:
            lines = (Path(folder) / "runs" / name / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            if record.status == "finished":
                problems.append(f"{name}: no history.jsonl")
            continue
        except (OSError, ValueError) as error:
            problems.append(f"{name}: history.jsonl can't be read ({error})")
            continue
        for number, line in enumerate(lines, start=1):
            try:
                values = _flat(json.loads(line))
                rows.append(
                    {"id": record.id, **columns(record.run), "epoch": int(values.pop("epoch")), **values}
                )
            except (ValueError, TypeError, AttributeError, KeyError):
                problems.append(f"{name}: history.jsonl line {number} can't be read")
    frame = pd.DataFrame(rows, columns=None if rows else ["id", *RUN_KEYS, "epoch"])
    frame = frame.drop_duplicates(["id", "epoch"], keep="last").sort_values(["id", "epoch"])
    return History(frame.reset_index(drop=True), problems)
