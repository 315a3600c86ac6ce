"""Settings -> runs -> cohorts: what a command asks for, resolved against presets, pairs and data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.cohorts import NUMBERS, Cohort, Loader, Run, TeacherSpec, content_hash
from benchmark.contracts import IGNORE, Data, Pair, Recipe
from benchmark.data.splits import Splits, SplitSettings, make_splits
from benchmark.errors import UserError
from benchmark.overrides import Overrides, parse_overrides
from benchmark.plugins import ROLES, Registry
from benchmark.selection import (
    Room,
    check_modalities,
    check_pairs,
    pairs_of,
    request_of,
    rooms_of,
    with_classes,
)
from benchmark.settings import Settings
from benchmark.training.composition import learns_from, resolve_hyperparameters


def make_grid(settings: Settings, registry: Registry, say: Callable[[str], None] = print) -> list[Cohort]:
    """All cohorts of a command, in the order in which they run. Loads every dataset that it needs; `say` gets
    what its reader has to tell.

    Raises UserError for unknown names, missing data and settings that can't be met.
    """
    overrides = parse_overrides(settings.set, registry)
    names = baseline_names(settings, registry)
    rooms = rooms_of(settings, registry)
    check_pairs(settings, rooms)
    cohorts = []
    for room in rooms:
        request = request_of(settings, room, say)
        loaded = room.card.load(request)
        targets = room.task.transfer(loaded, request) if settings.probes else None
        for pair_name, pair in pairs_of(settings, room).items():
            check_modalities(pair_name, pair, loaded)
            data = with_classes(loaded, pair, settings)
            for split, wanted in _conditions(settings, room, data, names, registry):
                splits = make_splits(data, split)
                block = Block(settings, room, data, pair_name, pair, split, splits, overrides, targets)
                cohorts += block.cohorts(wanted, registry)
    _check_checkpoint(settings, cohorts)
    return cohorts


def baseline_names(settings: Settings, registry: Registry) -> tuple[str, ...]:
    """The baselines of a command in its order: those named, or the headline set; 'all' adds every one."""
    names = list(settings.baselines or registry.headline)
    if "all" in names:
        names = [*(name for name in names if name != "all"), *registry.headline, *registry.baselines]
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        registry.parts(name)
    return unique


def order_of(name: str, registry: Registry) -> int:
    """A baseline's place in tables: headline set, references, controls, methods, compositions.

    Within a role, older papers come first.
    """
    if name in registry.headline:
        return registry.headline.index(name)
    if name not in registry.baselines:
        return 10_000
    role = ROLES[::-1].index(registry.baselines[name].role)
    by_year = sorted(registry.baselines.values(), key=lambda each: (each.year, each.name))
    return 1000 * (role + 1) + [each.name for each in by_year].index(name)


@dataclass(frozen=True)
class Block:
    """A dataset, a pair and a condition: everything of a run but its baseline and its seeds."""

    settings: Settings
    room: Room
    data: Data
    pair_name: str
    pair: Pair
    split: SplitSettings
    splits: Splits
    overrides: Overrides
    targets: Mapping[str, Loader] | None

    def cohorts(self, names: tuple[str, ...], registry: Registry) -> Iterator[Cohort]:
        recipe = self._recipe("recipe", self.pair.recipe, self.settings.epochs, self.room.preset.epochs)
        seeds = self.room.preset.seeds if self.settings.seeds is None else self.settings.seeds
        for teacher_seed in self.settings.teacher_seeds:
            for seed in seeds:
                for kind in dict.fromkeys(learns_from(registry.parts(name)) for name in names):
                    teacher = self._teacher(kind, teacher_seed, recipe)
                    mates = [name for name in names if learns_from(registry.parts(name)) == kind]
                    runs = tuple(self._run(name, seed, teacher, recipe, registry) for name in mates)
                    yield Cohort(
                        self.room.task, self.room.card, self.data, self.splits, self.pair_name, self.pair,
                        recipe, teacher, seed, self.settings.precision, runs, self.targets,
                    )  # fmt: skip

    def _recipe(self, prefix: str, recipe: Recipe, asked: int | None, preset: int | None) -> Recipe:
        if asked is None and self.room.known:
            asked = preset
        batch_size = self.settings.batch_size
        if batch_size is None and self.room.known:
            batch_size = self.room.preset.batch_size
        given = {"epochs": asked, "batch_size": batch_size}
        recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
        return replace(recipe, **self.overrides.of_recipe(prefix))

    def _teacher(self, kind: str, seed: int, student_recipe: Recipe) -> TeacherSpec:
        pair, settings = self.pair, self.settings
        own = kind == "student_architecture"
        recipe = student_recipe if own else self._recipe(
            "teacher_recipe", pair.teacher_recipe, settings.teacher_epochs, self.room.preset.teacher_epochs
        )  # fmt: skip
        checkpoint = settings.teacher_checkpoint if kind == "trained" else None
        if kind != "untrained" and checkpoint is None and self._unlabelled():
            raise UserError(
                f"{self.data.name} has no labels to train a teacher with: give --teacher-checkpoint FILE"
            )
        return TeacherSpec(
            task=self.room.task.name,
            dataset=self.data.name,
            architecture=pair.student if own else pair.teacher,
            modalities=pair.student_modalities if own else pair.teacher_modalities,
            recipe=recipe,
            seed=seed,
            kind="untrained" if kind == "untrained" else "trained",
            precision=settings.precision,
            data_fingerprint=self.data.fingerprint,
            samples=_checksum(self.splits.teacher),
            checkpoint=checkpoint,
            checkpoint_checksum=_file_checksum(checkpoint) if checkpoint else "",
        )

    def _unlabelled(self) -> bool:
        return not bool((self.data.train.labels[self.splits.teacher] != IGNORE).any())

    def _run(self, name: str, seed: int, teacher: TeacherSpec, recipe: Recipe, registry: Registry) -> Run:
        parts = registry.parts(name)
        hyperparameters = resolve_hyperparameters(
            parts, self.pair.hyperparameters, self.overrides.of_baseline(name)
        )
        pair = self.pair
        identity = {
            "numbers": NUMBERS,
            "task": self.room.task.name,
            "dataset": self.data.name,
            "data": self.data.fingerprint,
            "splits": [
                _checksum(part) for part in (self.splits.train, self.splits.labelled, self.splits.validation)
            ],
            "student": [pair.student, pair.student_modalities],
            "teacher": teacher.id,
            "recipe": asdict(recipe),
            "baseline": name,
            "hyperparameters": hyperparameters,
            "seed": seed,
            "precision": self.settings.precision,
        }
        condition = self._condition(teacher, recipe, self.overrides.shown(name))
        return Run(
            self.room.task.name, self.data.name, self.pair_name, name, seed, condition, hyperparameters,
            parts, order_of(name, registry), content_hash(identity),
        )  # fmt: skip

    def _condition(self, teacher: TeacherSpec, recipe: Recipe, overrides: str) -> dict[str, Any]:
        loaded = teacher.checkpoint is not None
        return {
            "fold": self.data.fold,
            **asdict(self.split),
            "teacher_seed": teacher.seed,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "teacher_epochs": None if loaded or teacher.kind == "untrained" else teacher.recipe.epochs,
            "teacher_checkpoint": teacher.checkpoint.name if teacher.checkpoint else "",
            "precision": self.settings.precision,
            "overrides": overrides,
        }


def _conditions(
    settings: Settings, room: Room, data: Data, names: tuple[str, ...], registry: Registry
) -> Iterator[tuple[SplitSettings, tuple[str, ...]]]:
    """The conditions of a dataset with their baselines; few labels bring their companions along.

    Where there is no label at all, there is no share of them, and no teacher that would need a half.
    """
    preset = room.preset

    def choose(name: str, sized: bool = False) -> Any:
        asked = getattr(settings, name)
        return getattr(preset, name) if asked is None and (room.known or not sized) else asked

    teacher_data = choose("teacher_data")
    # A preset's size of the teacher's pool is meant for the whole of the data, not for a half of it.
    whole_half = teacher_data == "disjoint" and preset.teacher_data != "disjoint"
    split = SplitSettings(
        split_seed=settings.split_seed,
        validation=choose("validation"),
        label_fraction=choose("label_fraction"),
        train_samples=choose("train_samples", sized=True),
        teacher_data=teacher_data,
        teacher_samples=settings.teacher_samples if whole_half else choose("teacher_samples", sized=True),
    )
    unlabelled = not data.train.labelled
    if unlabelled:
        split = replace(split, label_fraction=1.0, teacher_data="shared", teacher_samples=None)
    if split.label_fraction == 1 and not unlabelled:
        yield split, names
        return
    beside = {
        kind: [b.name for b in registry.baselines.values() if b.companion == kind]
        for kind in ("few_labels", "all_labels")
    }
    yield split, tuple(dict.fromkeys([*names, *beside["few_labels"]]))
    if beside["all_labels"] and not unlabelled:
        yield replace(split, label_fraction=1.0), tuple(beside["all_labels"])


def _check_checkpoint(settings: Settings, cohorts: list[Cohort]) -> None:
    if settings.teacher_checkpoint is None:
        return
    teachers = {(c.pair.teacher, c.data.name) for c in cohorts if c.teacher.checkpoint is not None}
    if len(teachers) > 1:
        names = ", ".join(sorted({f"{architecture} on {dataset}" for architecture, dataset in teachers}))
        raise UserError(
            f"--teacher-checkpoint is one teacher, but the grid has {names}: give --pairs and --datasets"
        )


def _checksum(index: Tensor) -> str:
    return hashlib.sha256(index.numpy().tobytes()).hexdigest()[:16]


def _file_checksum(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(
            f"--teacher-checkpoint {file}: {error.strerror}; give an existing checkpoint file"
        ) from error
