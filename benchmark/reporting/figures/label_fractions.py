"""Label-fraction curves: what each baseline makes of few labels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.reporting.figures.drawing import LINE, Drawing, pages, panel_axes, score_axis
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, grouped
from benchmark.reporting.style import TEACHER_COLOUR, Look, looks
from benchmark.reporting.tables.captions import of_survivors

FRACTION = "label_fraction"
CAPTION = (
    "Mean over seeds by the share of training samples whose label may be used (logarithmic), with 95 % t"
    " intervals from three seeds on. Dashed: the teacher."
)


class Curves(NamedTuple):
    """Baselines over label fractions; the panels of these rows differ in nothing else."""

    panel: Panel
    lines: dict[str, list[ResultRow]]
    """title -> rows, from few labels to many"""


def drawings(results: Results) -> Iterator[Drawing]:
    """For each task where a dataset and pair was run with several label fractions."""
    for task, panels in results.panels.items():
        for name, some in pages(curves(panels), f"{task}_label_fractions"):
            title = f"{results.task_title(task)}: few labels"
            draw = partial(label_figure, results, some)
            rows = (row for each in some for own in each.lines.values() for row in own)
            yield Drawing(task, "label_fractions", name, title, CAPTION + of_survivors(rows), draw)


def curves(panels: list[Panel]) -> list[Curves]:
    """One for each dataset, pair and remaining condition with two label fractions or more."""
    found = []
    for some in grouped(panels, lambda panel: panel.rows[0].identities[0].any_labels).values():
        rows = {row.id: row for panel in some for row in panel.rows if row.finished}
        lines = grouped(rows.values(), _title)
        lines = {title: sorted(own, key=_fraction) for title, own in lines.items()}
        # One method at one fraction, beside a fully labelled companion, is a comparison and no curve.
        if sum(len(set(map(_fraction, own))) > 1 for own in lines.values()) > 1:
            found.append(Curves(some[0], lines))
    return found


def _title(row: ResultRow) -> str:
    own = " ".join(part for part in (*row.own_overrides, row.variant) if part)
    return f"{row.title} ({own})" if own else row.title


def _fraction(row: ResultRow) -> float:
    return float(row.condition[FRACTION])


def label_figure(results: Results, some: list[Curves]) -> Figure:
    """An axes for each; one legend for all."""
    rows = {title: own[0] for each in some for title, own in each.lines.items()}
    styles = looks({title: results.looks[row.baseline] for title, row in rows.items()})
    columns = 2 if len(some) <= 2 else 4
    heights = [2.3 + LINE * each.panel.title_without(FRACTION).count("\n") for each in some]
    figure, all_axes = panel_axes(heights, 1 + len(rows) // columns)
    for each, axes in zip(some, all_axes, strict=True):
        _draw(axes, each, styles)
    handles = [Line2D([], [], label=title, **look.line) for title, look in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2)
    return figure


def _draw(axes: Axes, each: Curves, styles: dict[str, Look]) -> None:
    panel = each.panel
    for value in panel.teachers():
        axes.axhline(value, color=TEACHER_COLOUR, linestyle="--", linewidth=1)
    count = len(each.lines)
    for number, (title, rows) in enumerate(each.lines.items()):
        # Moved a little apart, or the bars of one fraction would hide one another.
        aside = 1.0 + 0.06 * (number - (count - 1) / 2) / max(count - 1, 1) * 2
        places = [_fraction(row) * aside for row in rows]
        means = [row.values[panel.key].mean for row in rows]
        style = styles[title].line
        axes.plot(places, means, marker="o", markersize=2.5, **style)
        for place, row in zip(places, rows, strict=True):
            if interval := row.interval(panel.key):
                axes.plot([place, place], interval, color=style["color"], linewidth=0.8)
    axes.set_xscale("log")
    fractions = sorted({_fraction(row) for rows in each.lines.values() for row in rows})
    axes.set_xticks(fractions, [f"{fraction:g}" for fraction in fractions])
    axes.minorticks_off()
    axes.set_xlabel("Share of labels")
    axes.set_ylabel(score_axis(panel))
    axes.set_title(panel.title_without(FRACTION), loc="left")
