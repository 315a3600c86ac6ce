"""What every kind of figure is made of: a drawing with its caption, axes for its panels, common words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark.reporting.panels import Panel
from benchmark.reporting.style import COLUMN

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
        figure, written = self.draw(), []
        for ending, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            path = folder / f"{self.name}{ending}"
            figure.savefig(path, dpi=200, metadata=metadata)
            written.append(path)
        return written


def pages(panels: list[Panel], stem: str) -> Iterator[tuple[str, list[Panel]]]:
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
    name = panel.metric.get("title") or panel.block.headlines[0]
    name = name if name[:2].isupper() else name[:1].lower() + name[1:]
    unit = f" ({panel.metric['unit']})" if panel.metric.get("unit") else ""
    better = {"max": ", higher is better", "min": ", lower is better"}.get(panel.metric.get("direction"), "")
    return f"{name}{unit}{better}"
