"""Networks and recipes that were tried against each other: means over folds and seeds, as pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.errors import UserError
from benchmark.records import Record
from benchmark.reporting.frame import tidy_frame
from benchmark.reporting.measured import pipe_table

MISSING = "–"


@dataclass(frozen=True)
class Grid:
    """The finished runs of a grid, a row each as in `tidy_frame`; scores are averaged in per cent."""

    runs: pd.DataFrame

    @classmethod
    def of(cls, records: Iterable[Record]) -> Grid:
        """Of a grid's records."""
        frame = tidy_frame(records)
        return cls(frame[frame["status"] == "finished"])

    def where(self, **columns: Any) -> Grid:
        """The runs with these values. Raises UserError where there is none."""
        runs = self.runs
        for column, value in columns.items():
            runs = runs[runs[column] == value]
        if runs.empty:
            raise UserError(f"no run of the grid has {columns}")
        return Grid(runs)

    def table(self, rows: str, scores: Mapping[str, str], bold: Iterable[tuple[object, str]] = ()) -> str:
        """A pipe table with a row per value of one column, and columns for the values of others.

        Args:
            rows: a column of the frame.
            scores: a column of the frame -> the result whose mean stands under its values.
            bold: row and column of the cells that are emphasised.
        """
        cells: dict[Any, dict[str, str]] = {}
        names: list[str] = []
        for column, score in scores.items():
            names += sorted(set(self.runs[column]), key=lambda name: (len(name), name))
            for (row, name), group in self.runs.groupby([rows, column], observed=True):
                cells.setdefault(row, {})[name] = f"{100 * group[score].mean():.1f}"
        for row, name in bold:
            cells[row][name] = f"**{cells[row][name]}**"
        lines = [[str(row), *(cells[row].get(name, MISSING) for name in names)] for row in sorted(cells)]
        return pipe_table(lines, (rows, *(f"`{name}`" for name in names)))

    def ahead(self, score: str, one: Mapping[str, Any], other: Mapping[str, Any], over: str = "fold") -> str:
        """How many points runs are above others, with its standard error over folds, or seeds: `1.2 ± 0.7`."""
        means = (self.where(**side).runs.groupby(over, observed=True)[score].mean() for side in (one, other))
        ahead = 100 * (next(means) - next(means))
        return f"{ahead.mean():.1f} ± {ahead.sem():.1f}"
