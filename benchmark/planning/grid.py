"""Settings -> specs: what a command asks for, resolved against presets, pairs and facts about the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from benchmark.contracts import Data, LearnsFrom, Pair, Recipe, Request, Task
from benchmark.data.facts import Facts, FactsCache, is_there, load_dataset
from benchmark.data.split_settings import SplitFacts, SplitSettings
from benchmark.errors import UserError
from benchmark.models import outputs_of
from benchmark.planning.datasets import (
    DatasetChoice,
    check_modalities,
    check_pairs,
    dataset_choices,
    pairs_of,
)
from benchmark.planning.hyperparameters import (
    baseline_names,
    learns_from,
    resolve_hyperparameters,
    stage_epochs,
    stage_shares,
)
from benchmark.planning.networks import check_checkpoint, check_networks, file_checksum
from benchmark.planning.overrides import Overrides, parse_overrides
from benchmark.planning.specs import CohortSpec, DataSpec, NetworkSpec, RunSpec, Storage, TeacherSpec
from benchmark.planning.tuning import SEED, trials_of
from benchmark.plugins import Registry
from benchmark.settings import Settings

LONGEST_NAME = 255 - len(".lock")
"""Bytes of a folder's name on common file systems, where that of its lock stands beside it."""


@dataclass(frozen=True)
class Plan:
    """What a command consists of.

    cohorts   in the order in which they run
    tuning    cohorts of trials, which run before; what they choose is run by `planning.tuning.tuned`
    missing   a line for each dataset that is not there or can't be used; the specs of its cohorts have no ids
    """

    cohorts: tuple[CohortSpec, ...]
    missing: tuple[str, ...] = ()
    tuning: tuple[CohortSpec, ...] = ()


def make_plan(
    settings: Settings,
    registry: Registry,
    say: Callable[[str], None] = print,
    load: Callable[[Task, str, Request], Data] = load_dataset,
    *,
    without_data: bool = False,
) -> Plan:
    """All cohorts of a command. Loads only datasets of which nothing is known yet.

    say            gets what the reader of a dataset has to tell, and what is unusual about the settings
    load           how a dataset is loaded
    without_data   plan over datasets that are not there too, instead of raising

    Raises UserError for unknown names, missing data and settings that can't be met.
    """
    overrides = parse_overrides(settings.set, registry)
    for line in overrides.out_of_range(registry):
        say(line)
    names = baseline_names(settings, registry)
    choices = dataset_choices(settings, registry)
    check_pairs(settings, choices)
    storage = storage_of(settings)
    cache = FactsCache(storage.facts, load)
    cohorts: list[CohortSpec] = []
    missing: list[str] = []
    tuning: list[CohortSpec] = []
    known: dict[tuple[str, str, str], tuple[Mapping[str, tuple[int, ...]], int]] = {}
    for choice in choices:
        request = storage.request(choice.fold, settings.bad_samples, say)
        try:
            facts = cache.facts(choice.task, choice.name, request)
        except UserError as absent:
            if not without_data:
                raise
            facts = None
            missing.append(f"{'unusable' if is_there(choice.card, request) else 'missing'}: {absent}")
        for pair_name, pair in pairs_of(settings, choice).items():
            shapes = choice.card.shapes if facts is None else facts.shapes
            if shapes:
                check_modalities(pair_name, pair, choice.name, shapes)
            named = pair_name not in choice.task.pairs(choice.name)
            check_networks(pair_name, pair, shapes, facts and facts.outputs, named=named)
            for split, wanted in _conditions(
                settings, choice, facts is None or facts.labelled, names, registry
            ):
                splits = SplitFacts() if facts is None else cache.splits(facts, split)
                data = _data(settings, choice, facts, pair, split, splits)
                planner = PairPlanner(settings, choice, data, pair_name, pair, overrides)
                cohorts += planner.cohorts(wanted, registry)
                outputs = data.outputs or (facts.outputs if facts else 0)
                known[choice.name, choice.fold, pair.teacher] = shapes, outputs
                if settings.tune and split.split_seed == settings.split_seeds[0]:
                    tuning += planner.trials(wanted, registry)
    check_checkpoint(settings.teacher_checkpoint, cohorts, known)
    _check_folders([*cohorts, *tuning])
    _check_twins(cohorts)
    return Plan(tuple(cohorts), tuple(missing), tuple(tuning))


def _check_folders(cohorts: list[CohortSpec]) -> None:
    """Raises UserError for a run or a teacher whose folder could not have its name."""
    for cohort in cohorts:
        for slug in (cohort.teacher.slug, *(run.slug for run in cohort.runs)):
            if (size := len(slug.encode())) > LONGEST_NAME:
                raise UserError(
                    f"{slug}: no folder can have this name, with {size} bytes of at most {LONGEST_NAME}: "
                    "compose fewer baselines, or give the architectures of the pair shorter names"
                )


def _check_twins(cohorts: list[CohortSpec]) -> None:
    """Raises UserError for two pairs that train alike: their runs would have one id, and tables one pair."""
    pairs: dict[str, str] = {}
    for run in (run for cohort in cohorts for run in cohort.runs if run.id):
        other = pairs.setdefault(run.id, run.pair)
        if other != run.pair:
            raise UserError(
                f"pairs {other} and {run.pair} are the same networks by the same recipe, of which "
                f"{run.baseline} would be trained twice: leave one of them out"
            )


def storage_of(settings: Settings) -> Storage:
    """Where a command finds and keeps data."""
    return Storage(
        settings.cache,
        settings.data_dir,
        settings.download,
        settings.memory_gb,
        settings.readers,
    )


def _data(
    settings: Settings,
    choice: DatasetChoice,
    facts: Facts | None,
    pair: Pair,
    split: SplitSettings,
    splits: SplitFacts,
) -> DataSpec:
    """The data of a pair; data without classes takes over the outputs of the teacher that is loaded."""
    outputs = None
    if facts is not None and not facts.outputs:
        if settings.teacher_checkpoint is None:
            raise UserError(
                f"{facts.name} has no labels: give --teacher-checkpoint FILE, a teacher trained on other data"
            )
        shapes = [facts.shapes[name] for name in pair.teacher_modalities]
        outputs = outputs_of(settings.teacher_checkpoint, pair.teacher, shapes)
    return DataSpec(
        choice.task.name, choice.name, choice.fold, settings.bad_samples, split,
        facts.fingerprint if facts else "", splits, outputs,
    )  # fmt: skip


@dataclass(frozen=True)
class PairPlanner:
    """Plans the runs of one dataset, pair and condition: everything but baselines and seeds is fixed."""

    settings: Settings
    choice: DatasetChoice
    data: DataSpec
    pair_name: str
    pair: Pair
    overrides: Overrides

    @property
    def _seeds(self) -> tuple[int, ...]:
        return self.choice.preset.seeds if self.settings.seeds is None else self.settings.seeds

    def cohorts(self, names: tuple[str, ...], registry: Registry) -> Iterator[CohortSpec]:
        for teacher_seed in self.settings.teacher_seeds:
            for seed in self._seeds:
                cohorts = list(self._by_teacher(names, seed, teacher_seed, registry))
                yield from cohorts
                yield from self._longer_anchors(cohorts, registry)

    def trials(self, names: tuple[str, ...], registry: Registry) -> Iterator[CohortSpec]:
        """The trials of every baseline: those of one teacher in one cohort."""
        splits = self.data.splits
        if splits.sizes and not (splits.labelled and splits.sizes["validation"]):
            raise UserError(
                f"--tune chooses on validation, and {self.data.dataset} has no labelled validation sample: "
                "raise --validation (or --label-fraction)"
            )
        if SEED in self._seeds:
            raise UserError(f"--seeds: seed {SEED} is that of the trials of --tune: leave it out")
        for cohort in self._by_teacher(names, SEED, self.settings.teacher_seeds[0], registry):
            runs = [
                trial
                for run in cohort.runs
                for trial in trials_of(run, registry.parts(run.baseline), self.settings.tune)
            ]
            yield CohortSpec(tuple(runs), probes=False)

    def _by_teacher(
        self, names: tuple[str, ...], seed: int, teacher_seed: int, registry: Registry
    ) -> Iterator[CohortSpec]:
        """The cohorts of one seed: a cohort for each teacher that baselines ask for."""
        recipe = self._recipe("recipe", self.pair.recipe, self.settings.epochs, self.choice.preset.epochs)
        kinds: dict[LearnsFrom, None] = dict.fromkeys(learns_from(registry.parts(name)) for name in names)
        for kind in kinds:
            teacher = self._teacher(kind, teacher_seed)
            mates = [name for name in names if learns_from(registry.parts(name)) == kind]
            runs = tuple(self._run(name, seed, teacher, recipe, registry) for name in mates)
            yield CohortSpec(runs, self.settings.probes, self.settings.corruptions)

    def _longer_anchors(self, cohorts: list[CohortSpec], registry: Registry) -> Iterator[CohortSpec]:
        """The anchors of one seed again, with as many updates as baselines with first stages have."""
        stages = sorted({run.stage_epochs for cohort in cohorts for run in cohort.runs} - {0})
        for cohort, more in product(cohorts, stages):
            longer = tuple(
                replace(run, recipe=replace(run.recipe, epochs=run.recipe.epochs + more))
                for run in cohort.runs
                if not run.stage_epochs and any(part.anchor for part in registry.parts(run.baseline))
            )
            if longer:
                yield CohortSpec(longer, self.settings.probes, self.settings.corruptions)

    def _recipe(self, prefix: str, recipe: Recipe, asked: int | None, preset: int | None) -> Recipe:
        if asked is None and self.choice.known:
            asked = preset
        batch_size = self.settings.batch_size
        if batch_size is None and self.choice.known:
            batch_size = self.choice.preset.batch_size
        given = {"epochs": asked, "batch_size": batch_size}
        recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
        return self.overrides.changed(prefix, recipe)

    def _teacher(self, kind: LearnsFrom, seed: int) -> TeacherSpec:
        pair, settings, data = self.pair, self.settings, self.data
        own = kind == "student_architecture"
        recipe = self._recipe(
            "teacher_recipe", pair.teacher_recipe, settings.teacher_epochs, self.choice.preset.teacher_epochs
        )
        checkpoint = settings.teacher_checkpoint if kind == "trained" else None
        if kind != "untrained" and checkpoint is None and not data.splits.taught:
            raise UserError(
                f"{data.dataset} has no labels to train a teacher with: give --teacher-checkpoint FILE"
            )
        return TeacherSpec(
            task=data.task,
            dataset=data.dataset,
            architecture=pair.student if own else pair.teacher,
            modalities=pair.student_modalities if own else pair.teacher_modalities,
            recipe=recipe,
            seed=seed,
            kind="untrained" if kind == "untrained" else "trained",
            precision=settings.precision,
            data_fingerprint=data.fingerprint,
            samples=data.splits.checksums.get("teacher", ""),
            checkpoint=str(checkpoint) if checkpoint else "",
            checkpoint_checksum=file_checksum(checkpoint) if checkpoint else "",
            batch_parts=1 if checkpoint or kind == "untrained" else settings.batch_parts,
        )

    def _run(self, name: str, seed: int, teacher: TeacherSpec, recipe: Recipe, registry: Registry) -> RunSpec:
        self.overrides.check_own_recipe(name, recipe)
        parts = registry.parts(name)
        hyperparameters = resolve_hyperparameters(
            parts, self.pair.hyperparameters, self.overrides.of_baseline(name)
        )
        stages = [stage_epochs(share, recipe.epochs) for share in stage_shares(parts, hyperparameters)]
        return RunSpec(
            self.data,
            self.pair_name,
            NetworkSpec(self.pair.student, self.pair.student_modalities),
            teacher,
            recipe,
            name,
            hyperparameters,
            seed,
            self.settings.precision,
            sum(stages),
            self.overrides.reaching(name),
            batch_parts=self.settings.batch_parts,
        )


def _conditions(
    settings: Settings,
    choice: DatasetChoice,
    labelled: bool,
    names: tuple[str, ...],
    registry: Registry,
) -> Iterator[tuple[SplitSettings, tuple[str, ...]]]:
    """The conditions of a dataset with their baselines, split by split; few labels bring companions along.

    Where there is no label at all, there is no share of them, and no teacher that would need a half.
    """
    preset = choice.preset

    def choose(name: str, sized: bool = False) -> Any:
        asked = getattr(settings, name)
        return getattr(preset, name) if asked is None and (choice.known or not sized) else asked

    label_fraction = choose("label_fraction")
    # What a checkpoint learnt from only its owner knows; unless told otherwise, all of it.
    usual = (
        choose("teacher_data") if settings.teacher_checkpoint is None else settings.teacher_data or "shared"
    )
    teacher_data = usual or ("disjoint" if label_fraction < 1 else "shared")
    # A preset's size of the teacher's pool is meant for the whole of the data, not for a half of it.
    whole_half = teacher_data == "disjoint" and preset.teacher_data != "disjoint"
    split = SplitSettings(
        validation=choose("validation"),
        label_fraction=label_fraction,
        train_samples=choose("train_samples", sized=True),
        teacher_data=teacher_data,
        teacher_samples=settings.teacher_samples if whole_half else choose("teacher_samples", sized=True),
    )
    if not labelled:
        split = replace(split, label_fraction=1.0, teacher_data="shared", teacher_samples=None)
    beside = {
        kind: [b.name for b in registry.baselines.values() if b.companion == kind]
        for kind in ("few_labels", "all_labels")
    }
    for seed in settings.split_seeds:
        split = replace(split, split_seed=seed)
        if split.label_fraction == 1 and labelled:
            yield split, names
            continue
        yield split, tuple(dict.fromkeys([*names, *beside["few_labels"]]))
        if beside["all_labels"] and labelled:
            yield replace(split, label_fraction=1.0), tuple(beside["all_labels"])
