"""What a baseline shows of itself, early and late in training: transport plans, costs, posteriors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.figures.drawing import Drawing, file_stem, legend_of, panel_axes, square_axes
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import COLOURS

EARLY, LATE = "diagnostics_first.", "diagnostics."
CAPTION = (
    "{kind} that {label} (seed {seed}) shows of itself on the same training samples, after the first epoch"
    " and at the end, in the order of the batch."
)


class Shown(NamedTuple):
    """An array by its words, after the first epoch (None where none was kept) and at the end."""

    title: str
    early: np.ndarray | None
    late: np.ndarray


def drawings(results: Results) -> Iterator[Drawing]:
    """For each row of a panel whose runs left matrices, or vectors and numbers: a figure for each kind."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            for row in panel.rows:
                label = panel.label(row)
                heading = f"{label}\n{panel.title}"
                for kind, seed, shown in diagnostics(results, row):
                    word, stem, figure = KINDS[kind]
                    yield Drawing(
                        task,
                        "diagnostics",
                        f"{task}_{stem}_{number}_{file_stem(label)}",
                        f"{results.task_title(task)}: {label} on a batch",
                        CAPTION.format(kind=word, label=label, seed=seed),
                        partial(figure, shown, heading),
                    )


def diagnostics(results: Results, row: ResultRow) -> Iterator[tuple[str, int, list[Shown]]]:
    """Matrices, and whatever has one axis or none: kind, seed and arrays of the first run that left any."""
    kept = [(record.run.seed, usable(results.arrays(record))) for record in row.finished]
    seed, arrays = next(((seed, found) for seed, found in kept if found), (0, {}))
    for kind, dimensions in (("matrices", (2,)), ("vectors", (0, 1))):
        shown = [
            Shown(_words(name), arrays.get(EARLY + name.removeprefix(LATE)), array)
            for name, array in arrays.items()
            if name.startswith(LATE) and array.ndim in dimensions
        ]
        if shown:
            yield kind, seed, shown


def usable(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The diagnostics among a run's arrays that can be drawn: of numbers, all finite."""
    return {
        name: array
        for name, array in arrays.items()
        if name.startswith((EARLY, LATE)) and array.ndim <= 2 and array.size and np.isfinite(array).all()
    }


def _words(name: str) -> str:
    """`diagnostics.wcord.lckt_coupling` -> `lckt coupling`."""
    return name.rpartition(".")[2].replace("_", " ")


def matrix_figure(shown: list[Shown], title: str) -> Figure:
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


def _norm(matrix: Shown) -> PowerNorm:
    """One scale for early and late; the square root of a coupling keeps its small entries visible."""
    known = [array for array in (matrix.early, matrix.late) if array is not None]
    low, high = min(float(array.min()) for array in known), max(float(array.max()) for array in known)
    return PowerNorm(0.5 if low >= 0 else 1.0, vmin=min(low, 0.0), vmax=high if high > low else low + 1)


def vector_figure(shown: list[Shown], title: str) -> Figure:
    """An axes for each: its values in their order, early and late in two colours."""
    figure, all_axes = panel_axes([1.5] * len(shown), 1)
    for each, axes in zip(shown, all_axes, strict=True):
        for when, array, colour in (("first epoch", each.early, COLOURS[6]), ("end", each.late, COLOURS[1])):
            if array is not None:
                values = np.atleast_1d(array)
                axes.plot(
                    range(1, len(values) + 1), values, color=colour, marker="o", ms=2, lw=0.8, label=when
                )
        axes.set_title(each.title, fontsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.set_xlabel("place")
    handles = legend_of(all_axes)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=8)
    return figure


KINDS = {
    "matrices": ("Matrices", "diagnostics", matrix_figure),
    "vectors": ("Values", "diagnostics_values", vector_figure),
}
"""Kind -> the word for it, stem of the files, how it is drawn."""
