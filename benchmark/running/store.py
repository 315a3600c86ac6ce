"""Run folders and records on disk. A run is finished if and only if its folder holds a valid record.json."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.errors import UserError

SCHEMA = 1
PARTS = (
    "run",
    "condition",
    "status",
    "about",
    "metrics",
    "results",
    "hyperparameters",
    "measurements",
    "provenance",
)


class CorruptRecord(Exception):
    """A record.json that is there but can't be used; the message names it and says why."""


class RunFolder:
    """The folder of one run (or one teacher): config, history, arrays, weights, events, and the record."""

    def __init__(self, path: Path):
        self.path = path
        self._events: Any = None

    def begin(self, config: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> None:
        """Empties the folder of what an interrupted run left and writes config.json.

        With `history` a run goes on from its snapshot: the snapshot stays, and these epochs are logged again.
        """
        self._close_events()
        self.path.mkdir(parents=True, exist_ok=True)
        for file in self.path.iterdir():
            if file != self.snapshot:
                file.unlink()
        write_json(self.path / "config.json", config)
        for epoch in history:
            self.log_epoch(epoch)

    @property
    def snapshot(self) -> Path:
        """Where the state of a run that is under way is kept."""
        return self.path / "snapshot.pt"

    def log_epoch(self, epoch: Mapping[str, Any]) -> None:
        """Appends an epoch to history.jsonl and its scalars to the TensorBoard events."""
        with (self.path / "history.jsonl").open("a") as file:
            file.write(json.dumps(_finite(epoch)) + "\n")
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training needs it

            self._events = SummaryWriter(self.path)
        for group in ("terms", "train", "validation"):
            for name, value in epoch.get(group, {}).items():
                self._events.add_scalar(f"{group}/{name}", value, epoch["epoch"])
        self._events.add_scalar("learning_rate", epoch["learning_rate"], epoch["epoch"])

    def save_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes arrays.npz."""
        np.savez_compressed(self.path / "arrays.npz", **arrays)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Writes the record, last of all: from here on the run is finished, and its snapshot is of no use."""
        self._close_events()
        write_json(self.path / "record.json", {"schema": SCHEMA, **record})
        self.snapshot.unlink(missing_ok=True)

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def record(self) -> dict[str, Any] | None:
        """The record, or None where the run is not finished. Raises CorruptRecord."""
        return read_record(self.path / "record.json")


def read_record(file: Path) -> dict[str, Any] | None:
    """The record in `file`, or None where there is no such file. Raises CorruptRecord."""
    try:
        record = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CorruptRecord(f"{file} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise CorruptRecord(f"{file} is not a record of schema {SCHEMA}")
    if missing := [part for part in PARTS if part not in record]:
        raise CorruptRecord(f"{file} lacks {', '.join(missing)}")
    return record


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON so that a reader sees the whole file or none: temporary name, fsync, rename."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w") as stream:
        json.dump(_finite(content), stream, indent=1, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def check_writable(folder: Path) -> None:
    """Raises UserError where results can't be written to `folder`."""
    probe = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"results folder {folder} can't be written: {error.strerror}; give another --results-dir"
        ) from error


def _finite(value: Any) -> Any:
    """The same content with numbers that JSON can't hold (NaN, infinity) as null."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
