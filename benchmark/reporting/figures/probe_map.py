"""Probe and transfer heat map: what the frozen features of every student are good for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from benchmark.reporting.figures.drawing import LINE, Drawing, Found, each_panel, panel_axes
from benchmark.reporting.panels import Panel
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PROBES, ResultRow
from benchmark.reporting.tables.captions import of_survivors
from benchmark.reporting.tables.probe_tables import probe_title

CAPTION = (
    "Test accuracy (%) of classifiers on frozen features, mean over seeds; the colour is the difference to"
    " {base} (blue: better).{teacher}"
)


def drawings(results: Results) -> Iterator[Drawing]:
    """For each panel whose networks were probed."""

    def show(panel: Panel) -> Found | None:
        table = probe_table(panel)
        base = "the mean of all lines" if _anchor(panel, table) is None else "the anchor's features"
        teacher = " The first line is the teacher." * ("teacher" in table.index)
        shown = (row for row in panel.rows if panel.label(row) in table.index)
        caption = CAPTION.format(base=base, teacher=teacher) + of_survivors(shown)
        return (caption, partial(probe_figure, panel, table)) if len(table) > 2 else None

    return each_panel(results, "probe_map", "frozen features", show)


def probe_table(panel: Panel) -> pd.DataFrame:
    """A line for the teacher, the anchor and each other row, a column for each probe: means in percent."""
    named = {} if panel.teacher_row is None else {"teacher": panel.teacher_row}
    named |= {panel.label(row): row for row in panel.rows}
    table = pd.DataFrame({label: _probes(row) for label, row in named.items()}, dtype=float).T
    return table.dropna(how="all")


def _anchor(panel: Panel, table: pd.DataFrame) -> str | None:
    """The anchor's line, where it was probed."""
    label = None if panel.anchor is None else panel.label(panel.anchor)
    return label if label in table.index else None


def _probes(row: ResultRow) -> dict[str, float | None]:
    return {key: row.value(key) for key in row.values if key.startswith(PROBES)}


def probe_figure(panel: Panel, table: pd.DataFrame) -> Figure:
    """Numbers on colours; a probe's name stands above its column."""
    import seaborn  # a second to import

    anchor = _anchor(panel, table)
    difference = table - (table.mean() if anchor is None else table.loc[anchor])
    limit = float(difference.abs().max().max()) or 1.0
    figure, (axes,) = panel_axes([1.3 + 0.13 * len(table) + LINE * panel.title.count("\n")], 0)
    seaborn.heatmap(
        difference,
        ax=axes,
        annot=table,
        fmt=".0f",
        annot_kws={"fontsize": 5.5},
        cmap="RdBu",
        vmin=-limit,
        vmax=limit,
        cbar=False,
    )
    names = [probe_title(key).replace("\n", ", ") for key in table]
    axes.xaxis.tick_top()
    axes.set_xticks(
        [k + 0.5 for k in range(len(names))],
        names,
        rotation=55,
        ha="left",
        rotation_mode="anchor",
        fontsize=6.5,
    )
    axes.set_yticks([k + 0.5 for k in range(len(table))], list(table.index), fontsize=6.5, rotation=0)
    axes.tick_params(length=0)
    axes.grid(False)
    figure.suptitle(panel.title, fontsize=8)
    return figure
