"""Run folders on disk. A run is finished if and only if its folder holds a valid record.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.checksums import ARRAYS, HISTORY, OUTPUTS, WEIGHTS, file_checksums, is_output
from benchmark.errors import UserError
from benchmark.records import RECORD, Record, TeacherRecord, finite, write_json, write_record
from benchmark.writing import before


class RunFolder:
    """The folder of one run (or one teacher): config, history, arrays, weights, events, and the record."""

    def __init__(self, path: Path):
        self.path = path
        self._events: Any = None

    @property
    def record(self) -> Path:
        """The file that makes the run a finished one."""
        return self.path / RECORD

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def error(self) -> Path:
        """The traceback of a run whose baseline failed."""
        return self.path / "error.txt"

    @property
    def snapshot(self) -> Path:
        """Where the state of a run that is under way is kept."""
        return self.path / "snapshot.pt"

    @property
    def lock(self) -> Path:
        """The lock of whoever trains the run, beside the folder."""
        return self.path.with_name(f"{self.path.name}.lock")

    def begin(self, config: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> None:
        """Empties the folder of what an interrupted run left, its snapshots apart, and writes config.json.

        history   the epochs that a run which goes on has behind it, to be logged again

        Raises OSError.
        """
        self._close_events()
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self.path.iterdir():
            if file not in self._snapshots:
                file.unlink()
        write_json(self.path / "config.json", config)
        for epoch in history:
            self.log_epoch(epoch)

    def log_epoch(self, epoch: Mapping[str, Any]) -> None:
        """Appends an epoch to history.jsonl and its scalars to the TensorBoard events."""
        with (self.path / HISTORY).open("a") as file:
            file.write(json.dumps(finite(epoch)) + "\n")
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training needs it

            self._events = SummaryWriter(self.path)
        for group in ("terms", "train", "validation", "diagnostics"):
            for name, value in epoch.get(group, {}).items():
                self._events.add_scalar(f"{group}/{name}", value, epoch["epoch"])
        self._events.add_scalar("learning_rate", epoch["learning_rate"], epoch["epoch"])

    def save_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes arrays.npz and outputs.npz."""
        for file, apart in ((ARRAYS, False), (OUTPUTS, True)):
            content = {name: array for name, array in arrays.items() if is_output(name) == apart}
            np.savez_compressed(self.path / file, **content)  # pyright: ignore[reportArgumentType]

    def finish(self, record: Record | TeacherRecord) -> None:
        """Writes the record, last of all: from here on the run is finished, and its snapshot is of no use.

        The record gains the checksums of the files that are there.
        """
        self._close_events()
        write_record(self.record, replace(record, files=file_checksums(self.path)))
        self.tidy()

    def tidy(self) -> None:
        """Removes what a finished run has no use for: its snapshots, and what was not written whole."""
        unfinished = (file for file in self.path.glob(".*") if file.is_file())
        for file in (*self._snapshots, *unfinished):
            with suppress(OSError):
                file.unlink(missing_ok=True)

    @property
    def _snapshots(self) -> tuple[Path, Path]:
        return self.snapshot, before(self.snapshot)

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None


def check_writable(folder: Path) -> None:
    """Raises UserError where results can't be written to `folder`."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        merge = f"python -m benchmark.merge {folder} --into DIR/{folder.name}"
        raise UserError(
            f"results folder {folder} can't be written: {error.strerror}; give another --results-dir DIR"
            + (f", after {merge}, which takes its runs along" if (folder / "runs").is_dir() else "")
        ) from error
