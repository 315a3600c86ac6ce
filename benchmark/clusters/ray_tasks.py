"""What a task of a Ray cluster does, and what goes along with it and comes back."""

from __future__ import annotations

import getpass
import io
import socket
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmark import plugins
from benchmark.errors import UserError
from benchmark.running.display import RemoteDisplay
from benchmark.running.local import make_executor
from benchmark.running.orders import Done, Order, carry_out
from benchmark.running.provenance import Origin, work_for
from benchmark.settings import Settings

RESULTS = "t"
"""The results folder's name where a task trains."""


@dataclass(frozen=True)
class Parcel:
    """What a task gives back: what it tells of its order, and the folders that it leaves, as a tar file."""

    done: Done
    content: bytes = b""


@dataclass(frozen=True)
class Errand:
    """What all tasks of a command are told: its settings, where it comes from, and the cores of each.

    shared       a file in the results folder, where every node sees that; None: each trains in its own
    checkpoint   the content of the teacher's checkpoint; empty where there is none
    """

    settings: Settings
    origin: Origin
    cpus: int
    shared: Path | None
    checkpoint: bytes


def train(order: Order, errand: Errand, board: Any, teacher: Parcel, begun: bytes = b"") -> Parcel:
    """What a task does: an order, in the results folder or in a folder of its own.

    begun   the folders of its runs, as far as they are there: snapshots, and trials that are recorded
    """
    if teacher.done.no_teacher:
        return Parcel(Done(no_teacher=teacher.done.no_teacher))
    work_for(errand.origin)
    torch.set_num_threads(errand.cpus)

    def tell(message: tuple[str, ...]) -> None:
        with suppress(Exception):
            board.put_nowait(message)

    node = Path(tempfile.gettempdir()) / f"wcord-bench-{getpass.getuser()}"
    (node / "cache").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=node) as place:
        own = _own_settings(errand, Path(place))
        if errand.shared is None:
            (own.results_dir / "cache").symlink_to(node / "cache", target_is_directory=True)
            unpack(teacher.content, own.results_dir / "teachers")
            unpack(begun, own.folder)
        done = carry_out(order, make_executor(own, plugins.load(own.plugin), RemoteDisplay(tell)))
        if done.no_teacher or errand.shared is not None:
            return Parcel(done)
        if order.runs:
            return Parcel(done, packed(own.results_dir, own.folder))
        teachers = own.results_dir / "teachers"
        return Parcel(done, packed(teachers, teachers / order.cohort.teacher.slug))


def _own_settings(errand: Errand, place: Path) -> Settings:
    """The settings of a task with what stands on its node: the results, and the teacher's checkpoint.

    place   a folder of its own
    """
    settings = errand.settings
    if settings.teacher_checkpoint is not None:
        checkpoint = place / settings.teacher_checkpoint.name
        checkpoint.write_bytes(errand.checkpoint)
        settings = replace(settings, teacher_checkpoint=checkpoint)
    if errand.shared is None:
        (place / "results").mkdir()
        return replace(settings, results_dir=place / "results", name=RESULTS)
    if not errand.shared.exists():
        raise UserError(
            f"{socket.gethostname()} has joined the cluster and does not see {errand.shared.parent}, as all "
            "other nodes do: mount it there, or give a --results-dir that they don't share"
        )
    return replace(settings, results_dir=errand.shared.parent)


def packed(place: Path, *paths: Path) -> bytes:
    """Folders in `place`, with all that is in them, as a tar file; empty where none of them is there."""
    found = [path for path in paths if path.is_dir()]
    if not found:
        return b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in found:
            archive.add(path, arcname=str(path.relative_to(place)))
    return stream.getvalue()


def unpack(content: bytes, place: Path) -> None:
    """Puts what `packed` packed into a folder; nothing of it gets out of there."""
    place.mkdir(parents=True, exist_ok=True)
    if content:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(place, filter="data")
