"""Which datasets, folds and pairs a command means, and whether they fit each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from benchmark.contracts import Data, DatasetCard, Pair, Preset, Request, Task
from benchmark.errors import UserError, unknown
from benchmark.models import outputs_of
from benchmark.plugins import Registry
from benchmark.settings import Settings


@dataclass(frozen=True)
class Room:
    """One dataset of one task, under one of its folds, with the preset's numbers that apply to it."""

    task: Task
    name: str
    card: DatasetCard
    preset: Preset
    known: bool
    fold: str = ""


def rooms_of(settings: Settings, registry: Registry) -> list[Room]:
    """Every dataset and fold of a command, in order. Raises UserError for unknown names."""
    tasks = [registry.task(name) for name in settings.tasks or registry.tasks]
    known = {name for task in tasks for name in task.datasets()}
    for name in settings.datasets:
        if name not in known:
            raise unknown("dataset", name, known)
    rooms = []
    for task in tasks:
        preset, cards = task.presets()[settings.preset], task.datasets()
        chosen = (
            [name for name in settings.datasets if name in cards] if settings.datasets else preset.datasets
        )
        for name in chosen:
            for fold in _folds(settings, name, cards[name]):
                rooms.append(Room(task, name, cards[name], preset, name in preset.datasets, fold))
    return rooms


def _folds(settings: Settings, dataset: str, card: DatasetCard) -> tuple[str, ...]:
    """The folds of a dataset that a command asks for; ("",) where the dataset has only one."""
    if not settings.folds:
        return card.folds[:1] or ("",)
    chosen = tuple(
        fold for fold in card.folds if any(fnmatchcase(fold, pattern) for pattern in settings.folds)
    )
    if not chosen:
        known = ", ".join(card.folds) or "none (leave out --folds)"
        raise UserError(f"dataset {dataset} has no fold {' '.join(settings.folds)}: its folds: {known}")
    return chosen


def request_of(settings: Settings, room: Room, say: Callable[[str], None]) -> Request:
    """How a command asks for the dataset of a room."""
    return Request(settings.data_dir, settings.download, room.fold, settings.bad_samples, settings.cache, say)


def check_modalities(name: str, pair: Pair, data: Data) -> None:
    """Raises UserError where the data lacks a modality that one of the networks sees."""
    for modality in (*pair.teacher_modalities, *pair.student_modalities):
        if modality not in data.modalities:
            known = ", ".join(data.modalities)
            raise UserError(
                f"pair {name} needs {modality}, which {data.name} doesn't have here: choose a pair of {known}"
            )


def with_classes(data: Data, pair: Pair, settings: Settings) -> Data:
    """Data without classes takes over the outputs of the teacher that is loaded for it."""
    if data.classes:
        return data
    if settings.teacher_checkpoint is None:
        raise UserError(
            f"{data.name} has no labels: give --teacher-checkpoint FILE, a teacher trained on other data"
        )
    shapes = [data.modalities[name].shape for name in pair.teacher_modalities]
    count = outputs_of(settings.teacher_checkpoint, pair.teacher, shapes)
    return replace(data, classes=tuple(f"output {number}" for number in range(count)))


def pairs_of(settings: Settings, room: Room) -> dict[str, Pair]:
    """The pairs asked for that the dataset has; by default the preset's, or else the dataset's first."""
    known = room.task.pairs(room.name)
    if not settings.pairs:
        return {name: known[name] for name in room.preset.pairs if name in known} or dict(
            [*known.items()][:1]
        )
    found = {name: known.get(name) or room.task.custom_pair(room.name, name) for name in settings.pairs}
    return {name: pair for name, pair in found.items() if pair is not None}


def check_pairs(settings: Settings, rooms: list[Room]) -> None:
    """Raises UserError for a pair that no dataset has, and for a dataset that has none of them."""
    known = {name for room in rooms for name in room.task.pairs(room.name)}
    for name in settings.pairs:
        if not any(name in pairs_of(settings, room) for room in rooms):
            raise unknown("pair", name, known)
    for room in rooms:
        if not pairs_of(settings, room):
            raise UserError(
                f"dataset {room.name} of task {room.task.name} has none of the pairs asked for: see --list"
            )
