"""Accuracy against what a training step costs, and against what an answer costs."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Iterator
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmark.reporting.figures.drawing import (
    Drawing,
    Found,
    Point,
    draw_points,
    each_panel,
    points_of,
    scatter_axes,
    score_axis,
)
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow

CAPTION = (
    "Means over seeds. Milliseconds of a training step: the baseline's own and its share of the teacher's"
    " pass; and {answer}, where students differ in it. The line joins what nothing cheaper beats. Times are"
    " of this machine. Marks: a diamond for a method, a square for a control, a circle for a reference."
)
SAME = 0.05
"""Answers whose costs lie within this share of one another are called equal."""


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel with measured steps."""

    def show(panel: Panel) -> Found | None:
        training = points_of(results, panel, training_cost)
        words, cost = answer_cost(panel)
        figure = partial(cost_figure, panel, training, points_of(results, panel, cost), words)
        return (CAPTION.format(answer=words), figure) if len(training) > 1 else None

    return each_panel(results, "costs", "score and cost", show)


def training_cost(row: ResultRow) -> float | None:
    """Milliseconds of a step: the baseline's own and its share of the teacher's."""
    own = row.value("step_ms")
    return None if own is None else own + (row.value("teacher_share_ms") or 0.0)


def answer_cost(panel: Panel) -> tuple[str, Callable[[ResultRow], float | None]]:
    """What an answer costs, in words and per row: latency where measured, else multiply-accumulates."""
    if all(panel.latency_of(row) is None for row in panel.rows):
        return "multiply-accumulates of an answer", lambda row: row.value("macs")
    return "ms for the answer to one sample", panel.latency_of


def front(found: list[Point], higher: bool = True) -> list[Point]:
    """Those that no cheaper (or equally cheap) one beats, by cost; a mean of survivors beats nothing."""
    best, kept = None, []
    sound = [point for point in found if not point.of_survivors]
    for point in sorted(sound, key=lambda point: (point.x, -point.y if higher else point.y)):
        if best is None or (point.y > best if higher else point.y < best):
            kept.append(point)
            best = point.y
    return kept


def cost_figure(panel: Panel, training: list[Point], answers: list[Point], words: str) -> Figure:
    """Training, and below it answers, unless these cost the same for all."""
    note = equal_answers(answers, words)
    shown = [(training, "ms per training step")] + ([(answers, words)] if answers and not note else [])
    figure, all_axes = scatter_axes(len(shown), [point.label for point in training], panel)
    for (found, name), axes in zip(shown, all_axes, strict=True):
        draw_front(axes, found, name, panel)
    all_axes[0].set_title(f"{panel.title}\n{note}" if note else panel.title, loc="left")
    return figure


def equal_answers(answers: list[Point], words: str) -> str:
    """A line instead of a cloud where the students' answers cost the same, but for three at most."""
    if len(answers) < 2:
        return ""
    middle = statistics.median(point.x for point in answers)
    others = [point for point in answers if abs(point.x - middle) > SAME * middle]
    if len(others) > min(3, len(answers) // 4):
        return ""
    named = ", ".join(f"{point.label} {_count(point.x)}" for point in others)
    return textwrap.fill(f"{words}: {_count(middle)} for all" + (f" but {named}" if named else ""), 48)


def _count(cost: float) -> str:
    return f"{cost / 1e6:.3g} million" if cost >= 1e6 else f"{cost:.3g}"


def draw_front(axes: Axes, found: list[Point], name: str, panel: Panel) -> None:
    """The points, their names on the margin, and the front as a step line; costs logarithmic if far apart."""
    best = front(found, panel.higher_is_better)
    axes.step([p.x for p in best], [p.y for p in best], where="post", color="#999999", linewidth=0.8)
    if 0 < 5 * min(p.x for p in found) < max(p.x for p in found):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    draw_points(axes, found)
    axes.set_xlabel(f"{name}, logarithmic" if axes.get_xscale() == "log" else name)
    axes.set_ylabel(score_axis(panel))
