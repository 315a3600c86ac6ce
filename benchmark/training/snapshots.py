"""Snapshots of trainings that are under way, so that a stopped command goes on from there.

The last two of each training are kept, each with a digest of its content: a damaged one is noticed, and the
one before stands in for it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmark.errors import reason_of
from benchmark.training.loop import START, Position
from benchmark.training.run_state import RunState
from benchmark.writing import before, whole

FORMAT = "2"
"""Of the content: snapshots of other formats are of no use."""
DIGEST_SIZE = 32
SHARE = 0.05
"""Of the time, at most, goes into writing snapshots, however large and frequent they are."""


@dataclass(frozen=True)
class Snapshot:
    """Where a training stood: after how many epochs and steps, and `RunState.snapshot` of then."""

    position: Position = START
    state: dict[str, Any] = field(default_factory=dict)


class Snapshots:
    """The snapshots of some trainings, which go on together.

    files        run name -> file; the snapshot before it stands beside it (`before`)
    identities   run name -> what must agree for a snapshot to be used: the run's id and its code
    seconds      how long a training goes on between two snapshots; 0: a snapshot after each step
    say          is told of damage, and (once) that snapshots can't be written: trainings go on without
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        identities: Mapping[str, str],
        seconds: float,
        say: Callable[[str], None],
    ):
        self._files, self._identities, self._say = files, identities, say
        self._seconds, self._refused = seconds, False
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        """Whether it is time for the next ones."""
        return time.monotonic() >= self._next

    def keep(self, position: Position, states: Iterable[RunState]) -> None:
        """Writes snapshots of the runs at `position`."""
        began = time.monotonic()
        for state in states:
            content = {
                "identity": self._identity(state.name),
                "position": tuple(position),
                "state": state.snapshot(),
            }
            try:
                _write(self._files[state.name], content)
            except OSError as error:
                self._tell_once(f"{self._files[state.name]} can't be written ({error.strerror or error})")
        now = time.monotonic()
        self._next = now + max(self._seconds, (now - began) * (1 / SHARE - 1) if self._seconds else 0.0)

    def load(self) -> dict[str, Snapshot]:
        """Where each run goes on; at the start where it has no usable snapshot.

        Runs that were stopped while their snapshots were written go on together from the one before, if all
        of them have it.
        """
        found = {name: self._usable(name) for name in self._files}
        latest = {snapshots[0].position for snapshots in found.values()}
        for position in sorted(latest, reverse=True):
            together = {name: [s for s in each if s.position == position] for name, each in found.items()}
            if all(together.values()):
                return {name: snapshots[0] for name, snapshots in together.items()}
        return {name: snapshots[0] for name, snapshots in found.items()}

    def _usable(self, name: str) -> list[Snapshot]:
        """The last snapshot and the one before, those that can be used; the start where none can be."""
        found, damaged = [], []
        for file in (self._files[name], before(self._files[name])):
            try:
                content = _read(file)
                if content["identity"] == self._identity(name):
                    found.append(Snapshot(Position(*content["position"]), content["state"]))
            except FileNotFoundError:
                pass
            except Exception as damage:  # torch raises a dozen kinds; whatever it is, the file is of no use
                damaged.append(f"{file} is damaged ({reason_of(damage)})")
        if damaged:
            goes_on = f"goes on from the one before ({found[0].position})" if found else "starts over"
            self._say(f"{' and '.join(damaged)}; that training {goes_on}")
        return found or [Snapshot()]

    def _identity(self, name: str) -> str:
        return f"{FORMAT} {self._identities[name]}"

    def _tell_once(self, problem: str) -> None:
        if not self._refused:
            self._refused = True
            self._say(f"{problem}; the training goes on, and would start over if it were stopped now")


def _write(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a snapshot, its digest behind it, whole or not at all; the last one becomes the one before.

    It is in memory once more meanwhile: where torch writes to a disk by itself, a full one is no OSError.
    """
    body = io.BytesIO()
    torch.save(content, body)
    with whole(file) as temporary:
        with temporary.open("wb") as stream:
            stream.write(body.getbuffer())
            stream.write(_digest(body.getbuffer()).digest())
        if file.is_file():
            file.replace(before(file))


def _read(file: Path) -> dict[str, Any]:
    """What `_write` wrote. Raises ValueError where the digest is another."""
    content = memoryview(file.read_bytes())
    body, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
    if _digest(body).digest() != digest:
        raise ValueError("its content is not what was written")
    return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)


def _digest(content: memoryview) -> Any:
    return hashlib.blake2b(content, digest_size=DIGEST_SIZE)
