"""Fidelity against accuracy: is the student better because it follows its teacher?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import (
    Drawing,
    axis_name,
    margin_labels,
    panel_axes,
    role_colour,
    room_for_labels,
)
from benchmark.reporting.formatting import metric_name
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results

CAPTION = (
    "Means over seeds: how closely students answer as their teacher does on the test split, against how well"
    " they answer. Controls follow teachers of their own."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel: its score against each metric that measures students against their teacher."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            names = [name for name in fidelity_metrics(panel) if len(places(panel, name)) > 2]
            if names:
                yield Drawing(
                    f"{task}_fidelity_{number}",
                    f"{results.task_title(task)}: fidelity, {panel.heading}",
                    CAPTION,
                    partial(fidelity_figure, panel, names),
                )


def fidelity_metrics(panel: Panel) -> list[str]:
    """Metrics that no teacher has a value of, though it was tested: they are measured against it."""
    tested = [row for row in panel.block.rows if row.is_teacher]
    names = [name for name in panel.block.metrics if name not in panel.block.primary_metrics]
    return [
        name
        for name in names
        if tested
        and not any(
            row.values.get(f"test@last/{name}") and row.values[f"test@last/{name}"].n for row in tested
        )
    ]


def places(panel: Panel, name: str) -> list[tuple[float, float, str, str]]:
    """(fidelity, score, label, colour) of each row that has both."""
    key, found = panel.key, []
    for row in panel.rows:
        own, score = row.values.get(f"test@last/{name}"), row.values.get(key)
        if own is not None and own.n and score is not None and score.n:
            found.append((own.mean, score.mean, panel.label(row), role_colour(row)))
    return found


def fidelity_figure(panel: Panel, names: list[str]) -> Figure:
    """Axes for each metric: points with their names on the margin."""
    found = {name: places(panel, name) for name in names}
    height = max(2.2, 0.5 + 0.11 * max(map(len, found.values()))) + 0.13 * panel.title.count("\n")
    figure, all_axes = panel_axes([height] * len(names), 0)
    for (name, points), axes in zip(found.items(), all_axes, strict=True):
        for x, y, _, colour in points:
            axes.plot(x, y, marker="o", ms=3, color=colour, lw=0)
        metric = panel.block.metrics[name]
        axes.set_xlabel(f"{metric.title or metric_name(metric, name)} ({metric.unit or '1'})")
        axes.set_ylabel(f"Test {axis_name(panel)}".replace(", ", ",\n", 1))
        axes.margins(0.06)
    all_axes[0].set_title(panel.title, loc="left")
    room_for_labels(figure, [label for points in found.values() for _, _, label, _ in points])
    for points, axes in zip(found.values(), all_axes, strict=True):
        margin_labels(axes, points)
    return figure
