"""The critical-difference diagram: average ranks over all blocks, and which of them can't be told apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from benchmark.reporting.figures.drawing import COLUMN, Drawing, panel_axes
from benchmark.reporting.formatting import show_p
from benchmark.reporting.ranking import Ranking, rank
from benchmark.reporting.results import Results

KIND = "critical_difference"
TITLE = "Average ranks over all tasks"
NAME_POINTS = 6.5
AXIS = 1.4
"""Inches that the axis of ranks takes at least."""
GAP = 0.15
"""Inches between it and the edge of the figure, beside a name's own."""


def drawings(results: Results) -> Iterator[Drawing]:
    """One for the whole folder; with fewer than five complete blocks, the reason why it is not drawn."""
    panels = [panel for some in results.panels.values() for panel in some]
    found = rank(panels)
    if found.reason:
        yield Drawing("", KIND, KIND, TITLE, "", None, found.reason)
        return
    caption = (
        f"Average ranks over {found.blocks} datasets, 1 is best (ranked is the mean place between the worst"
        " and the best over a dataset's pairs and conditions); bars join those within Nemenyi's critical"
        f" difference of {found.critical_difference:.2f} (5 %)."
    )
    if not math.isnan(found.p):
        caption += f" Friedman's test: chi squared {found.statistic:.1f}, p {show_p(found.p)}."
    if any(panel.block.about.synthetic for panel in panels):
        caption += " Synthetic data is among them."
    if found.left_out:
        names = ", ".join(found.left_out)
        caption += f" Left out, as they have no mean on every dataset: {names}."
    yield Drawing("", KIND, KIND, TITLE, caption, partial(critical_difference_figure, found))


def critical_difference_figure(found: Ranking) -> Figure:
    """Names left and right of the axis of ranks, best on the left, as in Demšar's figures."""
    names, ranks = list(found.ranks), list(found.ranks.values())
    half = (len(names) + 1) // 2
    texts = [f"{name}  {value:.1f}" for name, value in zip(names, ranks, strict=True)]
    widths = [TextPath((0, 0), text, size=NAME_POINTS).get_extents().width / 72 for text in texts]
    groups = cliques(ranks, found.critical_difference)
    top = 0.55 + 0.09 * len(groups)
    figure, (axes,) = panel_axes([0.75 + top + 0.14 * half], 0)
    # Room for the names on both sides of the axis of ranks, which has what a column leaves, or AXIS.
    sides = [max(widths[:half]) + GAP, max(widths[half:]) + GAP]
    across = max(AXIS, COLUMN - sum(sides))
    figure.set_figwidth(across + sum(sides))
    low, high = 1.0, float(len(names))
    span = high - low
    left, right = (span / across * side for side in sides)
    axes.set_xlim(low - left, high + right)
    axes.set_ylim(-0.14 * half - 0.05, 0.75 + top - 0.2)
    axes.set_axis_off()
    line = top - 0.1
    axes.plot([low, high], [line, line], color="#222222", linewidth=0.9)
    step = max(1, len(names) // 10)
    for tick in range(1, len(names) + 1, step):
        axes.plot([tick, tick], [line, line + 0.05], color="#222222", linewidth=0.7)
        axes.text(tick, line + 0.07, str(tick), ha="center", va="bottom", fontsize=6.5)
    above = line + 0.32
    end = min(high, low + found.critical_difference)
    axes.plot([low, end], [above, above], color="#D55E00", linewidth=1.6)
    axes.text(
        (low + end) / 2, above + 0.04, f"CD = {found.critical_difference:.2f}", ha="center", fontsize=6.5
    )
    for k, (name, value) in enumerate(zip(names, ranks, strict=True)):
        left = k < half
        height = -0.14 * (k if left else len(names) - 1 - k)
        edge = low - 0.03 * span if left else high + 0.03 * span
        axes.plot([value, value, edge], [line, height, height], color="#777777", linewidth=0.6)
        text = f"{name}  {value:.1f}" if left else f"{value:.1f}  {name}"
        side = {"ha": "right" if left else "left", "va": "center", "fontsize": NAME_POINTS}
        axes.text(edge + (-0.01 if left else 0.01) * span, height, text, **side)
    for k, (first, last) in enumerate(groups):
        height = line - 0.08 - 0.07 * k
        pad = 0.008 * span
        axes.plot([first - pad, last + pad], [height, height], color="#0072B2", linewidth=2.2)
    return figure


def cliques(ranks: list[float], critical_difference: float) -> list[tuple[float, float]]:
    """(first, last) of the maximal runs of sorted ranks that lie within the critical difference."""
    found: list[tuple[float, float]] = []
    for start, first in enumerate(ranks):
        last = max(value for value in ranks[start:] if value - first <= critical_difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
