"""Sensitivity: the primary metric against a hyper-parameter, where several of its values were run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import LINE, Drawing, file_stem, panel_axes, score_axis
from benchmark.reporting.identity import flat
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, grouped
from benchmark.reporting.style import ANCHOR_COLOUR, COLOURS
from benchmark.reporting.tables.captions import of_survivors

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
            for baseline, some in grouped(sweeps(panel), lambda sweep: sweep.baseline).items():
                yield Drawing(
                    task,
                    "hyperparameters",
                    f"{task}_sensitivity_{number}_{file_stem(baseline)}",
                    f"{results.task_title(task)}: sensitivity of {some[0].title}",
                    CAPTION + of_survivors(row for sweep in some for _, row in sweep.points),
                    partial(sensitivity_figure, some, panel),
                )


def sweeps(panel: Panel) -> list[Sweep]:
    """What varied alone: rows of a baseline, of the same code, whose hyper-parameters are equal but for one
    number."""
    found, finished = [], [row for row in panel.rows if row.finished]
    for baseline, rows in grouped(finished, lambda row: row.baseline).items():
        own = [(flat(row.finished[0].hyperparameters, "."), row) for row in rows]
        for name in dict.fromkeys(name for values, _ in own for name in values if _is_number(values[name])):

            def others(each: tuple[dict[str, Any], ResultRow], name: str = name) -> str:
                values, row = each
                code = row.finished[0].provenance.code_checksum
                return repr(sorted({**values, name: None}.items())) + row.comparison + code

            swept = [each for each in own if _is_number(each[0].get(name))]
            for some in grouped(swept, others).values():
                points = {values[name]: row for values, row in some}
                if len(points) >= FEWEST:
                    found.append(Sweep(baseline, rows[0].title, name, sorted(points.items())))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    means = [row.values[key].mean for _, row in sweep.points]
    axes.plot(values, means, color=COLOURS[1], marker="o", markersize=3)
    for value, row in sweep.points:
        if interval := row.interval(key):
            axes.plot([value, value], interval, color=COLOURS[1], linewidth=1)
    for (value, row), mean in zip(sweep.points, means, strict=True):
        if row.condition["overrides"] == row.comparison_condition["overrides"]:
            axes.plot(value, mean, marker="o", markersize=7, fillstyle="none", color=COLOURS[2], lw=0)
    if panel.anchor is not None:
        axes.axhline(panel.anchor.values[key].mean, color=ANCHOR_COLOUR, linestyle=":", linewidth=1)
    positive = [value for value in values if value > 0]
    if positive and max(positive) >= 10 * min(positive):
        # Zero has no logarithm: it stands one step left of the smallest value.
        if min(values) <= 0:
            axes.set_xscale("symlog", linthresh=min(positive))
        else:
            axes.set_xscale("log")
    axes.set_xticks(values, _legible(axes, values), minor=False)
    axes.minorticks_off()
    axes.set_xlabel(sweep.parameter if axes.get_xscale() == "linear" else f"{sweep.parameter} (logarithmic)")
    axes.set_ylabel(score_axis(panel))


def _legible(axes: Axes, values: list[float]) -> list[str]:
    """The values as labels of their ticks; none where it would touch the one before."""
    places = axes.transData.transform([(value, 0.0) for value in values])[:, 0]
    labels, last = [], -math.inf
    for value, place in zip(values, places, strict=True):
        free = place - last > 0.1 * axes.bbox.width
        labels.append(f"{value:g}" if free else "")
        last = place if free else last
    return labels
