"""What every kind of figure is made of: a drawing with its caption, axes for its panels, common words."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import TextPath

from benchmark.reporting.output import file_name, write
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import COLUMN, MARKS

DPI = 200
PANELS_PER_FILE = 8
LINE = 0.13  # height of a line of text, inches


@dataclass(frozen=True)
class Drawing:
    """One figure: what it is of, its heading and caption on the page, and how to draw it."""

    task: str
    """empty for a figure over all tasks"""
    kind: str
    """`comparison`, `costs`, ...: the module that it comes from"""
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
        # Laid out once: with a layout engine each format would lay out, and draw twice.
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            stream = io.BytesIO()
            figure.savefig(stream, format=ending, metadata=metadata)
            written.append(write(folder / f"{file_name(self.name)}.{ending}", stream.getvalue()))
        return written


Found = tuple[str, Callable[[], Figure]]
"""The caption and the way to draw what a panel has to show."""


def each_panel(
    results: Results, kind: str, title: str, show: Callable[[Panel], Found | None], stem: str = ""
) -> Iterator[Drawing]:
    """A drawing for each panel that has something to show; its number is the panel's within its task."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            found = show(panel)
            if found is not None:
                words = f"{results.task_title(task)}: {title}, {panel.heading}"
                yield Drawing(task, kind, f"{task}_{stem or kind}_{number}", words, *found)


Paged = TypeVar("Paged")


def pages(panels: list[Paged], stem: str, size: int = 0) -> Iterator[tuple[str, list[Paged]]]:
    """`(stem, panels)`, `(stem_2, panels)`, ...: as many panels as fit a file."""
    size = size or PANELS_PER_FILE
    for start in range(0, len(panels), size):
        name = f"{stem}_{start // size + 1}" if start else stem
        yield name, panels[start : start + size]


def file_stem(label: str) -> str:
    """A label as a part of a file's name."""
    return "".join(c if c.isalnum() else "_" for c in label.lower()).strip("_")


def panel_axes(heights: list[float], legend_lines: int) -> tuple[Figure, list[Axes]]:
    """A figure with an axes for each height, in one column or two; `heights` in inches."""
    columns = 1 if len(heights) <= 2 else 2
    rows = math.ceil(len(heights) / columns)
    tallest = [max(heights[row * columns : (row + 1) * columns]) for row in range(rows)]
    figure = Figure(
        figsize=(COLUMN * columns, sum(tallest) + 0.2 + 0.16 * legend_lines), dpi=DPI, layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns, height_ratios=tallest)
    return figure, [figure.add_subplot(grid[k // columns, k % columns]) for k in range(len(heights))]


def square_axes(
    title: str, count: int, size: float, columns: int, bar: float = 0.0, foot: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes without ticks, of `size` inches with their margins, `columns` in a row.

    The places are fixed, with `bar` inches free on the right of each row and `foot` at the bottom, for colour
    bars: to find places for so many axes would take longer than to draw them.
    """
    rows = math.ceil(count / columns)
    head = LINE * (title.count("\n") + 1) + 0.06
    above, gap = 0.3, 0.06  # for a title of two lines; between neighbours
    width, height = size * columns + bar + gap, head + size * rows + gap + foot
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    side = size - above
    all_axes = []
    for k in range(count):
        left = (k % columns) * size + (size - side) / 2
        top = head + (k // columns) * size + above
        axes = figure.add_axes((left / width, 1 - (top + side) / height, side / width, side / height))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        all_axes.append(axes)
    figure.text(0.5, 1 - 0.03 / height, title, fontsize=8, ha="center", va="top")
    return figure, all_axes


def wrapped(label: str, width: int = 24) -> str:
    """A long label on several lines, broken before what tells it from others of its title."""
    parts = label.replace(" (", "\n(", 1).split("\n") if len(label) > width else [label]
    return "\n".join(textwrap.fill(part, width) for part in parts)


def legend_of(all_axes: Iterable[Axes]) -> dict[str, Any]:
    """Label -> handle of whatever any of the axes shows, each once."""
    found: dict[str, Any] = {}
    for axes in all_axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found


def axis_name(panel: Panel) -> str:
    """`top-1 accuracy (%), higher is better`."""
    name = panel.metric.title or panel.primary_metric
    name = name if name[:2].isupper() else name[:1].lower() + name[1:]
    unit = f" ({panel.metric.unit})" if panel.metric.unit else ""
    return f"{name}{unit}, {'higher' if panel.higher_is_better else 'lower'} is better"


def score_axis(panel: Panel) -> str:
    """The same for the height of a plot: on two lines."""
    return f"Test {axis_name(panel)}".replace(", ", ",\n", 1)


MARGIN_CHARACTERS = 27
LABEL_POINTS = 6
FAINT = 0.45
LABEL_HEIGHT = 0.11
"""Inches of height that each label on the margin needs."""


def scatter_axes(count: int, labels: Iterable[str], panel: Panel) -> tuple[Figure, list[Axes]]:
    """Axes for `count` clouds of points of one panel, with room on the right for the points' labels."""
    labels = list(labels)
    height = max(2.2, 0.5 + LABEL_HEIGHT * len(labels)) + LINE * panel.title.count("\n")
    figure, all_axes = panel_axes([height] * count, 0)
    widths = [TextPath((0, 0), _short(label), size=LABEL_POINTS).get_extents().width for label in labels]
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1 - (0.06 + max(widths, default=0.0) / 72 / figure.get_figwidth()), 1))
    return figure, all_axes


def _short(label: str) -> str:
    return label if len(label) <= MARGIN_CHARACTERS else f"{label[: MARGIN_CHARACTERS - 1].rstrip()}…"


@dataclass(frozen=True)
class Point:
    """A row's place in a cloud."""

    label: str
    """its name on the margin; empty where there is no room for it"""
    colour: str
    mark: str
    x: float
    y: float
    spread: float = math.nan
    """as much above and below, where it is drawn"""
    hollow: bool = False
    faint: bool = False
    of_survivors: bool = False
    """whether runs diverged or failed: its mean is that of the others"""


def points_of(results: Results, panel: Panel, cost: Callable[[ResultRow], float | None]) -> list[Point]:
    """The rows of a panel that have both a score and what it is drawn against."""
    found = []
    for row in panel.rows:
        score, price = row.value(panel.key), cost(row)
        if score is not None and price is not None:
            look = (results.colour(row), MARKS[row.about.role])
            counted = f", {len(row.by_seed(panel.key))} of {len(row.records)} runs" if row.lost else ""
            found.append(Point(panel.label(row) + counted, *look, price, score, of_survivors=bool(row.lost)))
    return found


def draw_points(axes: Axes, points: list[Point]) -> None:
    """Marks, and their names on the right margin, each with a thin line, so that none overlap.

    A point that stands alone on the left has its name beside it: a line across the axes would tell less.
    """
    for point in points:
        look: dict[str, Any] = {"color": point.colour, "alpha": FAINT if point.faint else 1.0}
        if not math.isnan(point.spread):
            ends = [point.y - point.spread, point.y + point.spread]
            axes.plot([point.x, point.x], ends, linewidth=0.7, **look)
        face = "white" if point.hollow else point.colour
        axes.plot(point.x, point.y, marker=point.mark, ms=3.2, markerfacecolor=face, lw=0, **look)
    axes.margins(x=0.04, y=0.06)
    low, high = axes.get_ylim()
    alone = [point for point in points if point.label and _stands_alone(axes, point, points)]
    for point in alone:
        axes.annotate(
            _short(point.label),
            (point.x, point.y),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=LABEL_POINTS,
            color=point.colour,
            alpha=FAINT if point.faint else 1.0,
        )
    named = [point for point in points if point.label and point not in alone]
    ordered = sorted(named, key=lambda point: ((point.y - low) / (high - low), point.label))
    gap = 1.2 * LABEL_HEIGHT / max(1.7, LABEL_HEIGHT * len(named))  # of the height that `scatter_axes` gives
    gap = min(gap, 1 / max(1, len(named) - 1))  # all of them between its ends
    places = _spread([(point.y - low) / (high - low) for point in ordered], gap)
    for point, place in zip(ordered, places, strict=True):
        axes.annotate(
            _short(point.label),
            (point.x, point.y),
            xytext=(1.06, place),
            textcoords="axes fraction",
            fontsize=LABEL_POINTS,
            color=point.colour,
            alpha=FAINT if point.faint else 1.0,
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


def _stands_alone(axes: Axes, point: Point, points: list[Point]) -> bool:
    """Whether the place for a name on the right of a point in the left half is free."""
    to_axes = axes.transData + axes.transAxes.inverted()
    x, y = to_axes.transform((point.x, point.y))
    others = [to_axes.transform((other.x, other.y)) for other in points if other is not point]
    return x < 0.4 and not any(-0.05 < u - x < 0.45 and abs(v - y) < 0.15 for u, v in others)


def _spread(places: list[float], gap: float) -> list[float]:
    """Ascending places in [0, 1], moved as little as it takes to be `gap` apart."""
    places = list(places)
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    if places and places[-1] > 1:
        # Too high at the top: push down from there, as far as the order allows.
        places[-1] = 1.0
        for k in range(len(places) - 2, -1, -1):
            places[k] = min(places[k], places[k + 1] - gap)
    return places
