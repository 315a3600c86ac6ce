"""Learning curves: the mean of the seeds and their range, epoch by epoch."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.figures.drawing import LINE, Drawing, axis_name, pages, panel_axes, wrapped
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import LOST, ResultRow
from benchmark.reporting.style import line_style

CAPTION = "Mean over seeds by epoch; the band runs from the lowest to the highest seed."


def drawings(results: Results) -> Iterator[Drawing]:
    """The learning curves of each task whose runs have a history."""
    by_run = {str(name): frame for name, frame in results.history.groupby("id")}
    for task, panels in results.panels.items():
        drawn = [p for p in panels if any(r.id in by_run for row in p.rows for r in row.records)]
        styles = _styles(drawn)
        for name, some in pages(drawn, f"{task}_learning_curves"):
            title = f"{results.task_title(task)}: learning curves"
            yield Drawing(name, title, CAPTION, partial(curves_figure, some, by_run, styles))


def curves_figure(panels: list[Panel], by_run: dict[str, pd.DataFrame], styles: dict[str, dict]) -> Figure:
    """Validation primary metric (without validation: training loss) per epoch: mean and range of seeds."""
    columns = 2 if len(panels) <= 2 else 4
    labels = dict.fromkeys(panel.label(row) for panel in panels for row in panel.rows)
    lines = 3 + sum(1 + wrapped(label).count("\n") for label in labels) // columns
    figure, all_axes = panel_axes([2.1 + LINE * panel.title.count("\n") for panel in panels], lines)
    drawn: dict[str, dict] = {}
    lost: dict[str, None] = {}
    for panel, axes in zip(panels, all_axes, strict=True):
        key = f"validation/{panel.primary_metric}"
        frames = [by_run[r.id] for row in panel.rows for r in row.records if r.id in by_run]
        validated = any(key in frame and frame[key].notna().any() for frame in frames)
        for row in panel.rows:
            label = panel.label(row)
            if _draw_curve(axes, row, by_run, key if validated else "train/loss", panel, styles[label]):
                drawn[label] = styles[label]
            lost |= dict.fromkeys(record.status for record in row.records if record.status in LOST)
        axes.set_title(panel.title, loc="left")
        axes.set_xlabel("Epoch")
        # Each baseline's loss has terms of its own: heights compare within a baseline only.
        name = f"Validation {axis_name(panel)}" if validated else "Training loss (own terms)"
        axes.set_ylabel(textwrap.fill(name, 30))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        if frames and max(int(pd.Series(frame["epoch"]).max()) for frame in frames) == 0:
            axes.set_xlim(0.5, 1.5)
    handles: list[Artist] = [Line2D([], [], label=wrapped(label), **style) for label, style in drawn.items()]
    handles.append(Patch(color="#BBBBBB", label="seeds, lowest to highest"))
    if lost:
        label = " or ".join(lost)
        handles.append(Line2D([], [], color="#777777", marker="x", markersize=4, lw=0.8, label=label))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=2.4
    )
    return figure


def _styles(panels: list[Panel]) -> dict[str, dict]:
    """Label -> line style, the same in every panel of a task."""
    labels = dict.fromkeys(panel.label(row) for panel in panels for row in panel.rows if row.finished)
    labels |= dict.fromkeys(panel.label(row) for panel in panels for row in panel.rows)
    return {label: line_style(position) for position, label in enumerate(labels)}


def _draw_curve(
    axes: Axes, row: ResultRow, by_run: dict[str, pd.DataFrame], key: str, panel: Panel, style: dict
) -> bool:
    """Draw a row's mean, its range and its runs that diverged or failed; False where it has no history."""
    scale = panel.metric.scale if key.startswith("validation/") else 1
    curves, drawn = [], False
    for record in row.records:
        frame = by_run.get(record.id)
        if frame is None or key not in frame or bool(pd.Series(frame[key]).isna().all()):
            continue
        values = frame.set_index(frame["epoch"] + 1)[key].astype(float) * scale
        curve = pd.Series(values[np.isfinite(values.to_numpy())])
        drawn = True
        if record.status == "finished":
            curves.append(curve)
        else:
            axes.plot(curve.index, curve, **style, linewidth=0.7, marker="x", markevery=[-1], markersize=4)
    if curves:
        together = pd.concat(curves, axis=1)
        mean, low, high = together.mean(axis=1), together.min(axis=1), together.max(axis=1)
        axes.fill_between(mean.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
        # A single epoch has no line to see.
        axes.plot(mean.index, mean, marker="o" if len(mean) == 1 else None, markersize=3, **style)
    return drawn
