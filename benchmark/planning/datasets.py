"""Which datasets, folds and pairs a command means, and whether they fit; needs neither data nor torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from benchmark.contracts import DatasetCard, Pair, Preset, Task
from benchmark.declarations import RECIPES
from benchmark.errors import UserError, unknown
from benchmark.plugins import Registry, parts_of
from benchmark.settings import Settings


@dataclass(frozen=True)
class DatasetChoice:
    """One dataset of one task, under one of its folds, with the preset's numbers that apply to it.

    known   whether the preset names the dataset: sizes and epochs of a preset are meant for its own
    """

    task: Task
    name: str
    card: DatasetCard
    preset: Preset
    known: bool
    fold: str = ""


def dataset_choices(settings: Settings, registry: Registry) -> list[DatasetChoice]:
    """Every dataset and fold of a command, in order. Raises UserError for unknown names."""
    tasks = [registry.task(name) for name in dict.fromkeys(settings.tasks or registry.tasks)]
    known = {name for task in tasks for name in task.datasets()}
    for name in settings.datasets:
        if name not in known:
            raise unknown("dataset", name, known)
    choices = []
    for task in tasks:
        preset, cards = task.presets()[settings.preset], task.datasets()
        chosen = (
            [name for name in dict.fromkeys(settings.datasets) if name in cards]
            if settings.datasets
            else preset.datasets
        )
        for name in chosen:
            for fold in _folds(settings, name, cards[name]):
                choices.append(DatasetChoice(task, name, cards[name], preset, name in preset.datasets, fold))
    for pattern in settings.folds:
        if not any(fnmatchcase(choice.fold, pattern) for choice in choices):
            raise unknown("fold", pattern, {fold for choice in choices for fold in choice.card.folds})
    return choices


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


def check_modalities(name: str, pair: Pair, dataset: str, modalities: Iterable[str]) -> None:
    """Raises UserError where the data lacks a modality that one of the networks sees."""
    known = list(modalities)
    for modality in (*pair.teacher_modalities, *pair.student_modalities):
        if modality not in known:
            raise UserError(
                f"pair {name} needs {modality}, which {dataset} doesn't have here: "
                f"choose a pair of {', '.join(known)}"
            )


def pairs_of(settings: Settings, choice: DatasetChoice) -> dict[str, Pair]:
    """The pairs asked for that the dataset has; by default the preset's, or else the dataset's first."""
    known = choice.task.pairs(choice.name)
    if not settings.pairs:
        return {name: known[name] for name in choice.preset.pairs if name in known} or dict(
            [*known.items()][:1]
        )
    found = {name: known.get(name) or choice.task.custom_pair(choice.name, name) for name in settings.pairs}
    return {name: pair for name, pair in found.items() if pair is not None}


def check_pairs(settings: Settings, choices: list[DatasetChoice]) -> None:
    """Raises UserError for a pair that no dataset has, and for a dataset that has none of them."""
    known = {name for choice in choices for name in choice.task.pairs(choice.name)}
    found = [pairs_of(settings, choice) for choice in choices]
    for name in settings.pairs:
        if not any(name in pairs for pairs in found):
            raise _unknown_pair(name, known)
    for choice, pairs in zip(choices, found, strict=True):
        if not pairs:
            raise UserError(
                f"dataset {choice.name} of task {choice.task.name} has none of the pairs asked for: "
                "see --list"
            )


def _unknown_pair(name: str, known: Iterable[str]) -> UserError:
    """The error for it; where one of two networks is misspelt, for that one."""
    from benchmark.models import architectures, is_architecture

    error, (teacher, dash, student) = unknown("pair", name, known), name.partition("-")
    if not dash or is_architecture(teacher) == is_architecture(student):
        return error
    wrong = student if is_architecture(teacher) else teacher
    return UserError(f"{unknown('network', wrong, architectures())} ({error})")


def check_names(settings: Settings, tasks: Registry, baselines: frozenset[str] | None) -> None:
    """Raises UserError for a name that nothing has, as far as that can be told without torch.

    tasks       a registry with the tasks loaded
    baselines   the declared names; None where only importing the plugins would tell
    """
    choices = dataset_choices(settings, tasks)
    if baselines is None:
        return
    if not settings.plugin:  # a file may bring an architecture, and with it a pair
        check_pairs(settings, choices)
    overridden = (entry.partition(".")[0] for entry in settings.set if "." in entry.partition("=")[0])
    owners = [name for name in overridden if name not in RECIPES]
    for name in (*settings.baselines, *owners):
        parts = parts_of(name)
        if len(parts) > 1 and "all" in parts:
            raise UserError(f"baseline {name!r}: 'all' stands by itself: name the parts")
        for part in parts:
            if part not in baselines and name != "all":
                error = unknown("baseline", part, {*baselines, "all"})
                raise error if settings.plugin else UserError(f"{error} (your own: give --plugin FILE, too)")
