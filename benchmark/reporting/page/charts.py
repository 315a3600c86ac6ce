"""What the interactive charts show: numbers only; how they look is the page's business."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from benchmark.reporting.figures.drawing import INTERVAL_FROM, axis_name
from benchmark.reporting.frame import Record
from benchmark.reporting.panels import Panel
from benchmark.reporting.rows import Row, scale_of
from benchmark.reporting.statistics import Summary, summarise
from benchmark.reporting.words import decimals_of, show_status

# Cost axes: key of a row's values or of a record's measurements -> title, decimals of a value.
COST_AXES = {
    "step_ms": ("Training cost (ms per step)", 1),
    "total_s": ("Training time (s)", 1),
    "peak_memory_mb": ("Peak memory in training (MB)", 0),
    "latency_ms": ("Latency (ms per sample)", 3),
    "parameters": ("Parameters of the student", 0),
    "macs": ("Multiply-accumulates of the student", 0),
}


def comparison(panel: Panel, baselines: dict[str, str]) -> dict[str, Any]:
    """The rows of one panel with their seeds, mean and interval; lines for the teachers and the anchor."""
    metric = panel.block.headlines[0]
    key = f"test@last/{metric}"
    decimals = decimals_of(panel.metric)
    teachers = [value for value in panel.teachers() if math.isfinite(value)]
    anchors = [row for row in panel.rows if row.is_anchor and row.condition == panel.rows[0].condition]
    anchor = _number(anchors[0].values[key].mean) if anchors and anchors[0].values[key].n else None
    rows = [_compared_row(row, panel, key, decimals, baselines) for row in panel.rows]
    lines = [{"kind": "teacher", "value": value} for value in teachers]
    lines += [{"kind": "anchor", "value": anchor}] if anchor is not None else []
    return {
        "title": panel.heading,
        "axis": f"Test {axis_name(panel)}",
        "decimals": decimals,
        "anchor": panel.label(anchors[0]) if anchor is not None else "",
        "rows": rows,
        "lines": lines,
        **_range(rows, [line["value"] for line in lines], decimals),
    }


def _compared_row(
    row: Row, panel: Panel, key: str, decimals: int, baselines: dict[str, str]
) -> dict[str, Any]:
    summary = row.values[key]
    seeds = row.by_seed(key, panel.block.metrics)
    interval = summary.n >= INTERVAL_FROM and math.isfinite(summary.low)
    if summary.n == 0 or not math.isfinite(summary.mean):
        words = show_status(row) or "not finished"
    else:
        words = f"{summary.mean:.{decimals}f}"
        words += f" [{summary.low:.{decimals}f}, {summary.high:.{decimals}f}]" if interval else ""
    count = f"{len(seeds)} of {len(row.records)}" if row.count("diverged") else str(len(seeds))
    return {
        "label": panel.label(row),
        "baseline": baselines[row.baseline],
        "role": row.about.get("role", ""),
        "mean": _number(summary.mean),
        "low": _number(summary.low) if interval else None,
        "high": _number(summary.high) if interval else None,
        "seeds": [
            (seed, round(value, 4), f"{value:.{decimals}f}")
            for seed, value in seeds.items()
            if math.isfinite(value)
        ],
        "words": words,
        "n": count,
    }


def _range(rows: list[dict], lines: list[float], decimals: int) -> dict[str, Any]:
    """The ends of the scale and its ticks; the page takes narrower ones when baselines are hidden."""
    values = [value for _, value, _ in (seed for row in rows for seed in row["seeds"])] + lines
    values += [row[end] for row in rows for end in ("low", "high", "mean") if row[end] is not None]
    if not values:
        return {"low": 0.0, "high": 1.0}
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high) * 0.1, 10**-decimals)
    return {"low": low - margin, "high": high + margin}


def chart_data(panels: list[Panel], history: pd.DataFrame, baselines: dict[str, str]) -> dict[str, Any]:
    """The panels of a task for curves and scatter, and each run's curves."""
    by_run = dict(tuple(history.groupby("id"))) if len(history) else {}
    drawn = [_drawn_panel(panel, by_run, baselines) for panel in panels]
    return {"panels": drawn, "runs": _run_curves(panels, by_run)}


def _drawn_panel(panel: Panel, by_run: dict[str, pd.DataFrame], baselines: dict[str, str]) -> dict[str, Any]:
    metric = panel.block.headlines[0]
    records = [record for row in panel.rows for record in row.records]
    validated = any(_column(by_run.get(r["id"]), f"validation/{metric}") is not None for r in records)
    rows = []
    for row in panel.rows:
        summary = row.values[f"test@last/{metric}"]
        interval = summary.n >= INTERVAL_FROM
        rows.append(
            {
                "label": panel.label(row),
                "baseline": baselines[row.baseline],
                "role": row.about.get("role", ""),
                "anchor": row.is_anchor,
                "runs": [record["id"] for record in row.records if record["id"] in by_run],
                "n": summary.n,
                "mean": _number(summary.mean),
                "low": _number(summary.low) if interval else None,
                "high": _number(summary.high) if interval else None,
                "costs": {name: _number(cost_of(row, name).mean) for name in COST_AXES},
            }
        )
    costs = [name for name in COST_AXES if len({row["costs"][name] for row in rows} - {None}) > 1]
    return {
        "title": panel.heading,
        "curve": f"Validation {axis_name(panel)}" if validated else "Training loss (each of its own terms)",
        "part": "v" if validated else "t",
        "axis": f"Test {axis_name(panel)}",
        "decimals": decimals_of(panel.metric),
        "best": -1 if panel.metric.get("direction") == "min" else 1,
        "teachers": [_number(value) for value in panel.teachers() if math.isfinite(value)],
        "costs": [[name, *COST_AXES[name]] for name in costs],
        "rows": rows,
    }


def cost_of(row: Row, name: str) -> Summary:
    """A cost over the row's finished runs, wherever in the record it stands."""
    if name in row.values:
        return row.values[name]
    found = (record.get("measurements", {}).get(name) for record in row.finished)
    return summarise(value for value in found if isinstance(value, int | float))


def _run_curves(panels: Iterable[Panel], by_run: dict[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Run id -> seed, status, epochs, validation metric (scaled) and training loss, one value an epoch."""
    curves = {}
    for panel in panels:
        name = f"validation/{panel.block.headlines[0]}"
        for record in (record for row in panel.rows for record in row.records):
            frame = by_run.get(record["id"])
            if frame is not None and record["id"] not in curves:
                curves[record["id"]] = _run_curve(record, frame, name, scale_of(panel.metric))
    return curves


def _run_curve(record: Record, frame: pd.DataFrame, validation: str, scale: float) -> dict[str, Any]:
    curve: dict[str, Any] = {"s": record["run"]["seed"], "f": record["status"] == "finished"}
    epochs = [int(epoch) + 1 for epoch in frame["epoch"]]
    if epochs != list(range(1, len(epochs) + 1)):
        curve["e"] = epochs
    for key, name, factor in (("v", validation, scale), ("t", "train/loss", 1)):
        values = _column(frame, name)
        if values is not None:
            curve[key] = [_number(float(value) * factor) for value in values]
    return curve


def _column(frame: pd.DataFrame | None, name: str) -> pd.Series | None:
    """The column as numbers; None where it is missing or empty."""
    if frame is None or name not in frame:
        return None
    values = pd.to_numeric(frame[name], errors="coerce")
    return None if values.isna().all() else values


def _number(value: float) -> float | None:
    """Five digits, which no screen exceeds; None for what JSON has no number for."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.5g}") if abs(value) < 1e5 else round(value)
