"""What baselines measure of themselves, epoch by epoch: mass on true pairs, scores, retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.reporting.figures.curves import draw_curves, draw_legend, legend_lines, runs_of
from benchmark.reporting.figures.drawing import Drawing, Found, each_panel, panel_axes
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.style import Look, looks

PREFIX = "diagnostics/"
"""Of their columns in a history."""
HEIGHT = 1.7
CAPTION = (
    "Numbers that baselines give of themselves after each epoch, on the same unaugmented training samples:"
    " mean over seeds; the band runs from the lowest to the highest seed."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """A figure for each panel whose runs measured something, with an axes for each measure."""

    def show(panel: Panel) -> Found | None:
        found = measures_of(results, panel)
        by_label = looks({panel.label(row): results.looks[row.baseline] for row in panel.rows})
        return (CAPTION, partial(measures_figure, found, by_label, panel.title)) if found else None

    return each_panel(results, "measures", "what baselines measure of themselves", show)


def measures_of(results: Results, panel: Panel) -> dict[str, pd.DataFrame]:
    """Measure -> its values, as `draw_curves` takes them.

    Those of a composition's parts stand under the measure's own name, those of unlike baselines side by side.
    """
    runs, history, found = runs_of(panel), results.history, {}
    for column in history.columns:
        if column.startswith(PREFIX):
            own = history[["id", "epoch"]].assign(epoch=history["epoch"] + 1, value=history[column])
            own = runs.merge(own[np.isfinite(own["value"].to_numpy(dtype=float))], on="id")
            if len(own):
                found.setdefault(column.removeprefix(PREFIX).rpartition(".")[2], []).append(own)
    places = {label: place for place, label in enumerate(runs["label"])}
    return {
        name: pd.concat(frames).sort_values("label", key=lambda labels: labels.map(places), kind="stable")
        for name, frames in found.items()
    }


def measures_figure(found: dict[str, pd.DataFrame], by_label: Mapping[str, Look], title: str) -> Figure:
    """An axes for each measure."""
    columns, frames = 2 if len(found) <= 2 else 4, list(found.values())
    figure, all_axes = panel_axes([HEIGHT] * len(found), legend_lines(frames, columns))
    for (name, frame), axes in zip(found.items(), all_axes, strict=True):
        draw_curves(axes, frame, by_label)
        axes.set_title(name.replace("_", " "), loc="left")
    draw_legend(figure, frames, by_label, columns)
    figure.suptitle(title, fontsize=8)
    return figure
