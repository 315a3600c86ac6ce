"""A results folder as read once: its records, histories and arrays, and what could not be read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from benchmark.checksums import ARRAYS, EARLIER_OUTPUTS, HISTORY, OUTPUTS, AlteredFile, Stamp, open_checked
from benchmark.errors import UserError, unknown
from benchmark.records import RECORD, CorruptRecord, Record, read_record
from benchmark.reporting.frame import RUN_KEYS, columns, distinct, tidy_frame
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.identity import flat, search_of
from benchmark.reporting.panels import Panel, task_panels
from benchmark.reporting.rows import PairBlock, ResultRow
from benchmark.reporting.style import COLOURS, Look, baseline_looks


class Loaded(NamedTuple):
    """The valid records, and a line for each thing that could not be read."""

    records: list[Record]
    problems: list[str]


class History(NamedTuple):
    """One row per run and epoch, and a line for each broken file or line."""

    frame: pd.DataFrame
    problems: list[str]


def load_records(folder: Path | str, kind: Literal["runs", "trials"] = "runs") -> Loaded:
    """Read `folder/runs/*/record.json`, or those of trials of tuning; each record gains `folder`, the name of
    its run folder.

    A corrupt, altered, half-written or missing record costs its own run only, and is named in `problems`.
    Other processes may write and delete runs meanwhile: a run is there as a whole, or not.
    """
    records: dict[str, Record] = {}
    problems = []
    for run_folder in run_folders(Path(folder) / kind):
        name, file = run_folder.name, run_folder / RECORD
        try:
            record = read_record(file)
        except CorruptRecord as error:
            problems.append(f"{name}: {str(error).replace(str(file), file.name, 1)}")
            continue
        if record is None:
            if run_folder.is_dir():  # or it was deleted since it was listed
                problems.append(f"{name}: not finished (no {RECORD})")
        elif record.id in records:
            problems.append(f"{name}: the same run as {records[record.id].folder}, which is the one counted")
        else:
            records[record.id] = replace(record, folder=name)
    return Loaded(list(records.values()), problems)


def run_folders(place: Path) -> list[Path]:
    """The folders in a place, sorted by name; none where the place is not there, or not any more."""
    try:
        names = sorted(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in (place / name for name in names) if path.is_dir()]


def history_frame(folder: Path | str, records: Iterable[Record]) -> History:
    """One row per run and epoch: `id`, the run's keys, `epoch`, `train/loss`, `validation/top1`, ...

    A run that was stopped and resumed may have written an epoch twice; the last line counts. A file that is
    not the one its run left is named, and none of it is used.
    """
    rows, problems = [], []
    for record in records:
        try:
            lines = _history_lines(Path(folder) / "runs" / record.folder, record)
        except AlteredFile as altered:
            problems.append(f"{record.folder}: {altered}")
            continue
        if lines is None:
            if record.status == "finished":
                problems.append(f"{record.folder}: no {HISTORY}")
            continue
        for number, line in enumerate(lines, start=1):
            try:
                rows.append({"id": record.id, **columns(record.run), **_epoch(json.loads(line))})
            except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
                problems.append(f"{record.folder}: {HISTORY} line {number} can't be read")
    frame = pd.DataFrame(rows, columns=None if rows else ["id", *RUN_KEYS, "epoch"])
    frame = frame.drop_duplicates(["id", "epoch"], keep="last").sort_values(["id", "epoch"])
    return History(frame.reset_index(drop=True), problems)


def _history_lines(run_folder: Path, record: Record) -> list[str] | None:
    """The lines of a run's history; None where it left none. Raises AlteredFile."""
    stream = open_checked(run_folder / HISTORY, record.files)
    if stream is None:
        return None
    try:
        with stream:
            return stream.read().decode().splitlines()
    except (OSError, ValueError) as error:
        raise AlteredFile(f"{HISTORY} can't be read ({error})") from error


def _epoch(line: dict[str, Any]) -> dict[str, Any]:
    """A line's numbers; whatever else it holds has no place in a curve. Raises for a broken line."""
    values = flat(line)
    epoch = int(values.pop("epoch"))
    if not 0 <= epoch < 2**31:
        raise ValueError(epoch)
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {"epoch": epoch, **{name: float(value) for name, value in numbers.items()}}


@dataclass(frozen=True)
class Results:
    """The one input of every table, figure and page."""

    folder: Path | None
    """where the arrays are; None where there are records only"""
    records: list[Record]
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    """as `history_frame` makes it"""
    trials: list[Record] = field(default_factory=list)
    """of tuning; no run is among them"""
    problems: list[str] = field(default_factory=list)
    """a line for each file that could not be read; grows as arrays are asked for"""
    _checked: set[Stamp] = field(default_factory=set, repr=False, compare=False)
    """the files of arrays that agreed with their records: checked once, however often they are asked for"""

    @classmethod
    def read(cls, folder: Path | str) -> Results:
        """Reads `folder/runs/`; what is broken is named in `problems` and costs nothing else."""
        records, problems = load_records(folder)
        trials, broken_trials = load_records(folder, "trials")
        history, broken_lines = history_frame(folder, records)
        return cls(Path(folder), records, history, trials, [*problems, *broken_trials, *broken_lines])

    @classmethod
    def of(cls, records: Iterable[Record]) -> Results:
        """Of records alone, each run once. Raises UserError where two of one run contradict each other."""
        return cls(None, distinct(records))

    def __add__(self, other: Results) -> Results:
        """Both as one, side by side: overlapping records are taken once.

        Raises:
            UserError: where two records of one run contradict each other.
        """
        records = distinct([*self._placed(), *other._placed()])
        history = pd.concat([self.history, other.history], ignore_index=True)
        if len(history):
            history = history.drop_duplicates(["id", "epoch"])
        trials = distinct([*self.trials, *other.trials])
        problems = [*self.problems, *other.problems]
        return Results(self.folder or other.folder, records, history, trials, problems)

    def _placed(self) -> list[Record]:
        """The records, each with the whole path of its run folder: wherever it goes, its arrays are found."""
        if self.folder is None:
            return self.records
        runs = (self.folder / "runs").resolve()
        return [replace(record, folder=str(runs / record.folder)) for record in self.records]

    def where(self, **columns: Any) -> Results:
        """Those records whose columns of `frame` have these values; a list, set or tuple: any of them.

        Raises:
            UserError: for a column that the frame doesn't have, and where no record has any of the values.
        """
        chosen = self.frame
        for name, value in columns.items():
            if name not in chosen:
                raise unknown("column", name, chosen.columns)
            values = list(value) if isinstance(value, list | set | tuple) else [value]
            everyone = pd.Series(self.frame[name])
            if values and not everyone.isin(values).to_numpy().any():
                raise _unknown_value(name, values[0], everyone.dropna().unique().tolist())
            chosen = pd.DataFrame(chosen[chosen[name].isin(values)])
        ids = set(chosen["id"])
        return self.only(record for record in self.records if record.id in ids)

    def only(self, records: Iterable[Record]) -> Results:
        """The same folder as if it held these records alone, with the trials of their searches."""
        kept = list(records)
        ids = [record.id for record in kept]
        history = self.history[self.history["id"].isin(ids)] if len(self.history) else self.history
        searches = set(map(search_of, kept)) if self.trials else set()
        trials = [trial for trial in self.trials if search_of(trial) in searches]
        return replace(self, records=kept, history=history, trials=trials)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The tidy frame of the records."""
        return tidy_frame(self.records)

    @cached_property
    def blocks(self) -> dict[str, list[PairBlock]]:
        """Task -> its blocks: a dataset and a pair each."""
        return task_blocks(self.records, self.frame)

    @cached_property
    def panels(self) -> dict[str, list[Panel]]:
        """Task -> its panels: a dataset, a pair and a condition each."""
        return {task: task_panels(blocks) for task, blocks in self.blocks.items()}

    def task_title(self, task: str) -> str:
        """The task's title as its records give it."""
        return self.blocks[task][0].about.task_title or task

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Baseline -> its look, the same in every figure, file and chart."""
        ordered = sorted({(record.about.order, record.run.baseline) for record in self.records})
        anchors = {record.run.baseline for record in self.records if record.about.anchor}
        return baseline_looks(dict.fromkeys(name for _, name in ordered), anchors)

    def colour(self, row: ResultRow) -> str:
        """The row's colour."""
        return COLOURS[self.looks[row.baseline].colour]

    def arrays(self, record: Record, *names: str) -> Mapping[str, np.ndarray]:
        """Those of the named arrays that the run left; every one without a name.

        Archives have no `outputs.npz`. A broken file, and one that is not what the run left, is named in
        `problems` and counts as empty.
        """
        if self.folder is None:
            return {}
        place = self.folder / "runs" / record.folder
        found = self._content(record, place / ARRAYS, names)
        for file in (place / OUTPUTS, place / EARLIER_OUTPUTS):
            if file.exists() and not (names and found.keys() >= set(names)):
                found |= self._content(record, file, names)
        return found

    def _content(self, record: Record, path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        try:
            stream = open_checked(path, record.files, self._checked)
            if stream is None:
                return {}
            with stream, np.load(stream) as file:
                return {name: file[name] for name in (names or file.files) if name in file.files}
        except AlteredFile as altered:
            problem = f"{record.folder}: {altered}"
        except Exception as error:  # whatever a damaged file makes the readers of zip and npy raise
            reason = " ".join(str(error).split()) or "empty"
            problem = f"{record.folder}: {path.name} can't be read ({reason})"
        known = f"{record.folder}: {path.name}"
        if not any(line.startswith(known) for line in self.problems):
            self.problems.append(problem)
        return {}


def _unknown_value(column: str, value: Any, known: list[Any]) -> UserError:
    """An error for a value that no record has in a column."""
    meant = next((each for each in known if str(each) == str(value)), None)
    if meant is not None:  # a value of another type, which words would not tell from this one
        return UserError(f"unknown {column} {value!r}: did you mean {meant!r}?")
    return unknown(column, str(value), map(str, known))
