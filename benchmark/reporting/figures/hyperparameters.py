"""Sensitivity: the primary metric against a hyper-parameter, where several of its values were run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import INTERVAL_FROM, LINE, Drawing, axis_name, panel_axes
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import COLOURS

FEWEST = 3
CAPTION = (
    "Mean over seeds and 95 % t interval (from three seeds on) by the value of one hyper-parameter, all"
    " others equal; the ring is the default. Dotted: the anchor."
)


class Sweep(NamedTuple):
    """One hyper-parameter of one baseline; (value, row) by value."""

    baseline: str
    title: str
    parameter: str
    points: list[tuple[float, ResultRow]]


def drawings(results: Results) -> Iterator[Drawing]:
    """For each baseline of a panel of which a hyper-parameter took three values or more."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            by_baseline: dict[str, list[Sweep]] = {}
            for each in sweeps(panel):
                by_baseline.setdefault(each.baseline, []).append(each)
            for baseline, some in by_baseline.items():
                stem = "".join(c if c.isalnum() else "_" for c in baseline)
                yield Drawing(
                    f"{task}_sensitivity_{number}_{stem}",
                    f"{results.task_title(task)}: sensitivity of {some[0].title}",
                    CAPTION,
                    partial(sensitivity_figure, some, panel),
                )


def sweeps(panel: Panel) -> list[Sweep]:
    """What varied alone: rows of a baseline whose hyper-parameters are equal but for one number."""
    found = []
    rows = [row for row in panel.rows if row.finished]
    for baseline in dict.fromkeys(row.name for row in rows):
        own = [(_numbers(row), row) for row in rows if row.name == baseline]
        for name in dict.fromkeys(name for values, _ in own for name in values):
            groups: dict[str, dict[float, ResultRow]] = {}
            for values, row in own:
                if name in values:
                    others = json.dumps([{**values, name: None}, row.comparison_condition], sort_keys=True)
                    groups.setdefault(others, {})[values[name]] = row
            for points in groups.values():
                if len(points) >= FEWEST:
                    found.append(Sweep(baseline, own[0][1].title, name, sorted(points.items())))
    return found


def _numbers(row: ResultRow) -> dict[str, Any]:
    """The row's hyper-parameters, those of a composition's parts as `part.name`; numbers and all others."""
    flat: dict[str, Any] = {}
    for name, value in row.finished[0].hyperparameters.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{key}" if key else name: each for key, each in inner.items()}
    return {k: v for k, v in flat.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def sensitivity_figure(some: list[Sweep], panel: Panel) -> Figure:
    """An axes for each hyper-parameter, side by side from two on."""
    figure, all_axes = panel_axes([2.1 + LINE * panel.title.count("\n")] * len(some), 0)
    for each, axes in zip(some, all_axes, strict=True):
        _draw(axes, each, panel)
    figure.suptitle(f"{some[0].title}\n{panel.title}", fontsize=8)
    return figure


def _draw(axes: Axes, sweep: Sweep, panel: Panel) -> None:
    key = panel.key
    values = [value for value, _ in sweep.points]
    estimates = [row.values[key] for _, row in sweep.points]
    means = [estimate.mean for estimate in estimates]
    axes.plot(values, means, color=COLOURS[0], marker="o", markersize=3)
    for value, estimate in zip(values, estimates, strict=True):
        if estimate.n >= INTERVAL_FROM:
            axes.plot([value, value], [estimate.low, estimate.high], color=COLOURS[0], linewidth=1)
    for (value, row), mean in zip(sweep.points, means, strict=True):
        if not row.condition["overrides"]:
            axes.plot(value, mean, marker="o", markersize=7, fillstyle="none", color=COLOURS[1], lw=0)
    for row in panel.rows:
        if row.is_anchor and row.values[key].n and row.condition == panel.rows[0].condition:
            axes.axhline(row.values[key].mean, color="#555555", linestyle=":", linewidth=1)
    positive = [value for value in values if value > 0]
    if positive and max(positive) >= 10 * min(positive):
        # Zero has no logarithm: it stands one step left of the smallest value.
        axes.set_xscale("symlog" if min(values) <= 0 else "log", **_threshold(values, positive))
    axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(sweep.parameter)
    axes.set_ylabel(f"Test {axis_name(panel)}".replace(", ", ",\n", 1))


def _threshold(values: list[float], positive: list[float]) -> dict[str, float]:
    return {"linthresh": min(positive)} if min(values) <= 0 else {}
