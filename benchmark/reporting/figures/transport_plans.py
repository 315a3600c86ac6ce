"""Matrices that a baseline shows of itself, early and late in training: transport plans and their costs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import Drawing, file_stem, square_axes
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow

EARLY, LATE = "diagnostics_first.", "diagnostics."
CAPTION = (
    "Matrices that {label} (seed {seed}) shows of itself on the same training samples, after the first epoch"
    " and at the end, in the order of the batch."
)


class Matrix(NamedTuple):
    """A matrix by its words, after the first epoch (None where none was kept) and at the end."""

    title: str
    early: np.ndarray | None
    late: np.ndarray


def drawings(results: Results) -> Iterator[Drawing]:
    """For each row of a panel whose runs left matrices."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            for row in panel.rows:
                found = matrices(results, row)
                if found is not None:
                    seed, shown = found
                    yield Drawing(
                        task,
                        "transport_plans",
                        f"{task}_diagnostics_{number}_{file_stem(panel.label(row))}",
                        f"{results.task_title(task)}: {panel.label(row)} on a batch",
                        CAPTION.format(label=panel.label(row), seed=seed),
                        partial(matrix_figure, shown, f"{panel.label(row)}\n{panel.title}"),
                    )


def matrices(results: Results, row: ResultRow) -> tuple[int, list[Matrix]] | None:
    """The seed and the matrices of the first finished run that left any."""
    for record in row.finished:
        arrays = {
            name: array
            for name, array in results.arrays(record).items()
            if name.startswith((EARLY, LATE)) and array.ndim == 2 and array.size and np.isfinite(array).all()
        }
        shown = [
            Matrix(_words(name), arrays.get(EARLY + name.removeprefix(LATE)), array)
            for name, array in arrays.items()
            if name.startswith(LATE)
        ]
        if shown:
            return record.run.seed, shown
    return None


def _words(name: str) -> str:
    """`diagnostics.wcord.lckt_coupling` -> `lckt coupling`."""
    return name.rpartition(".")[2].replace("_", " ")


def matrix_figure(shown: list[Matrix], title: str) -> Figure:
    """A row for each matrix: early and late under one scale; without a beginning, the end alone."""
    figure, all_axes = square_axes(title, 2 * len(shown), 1.5, 2, bar=0.5)
    for each, first, last in zip(shown, all_axes[::2], all_axes[1::2], strict=True):
        norm = _norm(each)
        for when, array, axes in (("first epoch", each.early, first), ("end", each.late, last)):
            if array is None:
                axes.set_axis_off()
                continue
            image = axes.imshow(array, cmap="viridis", norm=norm, interpolation="nearest")
            axes.set_title(f"{each.title}, {when}", fontsize=7)
        place = last.get_position()
        beside = figure.add_axes((place.x1 + 0.02, place.y0, 0.02, place.height))
        figure.colorbar(image, cax=beside).ax.tick_params(labelsize=6)
    return figure


def _norm(matrix: Matrix) -> PowerNorm:
    """One scale for early and late; the square root of a coupling keeps its small entries visible."""
    known = [array for array in (matrix.early, matrix.late) if array is not None]
    low, high = min(float(array.min()) for array in known), max(float(array.max()) for array in known)
    return PowerNorm(0.5 if low >= 0 else 1.0, vmin=min(low, 0.0), vmax=high if high > low else low + 1)
