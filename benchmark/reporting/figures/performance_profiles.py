"""Performance profiles over all tasks: the share of runs that score above each threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.across_tasks import Across, across_tasks
from benchmark.reporting.figures.drawing import LINE, Drawing, panel_axes, wrapped
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.statistics.aggregates import performance_profile
from benchmark.reporting.style import COLOURS, TEACHER_COLOUR
from benchmark.reporting.tables.across_table import caption_of_intervals, heading, left_out

KIND = "performance_profiles"
TITLE = "Performance profiles over all tasks"
CAPTION = (
    "The share of runs with a normalised score (0: chance, 1: the block's teacher) above each threshold,"
    " every dataset with the same weight: the higher the line, the better. Runs that diverged or failed count"
    " as chance. Dashed: the teacher."
)
LINES = 7
"""As many baselines, and the anchor, fit one axes."""
LOWEST, STEPS = -0.25, 120
"""Where the axis starts at the least, and how many thresholds it has."""


def drawings(results: Results) -> Iterator[Drawing]:
    """One for the whole folder, where baselines have blocks in common; default and tuned rows apart."""
    found = across_tasks(results)
    if found:
        words = " ".join([CAPTION, *caption_of_intervals(found), *left_out(found)])
        yield Drawing("", KIND, KIND, TITLE, words, partial(profiles_figure, results, found))


def profiles_figure(results: Results, found: list[Across]) -> Figure:
    """As many axes as it takes to tell the lines apart; the anchor is in each of them."""
    parts = [(across, rows) for across in found for rows in _parts(across.rows)]
    lines = max(len(rows) for _, rows in parts)
    figure, all_axes = panel_axes([2.4 + LINE * math.ceil(lines / 2)] * len(parts), 0)
    for (across, rows), axes in zip(parts, all_axes, strict=True):
        _draw(results, across, rows, axes)
    return figure


def _parts(rows: list[ResultRow]) -> list[list[ResultRow]]:
    anchors = [row for row in rows if row.is_anchor]
    others = [row for row in rows if not row.is_anchor]
    return [anchors + others[k : k + LINES] for k in range(0, len(others), LINES)]


def _draw(results: Results, across: Across, rows: list[ResultRow], axes: Axes) -> None:
    # Runs that count as chance would leave the axis empty from there on: a line that starts below 1 tells.
    scores = [score for row in across.rows for own in across.runs(row) for score in own if score] or [
        0.0,
        1.0,
    ]
    margin = 0.03 * (max(scores) - min(scores)) or 0.03
    levels = np.linspace(max(LOWEST, min(scores) - margin), max(scores) + margin, STEPS)
    handles = []
    for row in rows:
        runs, look = across.runs(row), results.looks[row.baseline]
        profile = performance_profile(runs, levels, across.weights)
        if across.has_interval(row):
            band = {"color": COLOURS[look.colour], "alpha": 0.14, "linewidth": 0}
            axes.fill_between(levels, profile.low, profile.high, step="post", **band)
        axes.step(levels, profile.value, where="post", linewidth=1.1, **look.line)
        handles.append(Line2D([], [], linewidth=1.1, label=wrapped(row.title), **look.line))
    if levels[0] < 1.0 < levels[-1]:
        axes.axvline(1.0, color=TEACHER_COLOUR, linestyle="--", linewidth=0.8)
    axes.set_xlim(levels[0], levels[-1])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("normalised score τ (0: chance, 1: teacher)")
    axes.set_ylabel("share of runs above τ")
    axes.set_title(heading(across).replace("; ", "\n"), loc="left")
    place = {"loc": "upper left", "bbox_to_anchor": (0, -0.24), "borderaxespad": 0}
    axes.legend(handles=handles, **place, ncols=2, fontsize=6.5, columnspacing=1.2)
