"""Each baseline's seeds, mean and interval beside the teacher and the anchor, for each task."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from benchmark.reporting.figures.drawing import LINE, Drawing, axis_name, pages, panel_axes, wrapped
from benchmark.reporting.formatting import show_status
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import ANCHOR_COLOUR, MARKS, TEACHER_COLOUR
from benchmark.reporting.tables.captions import conditional_on

CAPTION = (
    "Dots: runs on the test split, last epoch; mark and bar: mean and 95 % t interval (from three seeds on). "
)


def drawings(results: Results) -> Iterator[Drawing]:
    """One comparison a task, split where it has many panels."""
    for task, panels in results.panels.items():
        for name, some in pages(panels, f"{task}_comparison"):
            title = f"{results.task_title(task)}: comparison"
            caption = CAPTION + conditional_on(row for panel in some for row in panel.rows)
            yield Drawing(task, "comparison", name, title, caption, partial(comparison_figure, results, some))


def comparison_figure(results: Results, panels: list[Panel]) -> Figure:
    """Dots for seeds, a mark for the mean and a bar for its 95 % t interval; lines for teacher and anchor."""
    heights = [0.62 + LINE * panel.title.count("\n") + 0.21 * sum(_sizes(panel)) for panel in panels]
    figure, all_axes = panel_axes(heights, legend_lines=3)
    for panel, axes in zip(panels, all_axes, strict=True):
        _draw_comparison(results, panel, axes)
    rows = [row for panel in panels for row in panel.rows]
    anchors = dict.fromkeys(row.title for row in rows if row.is_anchor)
    handles = [Line2D([], [], color=TEACHER_COLOUR, linestyle="--", label="teacher")]
    handles += (
        [Line2D([], [], color=ANCHOR_COLOUR, linestyle=":", label=", ".join(anchors))] if anchors else []
    )
    grey: dict[str, Any] = {"color": "#777777"}
    handles += [Line2D([], [], **grey, marker="o", markersize=3, alpha=0.6, lw=0, label="one seed")]
    handles += [
        Line2D([], [], **grey, marker=MARKS[role], markersize=4, label=f"mean, 95 % ({role})")
        for role in dict.fromkeys(row.about.role for row in rows)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, columnspacing=1.2, handlelength=1.8)
    return figure


def _sizes(panel: Panel) -> list[float]:
    """The height of each row, 1 for a label of one line."""
    return [max(1.0, 0.35 + 0.6 * (1 + wrapped(panel.label(row)).count("\n"))) for row in panel.rows]


def _draw_comparison(results: Results, panel: Panel, axes: Axes) -> None:
    for value in panel.teachers():
        axes.axvline(value, color=TEACHER_COLOUR, linestyle="--", linewidth=1)
    if panel.anchor is not None:
        axes.axvline(panel.anchor.values[panel.key].mean, color=ANCHOR_COLOUR, linestyle=":", linewidth=1)
    sizes = _sizes(panel)
    heights = [sum(sizes[:k]) + size / 2 for k, size in enumerate(sizes)]
    for height, row in zip(heights, panel.rows, strict=True):
        _draw_row(axes, height, row, panel.key, results.colour(row))
    axes.set_yticks(heights, [wrapped(panel.label(row)) for row in panel.rows])
    axes.set_ylim(sum(sizes), 0)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.06)
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel(f"Test {axis_name(panel)}")


def _draw_row(axes: Axes, height: float, row: ResultRow, key: str, colour: str) -> None:
    beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 7}
    values, estimate = list(row.by_seed(key).values()), row.values[key]
    count = f"{len(values)} of {len(row.records)}" if row.lost else len(values)
    axes.text(1.02, height, f"n = {count}", color="#555555", **beside)
    if not values:
        axes.text(0.02, height, show_status(row), color="#777777", **beside)
        return
    # Seeds stand a little below their mean, or the bar would hide them.
    below = offset_copy(axes.transData, axes.get_figure(root=True), y=-4, units="points")
    dots = {"color": colour, "alpha": 0.6, "linewidths": 0, "zorder": 3}
    axes.scatter(values, [height] * len(values), s=9, transform=below, **dots)
    # What is drawn under another transform than the axes' own doesn't widen their limits.
    axes.update_datalim([(value, height) for value in values], updatey=False)
    if interval := row.interval(key):
        axes.plot(interval, [height, height], color=colour, linewidth=1.4, zorder=2)
    mark = {"marker": MARKS[row.about.role], "markersize": 4, "markeredgecolor": "white"}
    axes.plot(estimate.mean, height, color=colour, zorder=4, **mark)
