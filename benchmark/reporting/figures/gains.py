"""Gain over scratch against the gap between scratch and teacher: how much of what could be had is had."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.figures.drawing import LINE, Drawing, panel_axes, wrapped
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, anchor_of
from benchmark.reporting.statistics.inference import Difference

ONE = (
    "Difference to the anchor with its 95 % interval (from three seeds on; of methods: for all of them at"
    " once); above, the share of the gap to the teacher. Solid: the teacher's lead. Controls are hatched,"
    " references framed."
)
MANY = (
    "Each point is a baseline on one dataset, pair and condition: its gain over the anchor"
    " against the teacher's lead over the anchor. On the diagonal a student equals its teacher."
)
FILLS = {"method": {}, "control": {"hatch": "////"}, "reference": {"edgecolor": "#333333", "linewidth": 0.8}}


class Gain(NamedTuple):
    """A row's gain over its anchor, and the teacher's."""

    row: ResultRow
    label: str
    gain: Difference
    gap: float


def drawings(results: Results) -> Iterator[Drawing]:
    """One for each task, or why not; with a single panel, its baselines in order of their gain."""
    for task, panels in results.panels.items():
        found = [(panel, own) for panel in panels if (own := gains(panel))]
        title = f"{results.task_title(task)}: gain over the anchor and gap to the teacher"
        if found:
            caption, draw = (ONE, sorted_figure) if len(found) == 1 else (MANY, scatter_figure)
            yield Drawing(task, "gains", f"{task}_gains", title, caption, partial(draw, results, found))
        elif reasons := sorted(set(filter(None, map(_obstacle, panels)))):
            reason = f"not drawn: {'; '.join(reasons)}"
            yield Drawing(task, "gains", f"{task}_gains", title, "", None, reason)


def _obstacle(panel: Panel) -> str:
    """Why a panel with differences has no place in the figure; empty where it has one, or none of these."""
    teachers = len(panel.teachers())
    if all(math.isnan(gain.mean) for row in panel.rows for gain in row.differences.values()):
        return ""
    if teachers != 1:
        return "there are several teachers, and so no one lead" if teachers else "no teacher was tested"
    return "" if panel.higher_is_better else "lower values are the better ones"


def gains(panel: Panel) -> list[Gain]:
    """Empty where the panel has no anchor, or no place in the figure."""
    name, found = panel.primary_metric, []
    teachers = panel.teachers()
    if _obstacle(panel):
        return []
    for row in panel.rows:
        anchor, gain = anchor_of(row, panel.rows), row.differences.get(name)
        if anchor is not None and gain is not None and not math.isnan(gain.mean):
            gap = teachers[0] - anchor.values[panel.key].mean
            found.append(Gain(row, panel.label(row), gain, gap))
    return found


def sorted_figure(results: Results, found: list[tuple[Panel, list[Gain]]]) -> Figure:
    """Bars from 0 in order of the gain; the second axis counts in shares of the gap."""
    ((panel, own),) = found
    ordered = sorted(own, key=lambda each: (each.gain.mean, each.label))
    gap = ordered[0].gap
    figure, (axes,) = panel_axes([0.9 + 0.15 * len(ordered) + LINE * panel.title.count("\n")], 0)
    for height, each in enumerate(ordered):
        colour = results.colour(each.row)
        axes.barh(
            height,
            each.gain.mean,
            height=0.62,
            **{"color": colour, "alpha": 0.6} | FILLS[each.row.about.role],
        )
        if not math.isnan(each.gain.se):
            axes.plot(each.gain.interval, [height, height], color=colour, linewidth=1.2)
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.axvline(gap, color="#333333", linewidth=0.8)
    axes.set_yticks(range(len(ordered)), [wrapped(each.label, 30) for each in ordered], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    axes.set_xlabel(f"Gain over the anchor ({_unit(panel)})")
    if gap:
        share = axes.secondary_xaxis(
            "top", functions=(lambda x: 100 * np.asarray(x) / gap, lambda x: np.asarray(x) * gap / 100)
        )
        share.set_xlabel("share of the teacher's lead (%)", fontsize=7)
        share.tick_params(labelsize=6.5)
    axes.set_title(panel.title, loc="left")
    return figure


def scatter_figure(results: Results, found: list[tuple[Panel, list[Gain]]]) -> Figure:
    """One axes for all panels; a baseline has one colour and mark in all of them."""
    rows = {each.row.title: each.row for _, own in found for each in own}
    colours = {title: results.colour(row) for title, row in rows.items()}
    alike = list(colours.values())
    marks = {
        title: "osD^vP*X"[alike[:place].count(colours[title]) % 8] for place, title in enumerate(colours)
    }
    figure, (axes,) = panel_axes([2.8], 1 + len(rows) // 3)
    for _, own in found:
        for each in own:
            look: dict[str, Any] = {"color": colours[each.row.title]}
            if not math.isnan(each.gain.se):
                axes.plot([each.gap] * 2, each.gain.interval, **look, lw=0.5, alpha=0.5)
            axes.plot(each.gap, each.gain.mean, marker=marks[each.row.title], **look, ms=3.5, lw=0)
    axes.axhline(0, color="#333333", linewidth=0.8)
    low, high = axes.get_xlim()
    ends = [min(low, 0.0), high]
    axes.plot(ends, ends, color="#333333", linewidth=0.8, linestyle="--")
    axes.set_xlim(*ends)
    unit = _unit(found[0][0])
    axes.set_xlabel(f"The teacher's lead over the anchor ({unit})")
    axes.set_ylabel(f"Gain over the anchor ({unit})")
    handles = [
        Line2D([], [], color=colours[title], marker=marks[title], ms=3.5, lw=0, label=wrapped(title))
        for title in rows
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=0.8, handletextpad=0.2)
    return figure


def _unit(panel: Panel) -> str:
    return "points" if panel.metric.unit == "%" else panel.metric.unit
