"""Label-fraction curves: what each baseline makes of few labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.figures.drawing import INTERVAL_FROM, LINE, Drawing, axis_name, pages, panel_axes
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow
from benchmark.reporting.style import TEACHER_COLOUR, line_style

FRACTION = "label_fraction"
CAPTION = (
    "Mean over seeds by the share of training samples whose label may be used (logarithmic), with 95 % t"
    " intervals from three seeds on. Dashed: the teacher."
)


class Curves(NamedTuple):
    """Baselines over label fractions; `panels` are the panels that differ in nothing else."""

    panel: Panel
    lines: dict[str, list[tuple[float, ResultRow]]]


def drawings(results: Results) -> Iterator[Drawing]:
    """For each task where a dataset and pair was run with several label fractions."""
    for task, panels in results.panels.items():
        found = curves(panels)
        for name, some in pages(found, f"{task}_label_fractions"):
            title = f"{results.task_title(task)}: few labels"
            yield Drawing(name, title, CAPTION, partial(label_figure, some))


def curves(panels: list[Panel]) -> list[Curves]:
    """One for each dataset, pair and remaining condition with two label fractions or more."""
    groups: dict[str, list[ResultRow]] = {}
    first: dict[str, Panel] = {}
    for panel in panels:
        for row in panel.rows:
            if not row.finished:
                continue
            others = {name: value for name, value in row.comparison_condition.items() if name != FRACTION}
            key = json.dumps([panel.block.dataset, panel.block.pair, others], sort_keys=True)
            first.setdefault(key, panel)
            if not any(row is other for other in groups.setdefault(key, [])):
                groups[key].append(row)
    found = []
    for key, rows in groups.items():
        lines: dict[str, list[tuple[float, ResultRow]]] = {}
        for row in rows:
            own = " ".join(part for part in (row.condition["overrides"], row.variant) if part)
            title = f"{row.title} ({own})" if own else row.title
            lines.setdefault(title, []).append((float(row.condition[FRACTION]), row))
        lines = {title: sorted(points, key=lambda point: point[0]) for title, points in lines.items()}
        # One method at one fraction, beside a fully labelled companion, is a comparison and no curve.
        if sum(len({fraction for fraction, _ in points}) > 1 for points in lines.values()) > 1:
            found.append(Curves(first[key], lines))
    return found


def label_figure(some: list[Curves]) -> Figure:
    """An axes for each; one legend for all."""
    titles = list(dict.fromkeys(title for each in some for title in each.lines))
    styles = {title: line_style(k) for k, title in enumerate(titles)}
    columns = 2 if len(some) <= 2 else 4
    heights = [2.3 + LINE * _title(each).count("\n") for each in some]
    figure, all_axes = panel_axes(heights, 1 + len(titles) // columns)
    for each, axes in zip(some, all_axes, strict=True):
        _draw(axes, each, styles)
    handles = [Line2D([], [], label=title, **styles[title]) for title in titles]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2)
    return figure


def _title(each: Curves) -> str:
    """The panel's title without the label fraction."""
    lines = each.panel.title.split("\n")
    return "\n".join(line for line in lines if "label fraction" not in line) or lines[0]


def _draw(axes: Axes, each: Curves, styles: dict[str, dict]) -> None:
    panel = each.panel
    key = panel.key
    fractions = sorted({fraction for points in each.lines.values() for fraction, _ in points})
    for value in panel.teachers():
        axes.axhline(value, color=TEACHER_COLOUR, linestyle="--", linewidth=1)
    count = len(each.lines)
    for number, (title, points) in enumerate(each.lines.items()):
        # Moved a little apart, or the bars of one fraction would hide one another.
        aside = 1.0 + 0.06 * (number - (count - 1) / 2) / max(count - 1, 1) * 2
        places = [fraction * aside for fraction, _ in points]
        estimates = [row.values[key] for _, row in points]
        style = styles[title]
        axes.plot(places, [estimate.mean for estimate in estimates], marker="o", markersize=2.5, **style)
        for place, estimate in zip(places, estimates, strict=True):
            if estimate.n >= INTERVAL_FROM:
                axes.plot([place, place], [estimate.low, estimate.high], color=style["color"], linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(fractions, [f"{fraction:g}" for fraction in fractions])
    axes.minorticks_off()
    axes.set_xlabel("Share of labels")
    axes.set_ylabel(f"Test {axis_name(panel)}".replace(", ", ",\n", 1))
    axes.set_title(_title(each), loc="left")
