"""What every kind of figure is made of: a drawing with its caption, axes for its panels, common words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import TextPath

from benchmark.reporting.panels import Panel
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import COLUMN, ROLE_COLOURS

PANELS_PER_FILE = 8
LINE = 0.13  # height of a line of text, inches
# With two seeds a t interval is nine times as wide as their distance: one would see nothing else.
INTERVAL_FROM = 3


@dataclass(frozen=True)
class Drawing:
    """One figure: its file stem, its heading and caption on the page, and how to draw it."""

    name: str
    """unique within a results folder; the stem of its files"""
    title: str
    caption: str
    """one to three sentences: what is shown, of which runs, with which uncertainty"""
    draw: Callable[[], Figure] | None
    """None where it can't be drawn from these records; `reason` then says why"""
    reason: str = ""

    def save(self, folder: Path) -> list[Path]:
        """Writes the PNG (200 dpi) and the PDF; the same records give the same bytes."""
        assert self.draw is not None, self.reason
        figure, written = self.draw(), []
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it is laid out now; each format would do it again
        for ending, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            path = folder / f"{self.name}{ending}"
            figure.savefig(path, dpi=200, metadata=metadata)
            written.append(path)
        return written


Paged = TypeVar("Paged")


def pages(panels: list[Paged], stem: str) -> Iterator[tuple[str, list[Paged]]]:
    """`(stem, panels)`, `(stem_2, panels)`, ...: as many panels as fit a file."""
    for start in range(0, len(panels), PANELS_PER_FILE):
        name = f"{stem}_{start // PANELS_PER_FILE + 1}" if start else stem
        yield name, panels[start : start + PANELS_PER_FILE]


def panel_axes(heights: list[float], legend_lines: int) -> tuple[Figure, list[Axes]]:
    """A figure with an axes for each height, in one column or two; `heights` in inches."""
    columns = 1 if len(heights) <= 2 else 2
    rows = math.ceil(len(heights) / columns)
    tallest = [max(heights[row * columns : (row + 1) * columns]) for row in range(rows)]
    figure = Figure(
        figsize=(COLUMN * columns, sum(tallest) + 0.2 + 0.16 * legend_lines), layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns, height_ratios=tallest)
    return figure, [figure.add_subplot(grid[k // columns, k % columns]) for k in range(len(heights))]


def wrapped(label: str, width: int = 24) -> str:
    """A long label on several lines, broken before what tells it from others of its title."""
    parts = label.replace(" (", "\n(", 1).split("\n") if len(label) > width else [label]
    return "\n".join(textwrap.fill(part, width) for part in parts)


def axis_name(panel: Panel) -> str:
    """`top-1 accuracy (%), higher is better`."""
    name = panel.metric.title or panel.primary_metric
    name = name if name[:2].isupper() else name[:1].lower() + name[1:]
    unit = f" ({panel.metric.unit})" if panel.metric.unit else ""
    better = {"max": ", higher is better", "min": ", lower is better"}[panel.metric.direction]
    return f"{name}{unit}{better}"


def square_axes(count: int, size: float, columns: int, extra: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes of `size` inches, `columns` in a row, and `extra` inches for a colour bar."""
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size * columns, (size + 0.2) * rows + extra), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns)
    return figure, [figure.add_subplot(grid[k // columns, k % columns]) for k in range(count)]


def bare(axes: Axes) -> None:
    """No ticks and no grid: for matrices and maps, whose places have no numbers."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)


MARGIN_CHARACTERS = 27
LABEL_POINTS = 6


def room_for_labels(figure: Figure, labels: Iterable[str]) -> None:
    """Lays the figure out with room on the right for what `margin_labels` will write there."""
    widths = [TextPath((0, 0), _short(label), size=LABEL_POINTS).get_extents().width for label in labels]
    inches = max(widths, default=0.0) / 72
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1 - (0.06 + inches / figure.get_figwidth()), 1))
    figure.draw_without_rendering()


def _short(label: str) -> str:
    return label if len(label) <= MARGIN_CHARACTERS else f"{label[: MARGIN_CHARACTERS - 1].rstrip()}…"


def margin_labels(axes: Axes, points: list[tuple[float, float, str, str]]) -> None:
    """Names points (x, y, label, colour) on the right margin, each with a thin line, so that none overlap.

    Give the axes at least 0.11 inch of height for each point, and call `room_for_labels` before.
    """
    low, high = axes.get_ylim()
    ordered = sorted(points, key=lambda point: ((point[1] - low) / (high - low), point[2]))
    heights = [(y - low) / (high - low) for _, y, _, _ in ordered]
    figure = axes.get_figure(root=True)
    assert figure is not None
    gap = 0.105 / (figure.get_figheight() * axes.get_position().height)
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    excess = max(0.0, heights[-1] - 1.0) if heights else 0.0
    if excess:
        # Too high at the top: push down from there, as far as the order allows.
        heights[-1] = 1.0
        for k in range(len(heights) - 2, -1, -1):
            heights[k] = min(heights[k], heights[k + 1] - gap)
    for (x, y, label, colour), height in zip(ordered, heights, strict=True):
        axes.annotate(
            _short(label),
            (x, y),
            xytext=(1.06, height),
            textcoords="axes fraction",
            fontsize=LABEL_POINTS,
            color=colour,
            ha="left",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": "#BBBBBB",
                "linewidth": 0.4,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 2,
            },
        ).set_in_layout(False)  # its room was set aside already


def role_colour(row: ResultRow) -> str:
    """The colour of a row's role: method, control or reference."""
    return ROLE_COLOURS.get(row.about.role, "#555555")
