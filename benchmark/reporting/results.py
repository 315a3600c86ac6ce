"""A results folder as read once: its records, histories and arrays, and what could not be read."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.records import Record
from benchmark.reporting.frame import history_frame, load_records
from benchmark.reporting.panels import Panel, task_panels
from benchmark.reporting.rows import PairBlock, task_blocks


@dataclass(frozen=True)
class Results:
    """The one input of every table, figure and page."""

    folder: Path | None
    """where the arrays are; None where there are records only"""
    records: list[Record]
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    """as `frame.history_frame` makes it"""
    problems: list[str] = field(default_factory=list)
    """a line for each file that could not be read; grows as arrays are asked for"""

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Reads `folder/runs/`; what is broken is named in `problems` and costs nothing else."""
        records, problems = load_records(folder)
        history, broken_lines = history_frame(folder, records)
        return cls(Path(folder), records, history, [*problems, *broken_lines])

    @cached_property
    def blocks(self) -> dict[str, list[PairBlock]]:
        """Task -> its blocks: a dataset and a pair each."""
        return task_blocks(self.records)

    @cached_property
    def panels(self) -> dict[str, list[Panel]]:
        """Task -> its panels: a dataset, a pair and a condition each."""
        return {task: task_panels(blocks) for task, blocks in self.blocks.items()}

    def task_title(self, task: str) -> str:
        """The task's title as its records give it."""
        return self.blocks[task][0].about.task_title or task

    def arrays(self, record: Record, *names: str) -> Mapping[str, np.ndarray]:
        """Those of the named arrays that the run's `arrays.npz` holds; every one without a name.

        A broken file is named in `problems` and counts as empty.
        """
        if self.folder is None:
            return {}
        path = self.folder / "runs" / record.folder / "arrays.npz"
        try:
            with np.load(path) as file:
                return {name: file[name] for name in (names or file.files) if name in file.files}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            problem = f"{record.folder}: arrays.npz can't be read ({error})"
            if problem not in self.problems:
                self.problems.append(problem)
            return {}
