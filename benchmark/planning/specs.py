"""Specs: what a command consists of, as plain values that survive JSON and pickle; ids are hashes of them.

A spec names data, networks and settings and holds none of them: a worker that has the same datasets on its
disk rebuilds everything from it (`training.materials`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from benchmark import records
from benchmark.contracts import BadSamples, Recipe, Request
from benchmark.data.split_settings import SplitFacts, SplitSettings, steps_per_epoch
from benchmark.settings import Precision

NUMBERS = 3
"""Raised when a change of the engine changes the numbers: old records are not taken for new ones."""

OWN_RECIPE = "own_recipe."
"""Prefix of a baseline's own departures from the recipe, among its hyper-parameters."""

TeacherKind = Literal["trained", "untrained"]


@dataclass(frozen=True)
class Storage:
    """Where a machine keeps what specs name: no part of any id.

    data_dir    the folder of real datasets; download: whether a missing one may be fetched into it
    cache       the folder of decoded and rendered data
    memory_gb   what the samples of a dataset may take in memory; num_workers: how many processes read ahead
                what stays on disk
    """

    cache: Path
    data_dir: Path | None = None
    download: bool = False
    memory_gb: float = math.inf
    num_workers: int = 0

    def request(self, fold: str, bad_samples: BadSamples, say: Callable[[str], None]) -> Request:
        """How a dataset is asked for."""
        return Request(
            self.data_dir,
            self.download,
            fold,
            bad_samples,
            self.cache,
            say,
            self.memory_gb,
            self.num_workers,
        )

    @property
    def facts(self) -> Path:
        """Where facts about datasets are kept."""
        return self.cache / "facts"


@dataclass(frozen=True)
class DataSpec:
    """Which samples: a dataset under one of its folds, and how it is split.

    fingerprint   of the content; empty where the dataset is not on this disk, and then ids are empty too
    outputs       number of classes that an unlabelled dataset takes over from the teacher that is loaded
    """

    task: str
    dataset: str
    fold: str
    bad_samples: BadSamples
    split: SplitSettings
    fingerprint: str
    splits: SplitFacts
    outputs: int | None = None

    @property
    def title(self) -> str:
        """The dataset, with the fold where it has several."""
        return "/".join(filter(None, [self.dataset, self.fold]))


@dataclass(frozen=True)
class NetworkSpec:
    """An architecture and the modalities that it sees."""

    architecture: str
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class TeacherSpec:
    """One teacher: what it is, what it learnt from, and how.

    samples      checksum of the indices that it learns from
    checkpoint   the file that its weights come from, empty where it is trained; its checksum is in the id
    batch_parts  into how many parts a batch falls for its batch norms, where it is trained
    """

    task: str
    dataset: str
    architecture: str
    modalities: tuple[str, ...]
    recipe: Recipe
    seed: int
    kind: TeacherKind
    precision: Precision
    data_fingerprint: str
    samples: str
    checkpoint: str = ""
    checkpoint_checksum: str = ""
    batch_parts: int = 1

    @cached_property
    def id(self) -> str:
        identity = asdict(self) | {"numbers": NUMBERS}
        del identity["checkpoint"]
        if self.batch_parts == 1:
            del identity["batch_parts"]
        if self.checkpoint_checksum:
            del identity["recipe"], identity["samples"]
        elif self.kind == "untrained":  # its batch norms see batches of the samples
            identity["recipe"] = self.recipe.batch_size
        return content_hash(identity) if self.data_fingerprint else ""

    @property
    def slug(self) -> str:
        return f"{self.dataset}-{plain_name(self.architecture)}-seed{self.seed}-{self.id[:8]}"


@dataclass(frozen=True)
class RunSpec:
    """One student to train and evaluate: a baseline on a pair, under a condition, with a seed.

    recipe            what every run of its comparison trains by
    hyperparameters   all of them, resolved; `own_recipe.FIELD` where this baseline departs from the recipe
    stage_epochs      how long its first stages train, before the epochs of the recipe
    tuning            where its hyper-parameters come from; `trial` numbers those of a trial, out of `trials`
                      (not in the id), `selection` says how those of a tuned run were chosen
    batch_parts       into how many parts a batch falls for the statistics of batch norms
    overrides         what the user changed of them and of the recipes, as records show it; not in the id,
                      which holds the resolved values
    """

    data: DataSpec
    pair: str
    student: NetworkSpec
    teacher: TeacherSpec
    recipe: Recipe
    baseline: str
    hyperparameters: dict[str, Any]
    seed: int
    precision: Precision
    stage_epochs: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)
    tuning: records.Tuning = "default"
    trial: int = 0
    trials: int = 0
    selection: records.Selection | None = None
    batch_parts: int = 1

    @property
    def name(self) -> str:
        """What it is called among the runs of its cohort."""
        return {"default": "", "tuned": "tuned ", "trial": f"trial {self.trial} "}[
            self.tuning
        ] + self.baseline

    @property
    def own_recipe(self) -> Recipe:
        """The recipe with the fields in which this baseline departs from it."""
        own = {
            n.removeprefix(OWN_RECIPE): x for n, x in self.hyperparameters.items() if n.startswith(OWN_RECIPE)
        }
        return replace(self.recipe, **own)

    @property
    def distiller_arguments(self) -> dict[str, Any]:
        """The hyper-parameters that its distiller takes."""
        return {name: x for name, x in self.hyperparameters.items() if not name.startswith(OWN_RECIPE)}

    @property
    def updates(self) -> int | None:
        """How many steps its optimisers take, first stages included; None where the data is not here."""
        samples = self.data.splits.sizes.get("train")
        if samples is None:
            return None
        epochs = self.recipe.epochs + self.stage_epochs
        return epochs * steps_per_epoch(samples, self.recipe.batch_size)

    @cached_property
    def id(self) -> str:
        """The hash of what decides the numbers and what they are for; empty where the data is not here."""
        return content_hash(self._identity | {"tuning": self.tuning}) if self.data.fingerprint else ""

    @property
    def training_id(self) -> str:
        """The same for runs that train alike: a tuned one that was left at the default, and the default."""
        return content_hash(self._identity)

    @property
    def _identity(self) -> dict[str, Any]:
        """What decides the numbers."""
        data = self.data
        return {
            "numbers": NUMBERS,
            "task": data.task,
            "dataset": data.dataset,
            "data": data.fingerprint,
            "splits": [data.splits.checksums.get(name) for name in ("train", "labelled", "validation")],
            "student": [self.student.architecture, self.student.modalities],
            "teacher": self.teacher.id,
            "recipe": asdict(self.recipe),
            "baseline": self.baseline,
            "hyperparameters": self.hyperparameters,
            "seed": self.seed,
            "precision": self.precision,
            **({"batch_parts": self.batch_parts} if self.batch_parts > 1 else {}),
        }

    @property
    def slug(self) -> str:
        name = self.name.replace(" ", "_")
        return f"{self.data.dataset}-{plain_name(self.pair)}-{name}-seed{self.seed}-{self.id[:8]}"

    @property
    def key(self) -> records.Run:
        """Which run it is, as its record says it."""
        return records.Run(self.data.task, self.data.dataset, self.pair, self.baseline, self.seed)

    @property
    def condition(self) -> records.Condition:
        """What else decides its numbers, as its record says it."""
        teacher = self.teacher
        loaded = bool(teacher.checkpoint)
        return records.Condition(
            fold=self.data.fold,
            **asdict(self.data.split),
            teacher_seed=teacher.seed,
            epochs=self.recipe.epochs,
            updates=self.updates,
            batch_size=self.recipe.batch_size,
            teacher_epochs=None if loaded or teacher.kind == "untrained" else teacher.recipe.epochs,
            teacher_checkpoint=teacher.checkpoint.replace("\\", "/").rpartition("/")[2],
            precision=self.precision,
            batch_parts=self.batch_parts,
            tuning=self.tuning,
            overrides=dict(self.overrides),
        )


@dataclass(frozen=True)
class CohortSpec:
    """Runs that share teacher, data, condition and seed: trained in lockstep on one teacher pass.

    probes        whether their frozen features are probed when they are trained
    corruptions   whether they are tested on corrupted images too
    """

    runs: tuple[RunSpec, ...]
    probes: bool = True
    corruptions: bool = False

    def __post_init__(self) -> None:
        shared = [
            (r.data, r.pair, r.student, r.teacher, r.recipe, r.seed, r.precision, r.batch_parts)
            for r in self.runs
        ]
        if not shared or any(each != shared[0] for each in shared):
            raise ValueError("the runs of a cohort share everything but baseline and hyper-parameters")

    @property
    def data(self) -> DataSpec:
        return self.runs[0].data

    @property
    def pair(self) -> str:
        return self.runs[0].pair

    @property
    def student(self) -> NetworkSpec:
        return self.runs[0].student

    @property
    def teacher(self) -> TeacherSpec:
        return self.runs[0].teacher

    @property
    def recipe(self) -> Recipe:
        return self.runs[0].recipe

    @property
    def seed(self) -> int:
        return self.runs[0].seed

    @property
    def precision(self) -> Precision:
        return self.runs[0].precision

    @property
    def title(self) -> str:
        fraction = self.data.split.label_fraction
        labels = "" if fraction == 1 else f" labels {fraction:g}"
        return f"{self.data.task}/{self.data.title} {self.pair}{labels} seed {self.seed}"

    @property
    def teacher_title(self) -> str:
        return f"teacher {self.teacher.architecture} on {self.data.title}"


Spec = TypeVar("Spec", CohortSpec, RunSpec, TeacherSpec)


def to_json(spec: CohortSpec | RunSpec | TeacherSpec) -> str:
    """A spec as one line of JSON."""
    return json.dumps(dataclasses.asdict(spec), sort_keys=True)


def from_json(text: str, kind: type[Spec]) -> Spec:
    """The spec that `to_json` wrote, with the same id. Raises ValueError for anything else."""
    try:
        return msgspec.convert(json.loads(text), kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def content_hash(identity: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `identity` as canonical JSON."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain_name(name: str) -> str:
    """A name as part of a folder's name."""
    return "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name)
