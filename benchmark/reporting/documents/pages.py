"""The pages whose numbers come from records, each made of a template.

A page `docs/NAME.md` of that kind is made of its template `docs/NAME.md.j2`, in which `experiment("NAME")` is
the archive `results/reference/NAME.tar.xz`, `sheet("NAME")` the lines of `results/reference/NAME.csv` and
`printed("NAME")` those that a command printed into `results/reference/NAME.txt`,
`measured("NAME")` what the speed command left in `results/reference/speed/NAME.json`, `leaderboard()` what
`results/leaderboard.parquet` holds, and `papers` the lists of papers' tables and figures in
`results/reported/`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

from benchmark.errors import UserError, unknown
from benchmark.program import ROOT
from benchmark.records import LAST
from benchmark.reporting import archive, figures
from benchmark.reporting.differences import differences
from benchmark.reporting.documents.grid import Grid
from benchmark.reporting.documents.measured import Measured, pipe_table
from benchmark.reporting.leaderboard.page import read_leaderboard
from benchmark.reporting.papers import ALL, load_papers
from benchmark.reporting.results import Results
from benchmark.reporting.rows import PairBlock, ResultRow
from benchmark.reporting.tables.task_tables import METHOD, Column, difference_columns, task_tables
from benchmark.reporting.trials import trial_frame

DOCS = ROOT / "docs"
ENDING = ".j2"


@dataclass(frozen=True)
class Printed:
    """Rows and columns as a page shows them; numbers come as the report prints them."""

    name: str
    blocks: list[PairBlock]
    columns: list[Column]

    def table(self, *columns: str, by: str = "", **condition: Any) -> str:
        """The rows of a condition as a pipe table of the columns named: `table("top-1", label_fraction=0.1)`.

        Args:
            columns: what a column's title begins with (the first such); the method's name goes first.
            by: a column that students are sorted by, the largest number first, who has none last.
            condition: of the rows shown; the ends of the scale are where theirs is no other.
        """
        shown = [METHOD, *map(self._column, columns)]
        rows = [row for row in self.rows(condition) if row.kind != "untrained"]
        if by:
            value = self._column(by).value
            assert value is not None  # words have no order
            numbers = {row.id: value(row) for row in rows}
            rows.sort(key=lambda row: (row.is_student, (n := numbers[row.id]) is None, -(n or 0.0)))
        cells = [[column.cell(row) for column in shown] for row in rows]
        align = ["right" if column.numeric else "left" for column in shown]
        return tabulate(
            cells, [each.title for each in shown], tablefmt="pipe", colalign=align, disable_numparse=True
        )

    def cell(self, baseline: str, column: str, **condition: Any) -> str:
        """One cell of that table; `teacher` is a name of a row, too."""
        return self._column(column).cell(self.row(baseline, condition))

    def row(self, baseline: str, condition: dict[str, Any]) -> ResultRow:
        """The one row of a baseline under a condition."""
        rows = [row for row in self.rows(condition) if baseline in (row.baseline, row.kind)]
        if len(rows) != 1:
            raise UserError(f"{self.name}: {len(rows)} rows of {baseline} under {condition}: one is needed")
        return rows[0]

    def rows(self, condition: dict[str, Any]) -> list[ResultRow]:
        """All rows under a condition, and the ends of the scale."""
        return [row for block in self.blocks for row in block.rows if _has(block, row, condition)]

    def methods(self, verdict: str, **condition: Any) -> list[str]:
        """The titles of the methods (no reference, no control) under a condition whose verdict is this."""
        column = self._column("verdict")
        rows = (row for row in self.rows(condition) if row.is_student and row.about.role == "method")
        return [row.title for row in rows if column.cell(row) == verdict]

    def _column(self, title: str) -> Column:
        found = [column for column in self.columns if column.title.startswith(title)]
        if not found:
            raise unknown(f"column of {self.name}", title, [column.title for column in self.columns])
        return found[0]


@dataclass
class Experiment:
    """Archived results as templates see them."""

    name: str
    results: Results
    pictures: dict[str, figures.Drawing] = field(default_factory=dict)
    """file name -> what it shows; grows as templates ask for figures"""

    @cached_property
    def _printed(self) -> Printed:
        (table,) = task_tables(self.results)
        return Printed(self.name, table.blocks, table.columns)

    @property
    def table(self) -> Callable[..., str]:
        """See Printed.table; differences are those to the anchor."""
        return self._printed.table

    @property
    def cell(self) -> Callable[..., str]:
        """See Printed.cell; differences are those to the anchor."""
        return self._printed.cell

    def against(self, other: str, *names: str, **condition: Any) -> Printed:
        """Rows of one comparison minus one of them, tested as one family; what trained longer is left out.

        Args:
            other: the baseline of that row, which has no overrides of its own.
            names: whose rows are shown; those of all methods by default.
            condition: of all of them, in one block.
        """
        reference = self._printed.row(other, condition | {"overrides": ""})
        rows = [
            row
            for row in self._printed.rows(condition)
            if row.is_student and row is not reference and row.comparison == reference.comparison
            if not names or row.baseline in names
        ]
        (block,) = (each for each in self._printed.blocks if reference in each.rows)
        found = {metric: differences(reference, rows, f"{LAST}/{metric}") for metric in block.primary_metrics}
        shown = [
            replace(row, differences={metric: known[row.id] for metric, known in found.items()})
            for row in rows
        ]
        block = replace(block, rows=(replace(reference, differences={}), *shown))
        return Printed(self.name, [block], difference_columns([block], block.metrics, reference.title))

    @property
    def commands(self) -> str:
        """The commands that made it, a line each."""
        return "\n".join(archive.commands([*self.results.records, *self.results.trials]))

    @property
    def made(self) -> str:
        """`40 runs, 1.2 hours on a CPU with 1 thread, torch 2.14.1, commit 0123456`."""
        records = [*self.results.records, *self.results.trials]
        first = records[0].provenance
        commits = dict.fromkeys(str(record.provenance.commit)[:7] for record in records)
        hours = sum(record.measurements.total_s or 0.0 for record in records) / 3600
        trials = f" and {len(self.results.trials)} trials" if self.results.trials else ""
        threads = f"{first.threads} thread{'s' * (first.threads != 1)}"
        return (
            f"{len(self.results.records)} runs{trials}, {hours:.1f} hours of training on one "
            f"{first.device.upper()} with {threads}, torch {first.versions['torch']}, "
            f"commit{'s' * (len(commits) > 1)} {', '.join(commits)}"
        )

    @cached_property
    def grid(self) -> Grid:
        """Its runs as choices that were tried against each other."""
        return Grid.of(self.results.records)

    def figure(self, kind: str, alt: str) -> str:
        """The first figure of a kind as an image of the page."""
        drawing = next(each for each in figures.drawings_of(self.results, kind) if each.draw)
        name = f"{self.name}_{kind}"
        self.pictures[name] = replace(drawing, name=name)
        return f"![{alt}](images/{name}.png)"

    @property
    def chosen_on(self) -> str:
        """How many validation samples the settings of tuned runs were chosen on."""
        counts = {run.selection.num_validation for run in self.results.records if run.selection is not None}
        return " or ".join(map(str, sorted(counts)))

    @property
    def choices(self) -> str:
        """What the search of each baseline chose, as a pipe table of the settings that left their defaults.

        Scores are top-1 (or what else decides) on validation, in per cent.
        """
        trials = trial_frame(self.results.trials, self.results.records).to_dict("records")
        runs = sorted(self.results.records, key=lambda run: run.about.order)
        titles = {run.run.baseline: run.about.baseline_title for run in runs}
        lines = []
        for name, title in titles.items():
            own = [trial for trial in trials if trial["baseline"] == name]
            default = next(trial for trial in own if trial["trial"] == 0)
            chosen = next(trial for trial in own if trial["chosen"])
            before, after = (json.loads(trial["hyperparameters"]) for trial in (default, chosen))
            moved = [f"{key}={value}" for key, value in after.items() if before.get(key) != value]
            stopped = f" (epoch {default['epochs']})" if default["status"] == "stopped" else ""
            scores = f"{100 * default['score']:.1f}{stopped}", f"{100 * chosen['score']:.1f}"
            lines.append((title, " ".join(moved) or "–", *scores))
        return pipe_table(lines, ("method", "settings that moved", "its default", "chosen"), words=2)

    @property
    def tuning_share(self) -> str:
        """The seconds of all trials, over those of training each of them to its end."""
        frame = trial_frame(self.results.trials, self.results.records)
        whole = frame["seconds"] * frame["epochs"].max() / frame["epochs"]
        return f"{frame['seconds'].sum() / whole.sum():.2f}"


def _has(block: PairBlock, row: ResultRow, condition: dict[str, Any]) -> bool:
    known = {"pair": block.pair, "dataset": block.dataset} | row.condition
    return all(known[name] == value for name, value in condition.items() if row.is_student or name in known)


@dataclass
class Documents:
    """All pages and pictures that are made of records."""

    pages: dict[Path, str]
    pictures: dict[str, figures.Drawing]

    @classmethod
    def made(cls, opened: Callable[[str], Results]) -> Documents:
        """Of the committed archives, each as `opened` gives it.

        Raises:
            UserError: for an archive that is missing, and for a row or column that it doesn't have.
        """
        known: dict[str, Experiment] = {}

        def experiment(name: str) -> Experiment:
            if name not in known:
                known[name] = Experiment(name, opened(name))
            return known[name]

        names = sorted(file.name.removesuffix(ENDING) for file in DOCS.glob(f"*{ENDING}"))
        papers = load_papers([ALL])
        pages = {DOCS / name: page(name, experiment=experiment, papers=papers) for name in names}
        pictures = {name: drawing for each in known.values() for name, drawing in each.pictures.items()}
        return cls(pages, pictures)


def page(name: str, **further: Any) -> str:
    """The text of `docs/NAME.md`, of its template and what that may name."""
    environment = Environment(
        loader=FileSystemLoader(DOCS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        "sheet": sheet,
        "printed": printed,
        "measured": lambda name: Measured.read(archive.FOLDER / "speed" / f"{name}.json"),
        "leaderboard": read_leaderboard,
        "pipe_table": pipe_table,
        **further,
    }
    return environment.get_template(f"{name}{ENDING}").render()


def sheet(name: str) -> list[dict[str, str]]:
    """The lines of a CSV file of `results/reference/`."""
    return list(csv.DictReader(printed(name, ".csv")))


def printed(name: str, ending: str = ".txt") -> list[str]:
    """The lines of a text file of `results/reference/`. Raises UserError where it can't be read."""
    file = archive.FOLDER / f"{name}{ending}"
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{file} can't be read ({error}): restore it, as it was committed") from error
