"""Class-correlation matrices: where student and teacher relate the logits of classes in other ways."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import Drawing, pages, square_axes, wrapped
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow

PER_FIGURE = 12
COLUMNS = 3
CAPTION = (
    "Correlations between the classes' logits over the test samples, student minus teacher, mean over seeds:"
    " white where both agree. In brackets the mean absolute difference; sorted by it."
)


class Difference(NamedTuple):
    """A baseline's matrix [K, K], student minus teacher, mean over `n` seeds."""

    label: str
    matrix: np.ndarray
    n: int

    @property
    def size(self) -> float:
        return float(np.abs(self.matrix).mean())


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel whose runs kept both matrices."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            differences = [each for row in panel.rows if (each := difference(results, panel, row))]
            differences.sort(key=lambda each: (each.size, each.label))
            title = f"{results.task_title(task)}: class correlations, {panel.heading}"
            for name, some in pages(differences, f"{task}_class_correlation_{number}", PER_FIGURE):
                draw = partial(correlation_figure, some, panel.title)
                yield Drawing(task, "correlations", name, title, CAPTION, draw)


def difference(results: Results, panel: Panel, row: ResultRow) -> Difference | None:
    """The mean over the row's seeds; None where no run kept both matrices, finite and of the same classes."""
    found = []
    for record in row.finished:
        arrays = results.arrays(record, "test_class_correlation", "teacher_class_correlation")
        both = [each.astype(np.float64) for each in arrays.values() if each.ndim == 2]
        if len(both) == 2 and both[0].shape == both[1].shape and np.isfinite(both).all():
            found.append(both[0] - both[1])
    same = [each for each in found if each.shape == found[0].shape]
    return Difference(panel.label(row), np.mean(same, axis=0), len(same)) if same else None


def correlation_figure(differences: list[Difference], title: str) -> Figure:
    """Small multiples under one colour scale."""
    columns = min(COLUMNS, len(differences))
    figure, all_axes = square_axes(title, len(differences), 3.5 / COLUMNS, columns, foot=0.5)
    limit = max(float(np.abs(each.matrix).max()) for each in differences) or 1.0
    for each, axes in zip(differences, all_axes, strict=True):
        image = axes.imshow(each.matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(f"{wrapped(each.label, 18)} ({each.size:.2f})", fontsize=6.5)
    height = figure.get_figheight()
    bar = figure.colorbar(
        image, cax=figure.add_axes((0.15, 0.36 / height, 0.7, 0.07 / height)), orientation="horizontal"
    )
    bar.set_label("student minus teacher", fontsize=7)
    bar.ax.tick_params(labelsize=6.5)
    return figure
