"""Figures of a results folder: the comparison of baselines and their learning curves, for each task."""

import math
import textwrap
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from benchmark.reporting.frame import Record
from benchmark.reporting.panels import Panel, task_panels
from benchmark.reporting.rows import Row, scale_of, task_blocks
from benchmark.reporting.statistics import summarise
from benchmark.reporting.style import COLUMN, ROLE_COLOURS, STYLE, TEACHER_COLOUR, line_style
from benchmark.reporting.words import show_status

PANELS_PER_FILE = 8
LINE = 0.13  # height of a line of text, inches
# With two seeds a t interval is nine times as wide as their distance: one would see nothing else.
INTERVAL_FROM = 3


def save_figures(records: Iterable[Record], history: pd.DataFrame, folder: Path) -> list[Path]:
    """Write `<task>_comparison` and `<task>_learning_curves` as PNG (200 dpi) and PDF; returns the paths.

    Args:
        history: as `frame.history_frame` makes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_run = dict(tuple(history.groupby("id")))
    written = []
    with matplotlib.rc_context(STYLE):
        for task, blocks in task_blocks(records).items():
            panels = task_panels(blocks)
            written += _save(panels, comparison_figure, folder / f"{task}_comparison")
            with_curves = [p for p in panels if any(r["id"] in by_run for row in p.rows for r in row.records)]
            styles = _styles(with_curves)
            draw = partial(curves_figure, by_run=by_run, styles=styles)
            written += _save(with_curves, draw, folder / f"{task}_learning_curves")
    return written


def _save(panels: list[Panel], draw: Callable[[list[Panel]], Figure], stem: Path) -> list[Path]:
    written = []
    for start in range(0, len(panels), PANELS_PER_FILE):
        figure = draw(panels[start : start + PANELS_PER_FILE])
        name = f"{stem.name}_{start // PANELS_PER_FILE + 1}" if start else stem.name
        # Neither format gets a date or a version, so that the same records give the same bytes.
        for ending, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            path = stem.parent / f"{name}{ending}"
            figure.savefig(path, dpi=200, metadata=metadata)
            written.append(path)
    return written


def _axes(panels: list[Panel], heights: list[float], legend_lines: int) -> tuple[Figure, list[Axes]]:
    """A figure with an axes for each panel, in one column or two; `heights` in inches."""
    columns = 1 if len(panels) <= 2 else 2
    rows = math.ceil(len(panels) / columns)
    tallest = [max(heights[row * columns : (row + 1) * columns]) for row in range(rows)]
    figure = Figure(
        figsize=(COLUMN * columns, sum(tallest) + 0.2 + 0.16 * legend_lines), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns, height_ratios=tallest)
    return figure, [figure.add_subplot(grid[k // columns, k % columns]) for k in range(len(panels))]


# --- comparison ---


def comparison_figure(panels: list[Panel]) -> Figure:
    """Dots for seeds, a mark for the mean and a bar for its 95 % t interval; lines for teacher and anchor."""
    heights = [0.62 + LINE * panel.title.count("\n") + 0.21 * sum(_sizes(panel)) for panel in panels]
    figure, all_axes = _axes(panels, heights, legend_lines=3)
    for panel, axes in zip(panels, all_axes, strict=True):
        _draw_comparison(panel, axes)
    rows = [row for panel in panels for row in panel.rows]
    roles = dict.fromkeys(row.about.get("role", "") for row in rows)
    anchors = dict.fromkeys(row.title for row in rows if row.is_anchor)
    handles = [Line2D([], [], color=TEACHER_COLOUR, linestyle="--", label="teacher")]
    handles += [Line2D([], [], color="#555555", linestyle=":", label=", ".join(anchors))] if anchors else []
    grey = {"color": "#777777"}
    handles += [Line2D([], [], **grey, marker="o", markersize=3, alpha=0.6, lw=0, label="one seed")]
    handles += [Line2D([], [], **grey, marker="D", markersize=4, label="mean, 95 % t interval (n ≥ 3)")]
    handles += [Patch(color=ROLE_COLOURS.get(role, "#555555"), label=role) for role in roles if role]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.2, handlelength=1.8)
    return figure


def _sizes(panel: Panel) -> list[float]:
    """The height of each row, 1 for a label of one line."""
    return [max(1.0, 0.35 + 0.6 * (1 + _wrapped(panel.label(row)).count("\n"))) for row in panel.rows]


def _draw_comparison(panel: Panel, axes: Axes) -> None:
    key = f"test@last/{panel.block.headlines[0]}"
    for value in panel.teachers():
        axes.axvline(value, color=TEACHER_COLOUR, linestyle="--", linewidth=1)
    for row in panel.rows:
        # The anchor of this condition; a companion under all labels is a row, not a line.
        if row.is_anchor and row.values[key].n and row.condition == panel.rows[0].condition:
            axes.axvline(row.values[key].mean, color="#555555", linestyle=":", linewidth=1)
    sizes = _sizes(panel)
    heights = [sum(sizes[:k]) + size / 2 for k, size in enumerate(sizes)]
    for height, row in zip(heights, panel.rows, strict=True):
        _draw_row(axes, height, row, list(row.by_seed(key, panel.block.metrics).values()))
    axes.set_yticks(heights, [_wrapped(panel.label(row)) for row in panel.rows])
    axes.set_ylim(sum(sizes), 0)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.06)
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel(f"Test {_axis_name(panel)}")


def _draw_row(axes: Axes, height: int, row: Row, values: list[float]) -> None:
    colour = ROLE_COLOURS.get(row.about.get("role"), "#555555")
    beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 7}
    count = f"{len(values)} of {len(row.records)}" if row.count("diverged") else len(values)
    axes.text(1.02, height, f"n = {count}", color="#555555", **beside)
    if not values:
        axes.text(0.02, height, show_status(row), color="#777777", style="italic", **beside)
        return
    summary = summarise(values)
    # Seeds stand a little below their mean, or the bar would hide them.
    below = offset_copy(axes.transData, axes.figure, y=-4, units="points")
    dots = {"color": colour, "alpha": 0.6, "linewidths": 0, "zorder": 3}
    axes.scatter(values, [height] * len(values), s=9, transform=below, **dots)
    if summary.n >= INTERVAL_FROM:
        axes.plot([summary.low, summary.high], [height, height], color=colour, linewidth=1.4, zorder=2)
    axes.plot(summary.mean, height, marker="D", markersize=4, color=colour, markeredgecolor="white", zorder=4)


def _wrapped(label: str, width: int = 24) -> str:
    """A long label on several lines, broken before what tells it from others of its title."""
    parts = label.replace(" (", "\n(", 1).split("\n") if len(label) > width else [label]
    return "\n".join(textwrap.fill(part, width) for part in parts)


def _axis_name(panel: Panel) -> str:
    """`top-1 accuracy (%), higher is better`."""
    name = panel.metric.get("title") or panel.block.headlines[0]
    name = name if name[:2].isupper() else name[:1].lower() + name[1:]
    unit = f" ({panel.metric['unit']})" if panel.metric.get("unit") else ""
    better = {"max": ", higher is better", "min": ", lower is better"}.get(panel.metric.get("direction"), "")
    return f"{name}{unit}{better}"


# --- learning curves ---


def curves_figure(panels: list[Panel], by_run: dict[str, pd.DataFrame], styles: dict[str, dict]) -> Figure:
    """Validation headline metric (without validation: training loss) per epoch: mean and range of seeds."""
    columns = 2 if len(panels) <= 2 else 4
    labels = dict.fromkeys(panel.label(row) for panel in panels for row in panel.rows)
    lines = 3 + sum(1 + _wrapped(label).count("\n") for label in labels) // columns
    figure, all_axes = _axes(panels, [2.1 + LINE * panel.title.count("\n") for panel in panels], lines)
    drawn: dict[str, dict] = {}
    diverged = False
    for panel, axes in zip(panels, all_axes, strict=True):
        key = f"validation/{panel.block.headlines[0]}"
        frames = [by_run[r["id"]] for row in panel.rows for r in row.records if r["id"] in by_run]
        validated = any(key in frame and frame[key].notna().any() for frame in frames)
        for row in panel.rows:
            label = panel.label(row)
            if _draw_curve(axes, row, by_run, key if validated else "train/loss", panel, styles[label]):
                drawn[label] = styles[label]
            diverged |= row.count("diverged") > 0
        axes.set_title(panel.title, loc="left")
        axes.set_xlabel("Epoch")
        # Each baseline's loss has terms of its own: heights compare within a baseline only.
        name = f"Validation {_axis_name(panel)}" if validated else "Training loss (own terms)"
        axes.set_ylabel(textwrap.fill(name, 30))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        if frames and max(frame["epoch"].max() for frame in frames) == 0:
            axes.set_xlim(0.5, 1.5)
    handles = [Line2D([], [], label=_wrapped(label), **style) for label, style in drawn.items()]
    handles.append(Patch(color="#BBBBBB", label="seeds, lowest to highest"))
    if diverged:
        handles.append(Line2D([], [], color="#777777", marker="x", markersize=4, lw=0.8, label="diverged"))
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
    axes: Axes, row: Row, by_run: dict[str, pd.DataFrame], key: str, panel: Panel, style: dict
) -> bool:
    """Draw a row's mean, its range and its diverged runs; False where it has no history."""
    scale = scale_of(panel.metric) if key.startswith("validation/") else 1
    curves, drawn = [], False
    for record in row.records:
        frame = by_run.get(record["id"])
        if frame is None or key not in frame or frame[key].isna().all():
            continue
        values = frame.set_index(frame["epoch"] + 1)[key].astype(float) * scale
        curve = values[np.isfinite(values)]
        drawn = True
        if record["status"] == "finished":
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
