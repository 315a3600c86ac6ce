"""What the interactive charts show: numbers only; how they look is the page's business."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchmark.records import Record
from benchmark.reporting.figures.costs import training_cost
from benchmark.reporting.figures.drawing import axis_name
from benchmark.reporting.formatting import decimals_of, show_status
from benchmark.reporting.panels import Panel
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import Look
from benchmark.reporting.style import looks as looks_of_labels

# Cost axes: key of a row's values or of a record's measurements -> title, decimals of a value.
COST_AXES = {
    "step_ms": ("Training step, teacher's share too (ms)", 1),
    "total_s": ("Training time (s)", 1),
    "whole_s": ("Whole cost: training, teacher and tuning (s)", 1),
    "peak_memory_mb": ("Peak memory in training (MB)", 0),
    "latency_ms": ("Latency (ms per sample)", 3),
    "parameters": ("Parameters of the student", 0),
    "macs": ("Multiply-accumulates of the student", 0),
}


def comparison(panel: Panel, looks: Mapping[str, Look]) -> dict[str, Any]:
    """The rows of one panel with their seeds, mean and interval; lines for the teachers and the anchor."""
    lines = [{"kind": "teacher", "value": value} for value in panel.teachers() if math.isfinite(value)]
    anchor = None if panel.anchor is None else _number(panel.anchor.values[panel.key].mean)
    lines += [{"kind": "anchor", "value": anchor}] if anchor is not None else []
    rows = [_compared_row(row, panel, looks[row.baseline]) for row in panel.rows]
    return {
        "title": panel.heading,
        "axis": f"Test {axis_name(panel)}",
        "best": _best(panel),
        "anchor": "" if panel.anchor is None else panel.label(panel.anchor),
        "rows": rows,
        "lines": lines,
        **_range(rows, [line["value"] for line in lines], decimals_of(panel.metric)),
    }


def _row(row: ResultRow, panel: Panel, look: Look) -> dict[str, Any]:
    """What every chart shows of a row."""
    estimate = row.values[panel.key]
    low, high = row.interval(panel.key) or (math.nan, math.nan)
    return {
        "label": panel.label(row),
        "baseline": row.baseline,
        "role": row.about.role,
        "look": look,
        "n": estimate.n,
        "mean": _number(estimate.mean),
        "low": _number(low),
        "high": _number(high),
    }


def _compared_row(row: ResultRow, panel: Panel, look: Look) -> dict[str, Any]:
    estimate, decimals = row.values[panel.key], decimals_of(panel.metric)
    seeds, shown = row.by_seed(panel.key), _row(row, panel, look)
    words = show_status(row) or "not measured"
    if shown["mean"] is not None:
        words = f"{estimate.mean:.{decimals}f}"
        words += (
            "" if shown["low"] is None else f" [{estimate.low:.{decimals}f}, {estimate.high:.{decimals}f}]"
        )
    return {
        **shown,
        "seeds": [
            (seed, round(value, 4), f"{value:.{decimals}f}")
            for seed, value in seeds.items()
            if math.isfinite(value)
        ],
        "words": words,
        "n": f"{len(seeds)} of {len(row.records)}" if row.lost else str(len(seeds)),
    }


def _range(rows: list[dict], lines: list[float], decimals: int) -> dict[str, Any]:
    """The ends of the scale; the page takes narrower ones when baselines are hidden."""
    values = [value for _, value, _ in (seed for row in rows for seed in row["seeds"])] + lines
    values += [row[end] for row in rows for end in ("low", "high", "mean") if row[end] is not None]
    if not values:
        return {"low": 0.0, "high": 1.0}
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high) * 0.1, 10**-decimals)
    return {"low": low - margin, "high": high + margin}


def chart_data(panels: list[Panel], history: pd.DataFrame, looks: Mapping[str, Look]) -> dict[str, Any]:
    """The panels of a task for curves and scatter, and each run's curves."""
    by_run = {str(name): frame for name, frame in history.groupby("id")} if len(history) else {}
    by_label = {panel.label(row): looks[row.baseline] for panel in panels for row in panel.rows}
    drawn = [_drawn_panel(panel, by_run, looks_of_labels(by_label)) for panel in panels]
    runs = {record.id: (record, panel) for panel in panels for row in panel.rows for record in row.records}
    curves = {
        id: _run_curve(record, by_run[id], panel) for id, (record, panel) in runs.items() if id in by_run
    }
    return {"panels": drawn, "runs": curves}


def _drawn_panel(panel: Panel, by_run: dict[str, pd.DataFrame], looks: Mapping[str, Look]) -> dict[str, Any]:
    runs = [by_run[record.id] for row in panel.rows for record in row.records if record.id in by_run]
    validated = any(_has(run, _validation(panel)) for run in runs)
    rows = [
        {
            **_row(row, panel, looks[panel.label(row)]),
            "anchor": row.is_anchor,
            "runs": [record.id for record in row.records if record.id in by_run],
            "costs": _costs(panel, row),
        }
        for row in panel.rows
    ]
    costs = [name for name in COST_AXES if len({row["costs"][name] for row in rows} - {None}) > 1]
    return {
        "title": panel.heading,
        "curve": f"Validation {axis_name(panel)}" if validated else "Training loss (each of its own terms)",
        "part": "v" if validated else "t",
        "axis": f"Test {axis_name(panel)}",
        "decimals": decimals_of(panel.metric),
        "best": _best(panel),
        "teachers": [_number(value) for value in panel.teachers() if math.isfinite(value)],
        "costs": [[name, *COST_AXES[name]] for name in costs],
        "rows": rows,
    }


def _costs(panel: Panel, row: ResultRow) -> dict[str, float | None]:
    costs = {name: _number(row.values[name].mean) for name in COST_AXES}
    told = {"step_ms": training_cost(row), "latency_ms": panel.latency_of(row)}
    return costs | {name: None if value is None else _number(value) for name, value in told.items()}


def _run_curve(record: Record, frame: pd.DataFrame, panel: Panel) -> dict[str, Any]:
    """Seed, whether it finished, epochs if some are missing; validation metric and training loss by epoch."""
    curve: dict[str, Any] = {"s": record.run.seed, "f": record.status == "finished"}
    epochs = [int(epoch) + 1 for epoch in frame["epoch"]]
    if epochs != list(range(1, len(epochs) + 1)):
        curve["e"] = epochs
    for key, name, scale in (("v", _validation(panel), panel.metric.scale), ("t", "train/loss", 1)):
        if _has(frame, name):
            curve[key] = [_number(value * scale) for value in frame[name]]
    return curve


def _best(panel: Panel) -> int:
    """1 where the larger value of the primary metric is the better one, else -1."""
    return 1 if panel.higher_is_better else -1


def _validation(panel: Panel) -> str:
    return f"validation/{panel.primary_metric}"


def _has(frame: pd.DataFrame, name: str) -> bool:
    """Whether a run's history has values of this name."""
    return name in frame and bool(frame[name].notna().any())


def _number(value: float) -> float | None:
    """Five digits, which no screen exceeds; None for what JSON has no number for."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.5g}") if abs(value) < 1e5 else round(value)
