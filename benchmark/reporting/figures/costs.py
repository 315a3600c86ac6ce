"""Accuracy against what a training step costs, and against what an answer costs."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import (
    Drawing,
    axis_name,
    margin_labels,
    panel_axes,
    role_colour,
    room_for_labels,
)
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow

CAPTION = (
    "Means over seeds. Milliseconds of a training step: the baseline's own and its share of the teacher's"
    " pass; and {answer}. The line joins what nothing cheaper beats. Times are of this machine."
)
SAME = 0.05
"""Answers whose costs lie within this share of one another are called equal."""


class Point(NamedTuple):
    """A baseline's place: its label, its cost, its score."""

    label: str
    colour: str
    cost: float
    score: float


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel with measured steps."""
    for task, panels in results.panels.items():
        for number, panel in enumerate(panels, start=1):
            training = points(panel, training_cost)
            if len(training) > 1:
                words, cost = answer_cost(panel)
                yield Drawing(
                    f"{task}_costs_{number}",
                    f"{results.task_title(task)}: score and cost, {panel.heading}",
                    CAPTION.format(answer=words),
                    partial(cost_figure, panel, training, points(panel, cost), words),
                )


def training_cost(row: ResultRow) -> float | None:
    """Milliseconds of a step: the baseline's own and its share of the teacher's."""
    own, share = row.values.get("step_ms"), row.values.get("teacher_share_ms")
    if own is None or not own.n:
        return None
    return own.mean + (share.mean if share is not None and share.n else 0.0)


def answer_cost(panel: Panel) -> tuple[str, Callable[[ResultRow], float | None]]:
    """What an answer costs, in words and per row: latency where measured, else multiply-accumulates."""
    if all(panel.latency_of(row) is None for row in panel.rows):
        return "multiply-accumulates of an answer", lambda row: _mean(row, "macs")
    return "milliseconds for the answer to one sample", panel.latency_of


def _mean(row: ResultRow, name: str) -> float | None:
    estimate = row.values.get(name)
    return estimate.mean if estimate is not None and estimate.n else None


def points(panel: Panel, cost: Callable[[ResultRow], float | None]) -> list[Point]:
    """The rows of a panel that have both a cost and a score."""
    key, found = panel.key, []
    for row in panel.rows:
        score, price = row.values.get(key), cost(row)
        if score is not None and score.n and price is not None:
            found.append(Point(panel.label(row), role_colour(row), price, score.mean))
    return found


def front(found: list[Point], higher: bool = True) -> list[Point]:
    """Those that no cheaper (or equally cheap) one beats, by cost."""
    best, kept = None, []
    for point in sorted(found, key=lambda point: (point.cost, -point.score if higher else point.score)):
        if best is None or (point.score > best if higher else point.score < best):
            kept.append(point)
            best = point.score
    return kept


def cost_figure(panel: Panel, training: list[Point], answers: list[Point], words: str) -> Figure:
    """Training, and below it answers, unless these cost the same for all."""
    note = equal_answers(answers, words)
    shown = [(training, "ms per training step")] + ([(answers, words)] if answers and not note else [])
    height = max(2.2, 0.5 + 0.11 * len(training)) + 0.13 * panel.title.count("\n")
    figure, all_axes = panel_axes([height] * len(shown), 0)
    higher = panel.metric.direction != "min"
    for (found, name), axes in zip(shown, all_axes, strict=True):
        _draw(axes, found, name, higher)
        axes.set_ylabel(f"Test {axis_name(panel)}".replace(", ", ",\n", 1))
    all_axes[0].set_title(f"{panel.title}\n{note}" if note else panel.title, loc="left")
    room_for_labels(figure, [point.label for point in training])
    for (found, _), axes in zip(shown, all_axes, strict=True):
        margin_labels(axes, [(point.cost, point.score, point.label, point.colour) for point in found])
    return figure


def equal_answers(answers: list[Point], words: str) -> str:
    """A line instead of a cloud where the students' answers cost the same, but for three at most."""
    if len(answers) < 2:
        return ""
    middle = statistics.median(point.cost for point in answers)
    others = [point for point in answers if abs(point.cost - middle) > SAME * middle]
    if len(others) > min(3, len(answers) // 4):
        return ""
    named = ", ".join(f"{point.label} {_count(point.cost)}" for point in others)
    return textwrap.fill(f"{words}: {_count(middle)} for all" + (f" but {named}" if named else ""), 48)


def _count(cost: float) -> str:
    return f"{cost / 1e6:.3g} million" if cost >= 1e6 else f"{cost:.3g}"


def _draw(axes: Axes, found: list[Point], name: str, higher: bool) -> None:
    best = front(found, higher)
    axes.step([p.cost for p in best], [p.score for p in best], where="post", color="#999999", linewidth=0.8)
    for point in found:
        axes.plot(point.cost, point.score, marker="o", ms=3, color=point.colour, lw=0)
    if max(p.cost for p in found) > 5 * min(p.cost for p in found):
        axes.set_xscale("log")
    axes.set_xlabel(name)
    axes.margins(x=0.04, y=0.06)
