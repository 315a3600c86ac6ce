"""Records on disk as pandas frames: one row per run, and one row per epoch of a run."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

Record = dict[str, Any]

SCHEMA = 1
STATUSES = ("finished", "diverged", "not_applicable")
RUN_KEYS = ("task", "dataset", "pair", "baseline", "seed")
PARTS = ("run", "condition", "about", "metrics", "results")


class Loaded(NamedTuple):
    """The valid records, and a line for each thing that could not be read."""

    records: list[Record]
    problems: list[str]


class History(NamedTuple):
    """One row per run and epoch, and a line for each broken file or line."""

    frame: pd.DataFrame
    problems: list[str]


def load_records(folder: Path) -> Loaded:
    """Read `folder/runs/*/record.json`; each record gains the key `folder`, the name of its run folder.

    A corrupt, half-written or missing record costs its own run only, and is named in `problems`.
    """
    records: dict[str, Record] = {}
    problems = []
    for run_folder in sorted(path for path in (Path(folder) / "runs").glob("*") if path.is_dir()):
        name = run_folder.name
        try:
            record = json.loads((run_folder / "record.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            problems.append(f"{name}: not finished (no record.json)")
            continue
        except (OSError, ValueError) as error:
            problems.append(f"{name}: record.json can't be read ({error})")
            continue
        fault = _fault(record)
        if fault:
            problems.append(f"{name}: record.json is not valid ({fault})")
        elif record["id"] in records:
            problems.append(
                f"{name}: the same run as {records[record['id']]['folder']}, which is the one counted"
            )
        else:
            records[record["id"]] = {**record, "folder": name}
    return Loaded(list(records.values()), problems)


def _fault(record: Any) -> str:
    """What keeps a parsed record from being used; empty when nothing does."""
    if not isinstance(record, dict):
        return "not a JSON object"
    if record.get("schema") != SCHEMA:
        return f"schema {record.get('schema')!r}, this version reads {SCHEMA}"
    if not isinstance(record.get("id"), str):
        return "no id"
    for part in PARTS:
        if not isinstance(record.get(part), dict):
            return f"no {part!r} part"
    missing = [key for key in RUN_KEYS if key not in record["run"]]
    if missing:
        return f"'run' lacks {', '.join(missing)}"
    if record.get("status") not in STATUSES:
        return f"unknown status {record.get('status')!r}"
    return _fault_of_results(record)


def _fault_of_results(record: Record) -> str:
    if record["status"] == "finished" and "test@last" not in record["results"]:
        return "finished without test results"
    if not all(isinstance(metric, dict) for metric in record["metrics"].values()):
        return "a metric without its description"
    for split, values in record["results"].items():
        if "@" not in split:
            continue
        if not isinstance(values, dict):
            return f"{split} holds no metrics"
        for name in record["metrics"].keys() & values.keys():
            if not (values[name] is None or isinstance(values[name], int | float)):
                return f"{split}: {name} is not a number"
    return ""


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a/b": 1}`."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def condition_names(records: Iterable[Record]) -> list[str]:
    """The names of all condition columns, in the order in which records give them."""
    return list(dict.fromkeys(name for record in records for name in record["condition"]))


def tidy_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per run, flat columns.

    `task`, `dataset`, `pair`, `baseline`, `seed`; the conditions under their own names; `status`, `reason`;
    what the record says about itself (`task_title`, `role`, `synthetic`, ...); results as `test@last/top1`,
    `teacher/test/top1`, unscaled; `hyperparameters` as JSON; measurements (`step_ms`, ...); provenance
    (`commit`, `clean`, `device`, ...). What a run does not have is missing in its row.
    """
    rows = []
    for record in records:
        provenance = {
            key: value for key, value in record.get("provenance", {}).items() if not isinstance(value, dict)
        }
        row = {
            **record["run"],
            **record["condition"],
            "status": record["status"],
            "reason": record.get("reason", ""),
            **record["about"],
            **_flat(record["results"]),
            "hyperparameters": json.dumps(record.get("hyperparameters", {}), sort_keys=True),
            **record.get("measurements", {}),
            **provenance,
            "id": record["id"],
            "folder": record.get("folder", ""),
        }
        rows.append({key: _cell(value) for key, value in row.items()})
    keys = [*RUN_KEYS, *condition_names(records), "id"]
    return typed_frame(sorted(rows, key=lambda row: [sort_key(row.get(key)) for key in keys]))


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


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
        name = record["folder"]
        try:
            lines = (Path(folder) / "runs" / name / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            if record["status"] == "finished":
                problems.append(f"{name}: no history.jsonl")
            continue
        except (OSError, ValueError) as error:
            problems.append(f"{name}: history.jsonl can't be read ({error})")
            continue
        for number, line in enumerate(lines, start=1):
            try:
                values = _flat(json.loads(line))
                rows.append(
                    {"id": record["id"], **record["run"], "epoch": int(values.pop("epoch")), **values}
                )
            except (ValueError, TypeError, AttributeError, KeyError):
                problems.append(f"{name}: history.jsonl line {number} can't be read")
    frame = pd.DataFrame(rows, columns=None if rows else ["id", *RUN_KEYS, "epoch"])
    frame = frame.drop_duplicates(["id", "epoch"], keep="last").sort_values(["id", "epoch"])
    return History(frame.reset_index(drop=True), problems)
