"""What a run's detail shows: everything its record holds, as text."""

from __future__ import annotations

import json
import math
from typing import Any

from benchmark.records import BEST, LAST, VALIDATION, Metric, Record
from benchmark.reporting.formatting import decimals_of, metric_name, show_value, show_words
from benchmark.reporting.frame import (
    about_columns,
    columns,
    condition_columns,
    cost_columns,
    known,
    provenance_columns,
    whole_cost,
)
from benchmark.reporting.identity import OF_A_CLUSTER, flat
from benchmark.reporting.rows import ResultRow


def row_detail(row: ResultRow, metrics: dict[str, Metric]) -> dict[str, Any]:
    """What the runs of a row share, and each run's own results, measurements, provenance and command."""
    first = row.records[0]
    shared = {
        "About": {
            **columns(first.run),
            "seed": ", ".join(str(record.run.seed) for record in row.records),
            **about_columns(first),
        },
        "Condition": {**condition_columns(first.condition), **row.condition},
        "Hyper-parameters": first.hyperparameters,
        "Recipe": first.recipe,
    }
    return {
        "shared": [[title, _entries(part)] for title, part in shared.items() if part],
        "results": _results(row, metrics),
        "curves": [record.id for record in row.records],
        "runs": [_run(record) for record in row.records],
    }


def _results(row: ResultRow, metrics: dict[str, Metric]) -> dict[str, Any]:
    """A table with a line for each run: its seed (teacher's and split's, where there are several), status and
    every metric of every split."""
    seeds = [name for name in OF_A_CLUSTER if len({getattr(r.condition, name) for r in row.records}) > 1]
    shown = [
        (split, name)
        for split in (VALIDATION, LAST, BEST)
        for name in metrics
        if any(record.results.score(split, name) is not None for record in row.records)
    ]
    header = [*map(show_words, seeds), "seed", "status"]
    header += [f"{metric_name(metrics[name], name)}, {split.replace('@', ', ')}" for split, name in shown]
    lines = []
    for record in row.records:
        line = [str(getattr(record.condition, name)) for name in seeds]
        line += [str(record.run.seed), record.status]
        for split, name in shown:
            value, digits = record.results.score(split, name), decimals_of(metrics[name]) + 1
            line.append("" if value is None else f"{value * metrics[name].scale:.{digits}f}")
        lines.append(line)
    return {"header": header, "lines": [[show_words(cell) for cell in line] for line in lines]}


def _run(record: Record) -> dict[str, Any]:
    results, teacher, provenance = record.results, record.teacher, provenance_columns(record)
    del provenance["command"]
    parts = {
        "Other results": {**cost_columns(record), **known({"best_epoch": results.best_epoch})},
        "Probes of frozen features": results.probes,
        "Corrupted test samples": results.corrupted,
        "Teacher": {"test": teacher.test, "probes": teacher.probes, "corrupted": teacher.corrupted}
        if teacher.test
        else {},
        "Measurements": known({**columns(record.measurements), **whole_cost(record)}),
        "Provenance": {**provenance, "run": record.id, "folder": f"runs/{record.folder}"},
    }
    return {
        "seed": str(record.run.seed),
        "status": show_words(record.status),
        "reason": record.reason,
        "command": record.provenance.command,
        "parts": [[title, _entries(part)] for title, part in parts.items() if part],
    }


def _entries(part: dict[str, Any]) -> list[tuple[str, str]]:
    """`{"a": {"b": 1}}` as `[("a, b", "1")]`; keys as words."""
    return [(show_words(name), _shown(value)) for name, value in flat(part, ", ").items()]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
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
