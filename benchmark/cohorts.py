"""What a command consists of: teachers, runs and cohorts, each with the hash of what decides its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmark.contracts import Data, DatasetCard, Pair, Recipe, Target, Task
from benchmark.data.splits import Splits
from benchmark.plugins import Baseline

NUMBERS = 1
"""Raised when a change of the engine changes the numbers: old records are not taken for new ones."""


Loader = Callable[[], Target]
"""Loads a transfer target when it is first asked for."""


@dataclass(frozen=True)
class TeacherSpec:
    """One teacher: what it is, what it learnt from, and how."""

    task: str
    dataset: str
    architecture: str
    modalities: tuple[str, ...]
    recipe: Recipe
    seed: int
    kind: str
    precision: str
    data_fingerprint: str
    samples: str
    checkpoint: Path | None = None
    checkpoint_checksum: str = ""

    @property
    def id(self) -> str:
        identity = asdict(self) | {"numbers": NUMBERS}
        del identity["checkpoint"]
        if self.checkpoint_checksum or self.kind == "untrained":
            del identity["recipe"], identity["samples"]
        return content_hash(identity)

    @property
    def slug(self) -> str:
        return f"{self.dataset}-{_plain(self.architecture)}-seed{self.seed}-{self.id[:8]}"


@dataclass(frozen=True)
class Run:
    """One student to train and evaluate: a baseline on a pair, under a condition, with a seed."""

    task: str
    dataset: str
    pair: str
    baseline: str
    seed: int
    condition: dict[str, Any]
    hyperparameters: dict[str, Any]
    parts: tuple[Baseline, ...]
    order: int
    id: str

    @property
    def code_checksum(self) -> str:
        """Which version of the baselines' files this run would be trained with."""
        return "+".join(part.code_checksum for part in self.parts)

    @property
    def slug(self) -> str:
        return f"{self.dataset}-{_plain(self.pair)}-{self.baseline}-seed{self.seed}-{self.id[:8]}"


@dataclass(frozen=True)
class Cohort:
    """Runs that share teacher, data, condition and seed: trained in lockstep on one teacher pass.

    targets   what frozen features are probed with beside the dataset's own question; None: no probes at all
    """

    task: Task
    card: DatasetCard
    data: Data
    splits: Splits
    pair_name: str
    pair: Pair
    recipe: Recipe
    teacher: TeacherSpec
    seed: int
    precision: str
    runs: tuple[Run, ...]
    targets: Mapping[str, Loader] | None = None

    @property
    def title(self) -> str:
        fraction = self.runs[0].condition["label_fraction"] if self.runs else 1.0
        labels = "" if fraction == 1 else f" labels {fraction:g}"
        return f"{self.task.name}/{self.data.name} {self.pair_name}{labels} seed {self.seed}"


def content_hash(identity: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `identity` as canonical JSON."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.+" else "_" for c in name)
