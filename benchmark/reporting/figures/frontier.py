"""Accuracy against whole cost: the student, its teacher and its tuning, and what nothing cheaper beats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from benchmark.reporting.figures.costs import draw_front, front
from benchmark.reporting.figures.drawing import Drawing, Point, points_of, scatter_axes
from benchmark.reporting.panels import Panel, with_any_effort
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.tables.captions import WHOLE_COST

CAPTION = (
    "Means over seeds; bars: one sample standard deviation. The line is the Pareto frontier, what nothing"
    " cheaper beats: {names}; all else is faint. Marks: a diamond for a method, a square for a control, a"
    " circle for a reference{tuned}. Times are of this machine."
)
NAMED = 20
"""Of more points than these, only those on the frontier are named: lines to all names would hide them."""


def drawings(results: Results) -> Iterator[Drawing]:
    """For each dataset, pair and condition of the data with whole costs, tuned and default rows together."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(with_any_effort(panels), start=1):
            points = whole_points(results, panel)
            if len(points) > 1:
                title = f"{results.task_title(task)}: score and whole cost, {panel.heading}"
                caption = f"{_caption(points)} {WHOLE_COST}"
                draw = partial(frontier_figure, panel, points)
                yield Drawing(task, "frontier", f"{task}_frontier_{number}", title, caption, draw)


def whole_points(results: Results, panel: Panel) -> list[Point]:
    """The rows with a whole cost and the panel's labels, which cost something too; those off the frontier are
    faint, tuned ones hollow."""
    labels = panel.rows[0].condition["label_fraction"]
    rows = [
        row
        for row in panel.rows
        if row.condition["label_fraction"] == labels and None not in (_cost(row), row.value(panel.key))
    ]
    found = [
        replace(
            point,
            label=f"{point.label}, tuned" if _tuned(row) else point.label,
            spread=row.values[panel.key].sd,
            hollow=_tuned(row),
        )
        for row, point in zip(rows, points_of(results, replace(panel, rows=rows), _cost), strict=True)
    ]
    best = front(found, panel.higher_is_better)
    return [replace(point, faint=point not in best) for point in found]


def frontier_figure(panel: Panel, points: list[Point]) -> Figure:
    """The faint points first, for the others to stand on them."""
    few = len(points) <= NAMED
    drawn = [point if few or not point.faint else replace(point, label="") for point in points]
    drawn.sort(key=lambda point: not point.faint)
    figure, (axes,) = scatter_axes(1, [point.label for point in drawn if point.label], panel)
    draw_front(axes, drawn, "whole cost (s)", panel)
    axes.set_title(panel.title, loc="left")
    return figure


def _caption(points: list[Point]) -> str:
    names = ", ".join(point.label for point in sorted(points, key=lambda point: point.x) if not point.faint)
    return CAPTION.format(names=names, tuned="; hollow where it was tuned" * any(p.hollow for p in points))


def _cost(row: ResultRow) -> float | None:
    return row.value("whole_s")


def _tuned(row: ResultRow) -> bool:
    return row.condition["tuning"] == "tuned"
