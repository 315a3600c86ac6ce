"""What a run's detail shows: everything its record holds, as text."""

from __future__ import annotations

import json
import math
from typing import Any

from benchmark.reporting.frame import Record
from benchmark.reporting.rows import Row, scale_of
from benchmark.reporting.words import decimals_of, metric_name, show_value

NOT_A_RESULT = ("teacher", "untrained", "probes")
Entries = list[tuple[str, str]]


def row_detail(row: Row, metrics: dict[str, dict]) -> dict[str, Any]:
    """What the runs of a row share, and each run's own results, measurements, provenance and command."""
    first = row.records[0]
    shared = {
        "About": {
            **first["run"],
            "seed": ", ".join(str(record["run"]["seed"]) for record in row.records),
            **first["about"],
        },
        "Condition": first["condition"],
        "Hyper-parameters": first.get("hyperparameters") or {},
        "Recipe": first.get("recipe") or {},
    }
    return {
        "shared": [[title, _entries(part)] for title, part in shared.items() if part],
        "results": _results(row, metrics),
        "curves": [record["id"] for record in row.records],
        "runs": [_run(record) for record in row.records],
    }


def _results(row: Row, metrics: dict[str, dict]) -> dict[str, Any]:
    """A table with a line for each seed: status and every metric of every split."""
    splits = dict.fromkeys(
        name for record in row.records for name in record["results"] if "@" in name and name[0] != "@"
    )
    columns = [(split, name) for split in splits for name in metrics]
    columns = [
        (split, name)
        for split, name in columns
        if any(record["results"].get(split, {}).get(name) is not None for record in row.records)
    ]
    header = ["seed", "status"]
    header += [f"{metric_name(metrics[name], name)}, {split.replace('@', ', ')}" for split, name in columns]
    lines = []
    for record in row.records:
        line = [str(record["run"]["seed"]), record["status"].replace("_", " ")]
        for split, name in columns:
            value = record["results"].get(split, {}).get(name)
            digits = decimals_of(metrics[name]) + 1
            line.append("" if value is None else f"{value * scale_of(metrics[name]):.{digits}f}")
        lines.append(line)
    return {"header": header, "lines": [[show.replace("_", " ") for show in line] for line in lines]}


def _run(record: Record) -> dict[str, Any]:
    provenance = dict(record.get("provenance", {}))
    command = provenance.pop("command", "")
    others = {
        name: value
        for name, value in record["results"].items()
        if "@" not in name and name not in NOT_A_RESULT
    }
    parts = {
        "Other results": others,
        "Probes of frozen features": record["results"].get("probes") or {},
        "Teacher": record["results"].get("teacher") or {},
        "Measurements": record.get("measurements") or {},
        "Provenance": {**provenance, "run": record["id"], "folder": f"runs/{record.get('folder', '')}"},
    }
    return {
        "seed": str(record["run"]["seed"]),
        "status": record["status"].replace("_", " "),
        "reason": str(record.get("reason") or ""),
        "command": str(command or ""),
        "parts": [[title, _entries(part)] for title, part in parts.items() if part],
    }


def _entries(part: dict[str, Any], prefix: str = "") -> Entries:
    """`{"a": {"b": 1}}` as `[("a, b", "1")]`; keys as words."""
    entries: Entries = []
    for name, value in part.items():
        title = f"{prefix}{str(name).replace('_', ' ')}"
        if isinstance(value, dict):
            entries += _entries(value, f"{title}, ")
        else:
            entries.append((title, _shown(value)))
    return entries


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "–"
    if isinstance(value, float) and math.isfinite(value) and abs(value) >= 1000:
        return f"{value:,.1f}"
    return show_value(value)


def compact_json(value: Any) -> str:
    """JSON that may stand in a script element: no character that could end it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
