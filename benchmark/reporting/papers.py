"""The figures and tables of published papers, made again from records; what is missing, and how to get it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UserError, unknown
from benchmark.program import command
from benchmark.records import Record
from benchmark.reporting.frame import columns
from benchmark.reporting.identity import RECIPES
from benchmark.reporting.output import make_folder
from benchmark.reporting.published import REPORTED, same_value
from benchmark.reporting.results import Results

ALL = "paper"
"""Stands for every list there is."""
USUAL: Mapping[str, Any] = {"tuning": "default", "teacher_seed": 0, "split_seed": 0, "overrides": ""}
"""What the condition of an item's records says where the item itself doesn't."""


@dataclass(frozen=True)
class Item:
    """A table or figure of a paper: what it shows, of which runs, and how they are run."""

    number: str
    """`Table 1`, as the paper counts"""
    title: str
    shows: str
    """`pairs`, `probes`, `corruptions`, or the kind of figure"""
    task: str
    dataset: str
    pairs: tuple[str, ...]
    baselines: tuple[str, ...]
    arguments: str
    """of run_all.py, but for pairs, baselines, seeds and what varies"""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """what the condition of its records must say, beside what is USUAL"""
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """a condition -> the values that the item needs, one command each"""

    @property
    def stem(self) -> str:
        """`table_1`: the stem of its files."""
        return "".join(c if c.isalnum() else "_" for c in self.number.lower())

    @property
    def runs(self) -> int:
        """How many runs it is made of."""
        return len(self.pairs) * len(self.baselines) * len(self.seeds) * len(list(self.settings()))

    def settings(self) -> Iterator[dict[str, Any]]:
        """Every combination of the values that vary."""
        for values in product(*self.vary.values()):
            yield dict(zip(self.vary, values, strict=True))

    def records(self, records: Iterable[Record]) -> list[Record]:
        """The records that belong to it; with few labels a fully labelled companion, too."""
        records = list(records)
        found = [record for setting in self.settings() for record in records if self._takes(record, setting)]
        if any(record.condition.label_fraction < 1 for record in found):
            full = [each for each in records if each.about.companion == "all_labels" and each not in found]
            found += [each for each in full if self._takes(each, {"label_fraction": 1})]
        return found

    def _takes(self, record: Record, setting: Mapping[str, Any]) -> bool:
        run, condition = record.run, columns(record.condition)
        wanted = {**USUAL, **self.conditions, **setting}
        return (
            (run.task, run.dataset) == (self.task, self.dataset)
            and run.pair in self.pairs
            and run.baseline in self.baselines
            and run.seed in self.seeds
            and all(
                condition["overrides"] == _overrides(value, run.baseline)
                if name == "overrides"
                else same_value(condition.get(name), value)
                for name, value in wanted.items()
            )
        )

    def missing(self, records: Iterable[Record], place: str = "") -> list[str]:
        """The commands for the runs that no record is there of, and for failed ones, which are tried again;
        none where the item is complete.

        `place`: arguments that say where their records go.
        """
        records, commands = list(records), []
        for setting in self.settings():
            done = {
                (record.run.pair, record.run.baseline, record.run.seed)
                for record in records
                if self._takes(record, setting) and record.status != "failed"
            }
            left = [run for run in product(self.pairs, self.baselines, self.seeds) if run not in done]
            if left:
                commands.append(" ".join([self._command(left, setting), *([place] if place else [])]))
        return commands

    def _command(self, runs: list[tuple[str, str, int]], setting: Mapping[str, Any]) -> str:
        """One command for the runs; it skips those among them that are recorded."""
        words = [*command(), self.arguments]
        for name, place in (("--pairs", 0), ("--baselines", 1), ("--seeds", 2)):
            words += [name, *dict.fromkeys(shlex.quote(str(run[place])) for run in runs)]
        for name, value in setting.items():
            flag = "--set" if name == "overrides" else f"--{name.replace('_', '-')}"
            words += [flag, *(map(shlex.quote, str(value).split()))] if value != "" else []
        return " ".join(words)


@dataclass(frozen=True)
class Paper:
    """A list of items, from `results/reported/<name>.yaml`."""

    name: str
    title: str
    arxiv: str
    items: tuple[Item, ...]
    note: str = ""


def _overrides(entries: str, baseline: str) -> dict[str, Any]:
    """What `--set` with these entries (`wcord.weight=2 recipe.epochs=9`) changes for a baseline's runs."""
    found = {}
    for entry in entries.split():
        target, _, value = entry.partition("=")
        owner, _, name = target.partition(".")
        if target.startswith(RECIPES) or owner in (baseline, *baseline.split("+")):
            found[name if owner == baseline else target] = yaml.safe_load(value)
    return found


def load_papers(names: Iterable[str], folder: Path = REPORTED) -> list[Paper]:
    """The lists of these names ("paper": all of them).

    Raises:
        UserError: for a name that has no file, and for a file that is not such a list.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.yaml")) if file.stem != "recipes"}
    chosen: dict[str, Path] = {}
    for name in names:
        if name != ALL and name not in files:
            raise unknown("list of figures", name, [ALL, *files])
        chosen |= files if name == ALL else {name: files[name]}
    return [_paper(name, file) for name, file in chosen.items()]


def _paper(name: str, file: Path) -> Paper:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        items = tuple(_item(each) for each in content["items"])
        return Paper(name, content["title"], str(content.get("arxiv", "")), items, content.get("note", ""))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is not a list of figures ({error}): docs/reports.md shows one") from None


def _item(content: dict[str, Any]) -> Item:
    strange = set(content) - {each.name for each in fields(Item)}
    if strange:
        raise KeyError(f"unknown field {', '.join(sorted(strange))}")
    lists = {name: tuple(content[name]) for name in ("pairs", "baselines", "seeds") if name in content}
    vary = {name: tuple(values) for name, values in content.get("vary", {}).items()}
    return Item(**{**content, **lists, "vary": vary})


def save_papers(results: Results, papers: Iterable[Paper], folder: Path) -> list[str]:
    """Writes what the records allow to `folder/<paper>/`; returns what to print: items, files, commands.

    An item of which some runs are there is made of these, and its missing ones are named all the same.
    """
    lines, place = [], placed(results.folder)
    for paper in papers:
        target = folder / paper.name
        lines += [f"{paper.title} (arXiv {paper.arxiv})", *([paper.note] if paper.note else [])]
        for item in paper.items:
            records, commands = item.records(results.records), item.missing(results.records, place)
            paths = _save(results.only(records), item, target) if records else []
            state = "complete" if not commands else "in part" if paths else "no runs"
            lines.append(f"  {item.number}, {item.title}: {state}")
            lines += [f"    wrote {path}" for path in paths]
            lines += [f"    missing: {command}" for command in commands]
    return lines


def placed(folder: Path | None) -> str:
    """The arguments by which further runs join these records."""
    if folder is None:
        return ""
    parent = [] if folder.parent == Path("results") else ["--results-dir", shlex.quote(str(folder.parent))]
    return " ".join([*parent, "--name", shlex.quote(folder.name)])


def _save(results: Results, item: Item, folder: Path) -> list[Path]:
    """Writes the item's files; their names are its number."""
    # Here and not above: drawing takes a second to import.
    from benchmark.reporting import figures
    from benchmark.reporting.tables import render
    from benchmark.reporting.tables.corruption_tables import corruption_tables
    from benchmark.reporting.tables.pair_tables import pair_tables
    from benchmark.reporting.tables.probe_tables import probe_tables

    make_folder(folder)
    tables = {
        "pairs": pair_tables,
        "probes": probe_tables,
        "corruptions": corruption_tables,
    }
    if item.shows in tables:
        made = tables[item.shows](results)
        title = f"{item.number}. {item.title}"
        renamed = [
            replace(table, stem=_numbered(item.stem, k), title=title) for k, table in enumerate(made, start=1)
        ]
        return render.save_tables(renamed, folder)
    drawings = [each for each in figures.drawings_of(results, item.shows, tables) if each.draw is not None]
    return [
        path
        for k, drawing in enumerate(drawings, start=1)
        for path in figures.save_drawing(replace(drawing, name=_numbered(item.stem, k)), folder)
    ]


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}_{number}"
