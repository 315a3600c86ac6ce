"""Learning curves: the mean of the seeds and their range, epoch by epoch."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.figures.drawing import LINE, Drawing, axis_name, pages, panel_axes, wrapped
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import LOST
from benchmark.reporting.style import Look, looks

CAPTION = "Mean over seeds by epoch; the band runs from the lowest to the highest seed."


class Curves(NamedTuple):
    """A panel and one line per run and epoch: `label`, `id`, `status`, `epoch` from 1, `value`."""

    panel: Panel
    lines: pd.DataFrame
    validated: bool
    """whether the value is the primary metric on validation, in its unit; else it is the training loss"""


def drawings(results: Results) -> Iterator[Drawing]:
    """The learning curves of each task whose runs have a history."""
    for task, panels in results.panels.items():
        drawn = [found for panel in panels if len((found := curves_of(results, panel)).lines)]
        # The same label looks the same in every panel of a task.
        by_label = {p.label(row): results.looks[row.baseline] for p, *_ in drawn for row in p.rows}
        for name, some in pages(drawn, f"{task}_learning_curves"):
            title = f"{results.task_title(task)}: learning curves"
            yield Drawing(task, "curves", name, title, CAPTION, partial(curves_figure, some, looks(by_label)))


def curves_of(results: Results, panel: Panel) -> Curves:
    """What the histories of a panel's runs hold."""
    runs = runs_of(panel)
    history, validation = results.history, f"validation/{panel.primary_metric}"
    own = history[history["id"].isin(runs["id"])] if len(history) else history
    validated = validation in own and not all(pd.isna(own[validation]))
    name, scale = (validation, panel.metric.scale) if validated else ("train/loss", 1.0)
    columns = {"id": own["id"], "epoch": own["epoch"] + 1, "value": own[name] * scale} if name in own else {}
    values = pd.DataFrame(columns, columns=["id", "epoch", "value"]).astype({"id": object, "value": float})
    values = values[np.isfinite(values["value"].to_numpy())]
    return Curves(panel, runs.merge(values, on="id"), validated)


def curves_figure(some: list[Curves], by_label: dict[str, Look]) -> Figure:
    """Validation primary metric (without validation: training loss) per epoch: mean and range of seeds."""
    columns = 2 if len(some) <= 2 else 4
    frames = [each.lines for each in some]
    figure, all_axes = panel_axes(
        [2.1 + LINE * each.panel.title.count("\n") for each in some], legend_lines(frames, columns)
    )
    for (panel, frame, validated), axes in zip(some, all_axes, strict=True):
        draw_curves(axes, frame, by_label)
        axes.set_title(panel.title, loc="left")
        # Each baseline's loss has terms of its own: heights compare within a baseline only.
        name = f"Validation {axis_name(panel)}" if validated else "Training loss (own terms)"
        axes.set_ylabel(textwrap.fill(name, 30))
    draw_legend(figure, frames, by_label, columns)
    return figure


def legend_lines(frames: list[pd.DataFrame], columns: int) -> int:
    """The height of the legend of these curves, in lines."""
    return 3 + sum(1 + wrapped(label).count("\n") for label in _labels(frames)) // columns


def draw_legend(
    figure: Figure, frames: list[pd.DataFrame], by_label: Mapping[str, Look], columns: int
) -> None:
    """Below the axes: every label that is drawn, how lost runs are marked, and what the band is."""
    handles = [Line2D([], [], label=wrapped(label), **by_label[label].line) for label in _labels(frames)]
    ended = {status for frame in frames for status in frame["status"]}
    lost = [status for status in LOST if status in ended]
    if lost:
        handles.append(Line2D([], [], color="#777777", marker="x", ms=4, lw=0.8, label=" or ".join(lost)))
    band = Patch(color="#BBBBBB", label="seeds, lowest to highest")
    figure.legend(
        handles=[*handles, band],
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.2,
        handlelength=2.4,
    )


def _labels(frames: list[pd.DataFrame]) -> list[str]:
    return list(dict.fromkeys(label for frame in frames for label in frame["label"]))


def runs_of(panel: Panel) -> pd.DataFrame:
    """One line per run of a panel: `label`, `id`, `status`."""
    told = [(panel.label(row), each.id, each.status) for row in panel.rows for each in row.records]
    return pd.DataFrame(told, columns=["label", "id", "status"])


def draw_curves(axes: Axes, frame: pd.DataFrame, by_label: Mapping[str, Look]) -> None:
    """Each row's mean and range over its finished runs; runs that diverged or failed one by one.

    frame   one line per run and epoch: `label`, `id`, `status`, `epoch` from 1, `value`
    """
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    if max(frame["epoch"]) == 1:
        axes.set_xlim(0.5, 1.5)
    finished = frame["status"] == "finished"
    for label, own in frame[finished].groupby("label", sort=False):
        look = by_label[str(label)].line
        seeds = own.groupby("epoch")["value"].agg(["mean", "min", "max"])
        # A single epoch has no line to see.
        mark: dict[str, Any] = {"marker": "o", "markersize": 3} if len(seeds) == 1 else {}
        axes.fill_between(seeds.index, seeds["min"], seeds["max"], color=look["color"], alpha=0.15, lw=0)
        axes.plot(seeds.index, seeds["mean"], **look, **mark)
    lost = frame[~finished]
    for place in lost.groupby("id", sort=False).indices.values():
        own = lost.take(place)
        look = by_label[next(iter(own["label"]))].line
        axes.plot(own["epoch"], own["value"], **look, linewidth=0.7, marker="x", markevery=[-1], markersize=4)
