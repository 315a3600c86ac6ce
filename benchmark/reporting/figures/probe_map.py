"""Probe and transfer heat map: what the frozen features of every student are good for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import Drawing, panel_axes
from benchmark.reporting.panels import Panel
from benchmark.reporting.probes import probe_title
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PROBES

CAPTION = (
    "Test accuracy (%) of classifiers on frozen features, mean over seeds; the colour is the difference to"
    " the anchor's features. The first line is the teacher."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel whose networks were probed."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            if len(table := probe_table(panel)) > 2:
                yield Drawing(
                    f"{task}_probe_map_{number}",
                    f"{results.task_title(task)}: frozen features, {panel.heading}",
                    CAPTION,
                    partial(probe_figure, panel, table),
                )


def probe_table(panel: Panel) -> dict[str, dict[str, float]]:
    """Title -> probe -> mean in percent, for the teacher, the anchor and the other rows."""
    teachers = [row for row in panel.block.rows if row.is_teacher]
    named = [("teacher", row) for row in teachers[:1]] + [(panel.label(row), row) for row in panel.rows]
    table = {}
    for title, row in named:
        found = {key: s.mean for key, s in row.values.items() if key.startswith(PROBES) and s.n}
        if found:
            table[title] = found
    return table


def probe_figure(panel: Panel, table: dict[str, dict[str, float]]) -> Figure:
    """Numbers on colours; a probe's name stands above its column."""
    keys = list(dict.fromkeys(key for found in table.values() for key in found))
    values = np.array([[found.get(key, np.nan) for key in keys] for found in table.values()])
    anchors = [
        k for k, title in enumerate(table) if any(r.is_anchor and panel.label(r) == title for r in panel.rows)
    ]
    difference = values - (values[anchors[0]] if anchors else np.nanmean(values, axis=0))
    limit = float(np.nanmax(np.abs(difference))) or 1.0
    figure, (axes,) = panel_axes([1.3 + 0.13 * len(table) + 0.13 * panel.title.count("\n")], 0)
    axes.imshow(difference, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(values):
        strong = abs(difference[row, column]) > 0.6 * limit
        if np.isfinite(value):
            axes.text(
                column,
                row,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=5.5,
                color="white" if strong else "#222222",
            )
    names = [probe_title(key).replace("\n", ", ") for key in keys]
    axes.set_xticks(range(len(keys)), names, rotation=55, ha="left", rotation_mode="anchor", fontsize=6.5)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(table)), list(table), fontsize=6.5)
    axes.tick_params(length=0)
    axes.grid(False)
    figure.suptitle(panel.title, fontsize=8)
    return figure
