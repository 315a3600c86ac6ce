"""Networks and recipes that were tried against each other: means over folds and seeds, as pages show them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from benchmark.errors import UserError
from benchmark.records import Record
from benchmark.reporting.documents.measured import pipe_table
from benchmark.reporting.frame import tidy_frame

MISSING, UNCHANGED = "–", "default"


@dataclass(frozen=True)
class Grid:
    """The finished runs of a grid, a row each as in `tidy_frame`; scores are averaged in per cent."""

    runs: list[dict[str, Any]]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Grid:
        """Of a grid's records."""
        frame = tidy_frame(record for record in records if record.status == "finished")
        return cls([{str(name): value for name, value in row.items()} for row in frame.to_dict("records")])

    def where(self, **columns: Any) -> Grid:
        """The runs with these values. Raises UserError where there is none."""
        runs = [run for run in self.runs if all(run[name] == value for name, value in columns.items())]
        if not runs:
            raise UserError(f"no run of the grid has {columns}")
        return Grid(runs)

    def mean(self, score: str) -> float:
        """Over all runs."""
        return 100 * statistics.fmean(run[score] for run in self.runs)

    def ranked(self, column: str, score: str) -> list[Any]:
        """The values of a column, the one with the highest mean first."""
        return sorted(self.values(column), key=lambda value: -self.where(**{column: value}).mean(score))

    def table(self, rows: str, scores: Mapping[str, str], bold: Iterable[tuple[object, str]] = ()) -> str:
        """A pipe table with a row per value of one column, and columns for the values of others.

        Args:
            rows: a column of the frame.
            scores: a column of the frame -> the result whose mean stands under its values.
            bold: row and column of the cells that are emphasised.
        """
        names = [(column, name) for column in scores for name in self.values(column)]
        tried, emphasised, lines = (
            {(run[rows], run[column]) for run in self.runs for column in scores},
            set(bold),
            [],
        )
        for row in self.values(rows):
            cells = []
            for column, name in names:
                mark = "**" if (row, name) in emphasised else ""
                there = (row, name) in tried
                mean = self.where(**{rows: row, column: name}).mean(scores[column]) if there else 0.0
                cells.append(f"{mark}{mean:.1f}{mark}" if there else MISSING)
            lines.append((str(row) or UNCHANGED, *cells))
        return pipe_table(lines, (rows.removesuffix("_title"), *(f"`{name}`" for _, name in names)))

    def ahead(self, score: str, one: Mapping[str, Any], other: Mapping[str, Any], over: str = "fold") -> str:
        """How many points runs are above others: `1.2 ± 0.7`, the standard error over folds, or seeds."""
        higher, lower = self.where(**one), self.where(**other)
        ahead = [
            higher.where(**{over: each}).mean(score) - lower.where(**{over: each}).mean(score)
            for each in self.values(over)
        ]
        return f"{statistics.fmean(ahead):.1f} ± {statistics.stdev(ahead) / len(ahead) ** 0.5:.1f}"

    def correlation(self, score: str, over: str = "seed", of: str = "baseline") -> float:
        """Of the scores of two methods over seeds, the mean over every two; who has one value is left out."""
        rows = [{run[over]: run[score] for run in self.where(**{of: each}).runs} for each in self.values(of)]
        varied = [row for row in rows if len(set(row.values())) > 1]
        return statistics.fmean(
            statistics.correlation([one[each] for each in one], [other[each] for each in one])
            for one, other in combinations(varied, 2)
        )

    def values(self, column: str) -> list[Any]:
        """The values of a column, each once: numbers and numbered names from the least up."""
        found = {run[column] for run in self.runs}
        return sorted(found, key=lambda value: (len(value), value) if isinstance(value, str) else value)
