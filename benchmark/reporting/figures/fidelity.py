"""Fidelity against accuracy: is the student better because it follows its teacher?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from benchmark.records import LAST
from benchmark.reporting.figures.drawing import (
    Drawing,
    Found,
    Point,
    draw_points,
    each_panel,
    points_of,
    scatter_axes,
    score_axis,
)
from benchmark.reporting.formatting import ARROWS
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results

CAPTION = (
    "Means over seeds: how closely students answer as their teacher does on the test split, against how well"
    " they answer. Controls (squares) follow teachers of their own; diamonds are methods, circles references."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel: its score against each metric that measures students against their teacher."""

    def show(panel: Panel) -> Found | None:
        found = {name: places(results, panel, name) for name in fidelity_metrics(panel)}
        found = {name: points for name, points in found.items() if len(points) > 2}
        return (CAPTION, partial(fidelity_figure, panel, found)) if found else None

    return each_panel(results, "fidelity", "fidelity", show)


def fidelity_metrics(panel: Panel) -> list[str]:
    """Metrics that no teacher has a value of, though it was tested: they are measured against it."""
    teacher = panel.teacher_row
    if teacher is None:
        return []
    names = [name for name in panel.block.metrics if name not in panel.block.primary_metrics]
    return [name for name in names if teacher.value(f"{LAST}/{name}") is None]


def places(results: Results, panel: Panel, name: str) -> list[Point]:
    """Fidelity and score of each row that has both."""
    return points_of(results, panel, lambda row: row.value(f"{LAST}/{name}"))


def fidelity_figure(panel: Panel, found: dict[str, list[Point]]) -> Figure:
    """Axes for each metric: points with their names on the margin."""
    most = max(found.values(), key=len)
    figure, all_axes = scatter_axes(len(found), [point.label for point in most], panel)
    for (name, points), axes in zip(found.items(), all_axes, strict=True):
        metric = panel.block.metrics[name]
        draw_points(axes, points)
        axes.set_xlabel(
            f"{metric.title or metric.short or name} ({metric.unit or '1'}) {ARROWS[metric.direction]}"
        )
        axes.set_ylabel(score_axis(panel))
    all_axes[0].set_title(panel.title, loc="left")
    return figure
