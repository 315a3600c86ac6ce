"""What a task is written against: pairs with recipes, presets, and its base class; no torch."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from benchmark.contracts.data import Data, DatasetCard, Request, Target, TeacherData

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["steps", "cosine"]


def check_choice(what: str, value: object, kind: Any) -> None:
    """Raises ValueError where `value` is none of those that the Literal `kind` allows."""
    if value not in get_args(kind):
        allowed = ", ".join(each or "'' (none)" for each in get_args(kind))
        raise ValueError(f"{what} is {value!r}: choose one of {allowed}")


def _is_number(value: object) -> bool:
    """Whether it is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; milestones and warm-up are shares of it, so that epochs may change.

    first_stage_rate   the constant rate of a baseline's first stages; None: the learning rate

    Raises ValueError for a value that no training could have.
    """

    epochs: int
    batch_size: int = 64
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: Schedule = "steps"
    milestones: tuple[float, ...] = (150 / 240, 180 / 240, 210 / 240)
    decay: float = 0.1
    warmup: float = 0.0
    first_stage_rate: float | None = None

    def __post_init__(self) -> None:
        for name, kind in (("optimizer", Optimizer), ("schedule", Schedule)):
            check_choice(f"{name} of a recipe", getattr(self, name), kind)
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
                raise ValueError(f"{name} of a recipe is {value!r}: give a whole number from 1 up")
        for name, low, high in (
            ("learning_rate", 0.0, float("inf")),
            ("momentum", 0.0, 1.0),
            ("weight_decay", 0.0, float("inf")),
            ("decay", 0.0, 1.0),
            ("warmup", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not _is_number(value) or not low <= value <= high:
                raise ValueError(f"{name} of a recipe is {value!r}: give a number from {low:g} to {high:g}")
            object.__setattr__(self, name, float(value))  # 0 and 0.0 are one recipe, and one id
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("momentum of a recipe is 0, and nesterov is true: give nesterov=false")
        rate = self.first_stage_rate
        if rate is not None:
            if not _is_number(rate) or rate < 0:
                raise ValueError(f"first_stage_rate of a recipe is {rate!r}: give a number from 0, or none")
            object.__setattr__(self, "first_stage_rate", float(rate))
        if not all(_is_number(each) and 0 <= each <= 1 for each in self.milestones):
            raise ValueError(
                f"milestones of a recipe are {self.milestones!r}: give shares of the training, from 0 to 1"
            )
        object.__setattr__(self, "milestones", tuple(map(float, self.milestones)))


@dataclass(frozen=True)
class PublishedSettings:
    """Hyper-parameters that a method's authors (or the `source` named) give for a pair."""

    values: Mapping[str, Any]
    source: str


@dataclass(frozen=True)
class Pair:
    """A teacher and a student architecture, the modalities that each sees, and their recipes.

    hyperparameters   baseline -> values published for this pair; they beat the baseline's own defaults. A
                      composition's own (`a+b` -> `a.weight`, ...) beat those of its parts
    """

    teacher: str
    student: str
    recipe: Recipe
    teacher_recipe: Recipe
    teacher_modalities: tuple[str, ...]
    student_modalities: tuple[str, ...]
    hyperparameters: Mapping[str, PublishedSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """What a task runs when the command line leaves it open.

    teacher_data   None: "disjoint" where labels are few, so that the teacher can't hand hidden ones over
    """

    datasets: tuple[str, ...]
    pairs: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int | None = None
    teacher_epochs: int | None = None
    batch_size: int | None = None
    train_samples: int | None = None
    teacher_samples: int | None = None
    label_fraction: float = 1.0
    validation: float = 0.1
    teacher_data: TeacherData | None = None


class Task(ABC):
    """A task plugin: a question with data. Registered with @task(name, title=...)."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def datasets(self) -> dict[str, DatasetCard]:
        """Dataset name -> its card."""

    @abstractmethod
    def pairs(self, dataset: str) -> dict[str, Pair]:
        """Pair name -> pair, for one dataset."""

    @abstractmethod
    def presets(self) -> dict[str, Preset]:
        """ "quick", "standard" and "paper"."""

    def custom_pair(self, dataset: str, name: str) -> Pair | None:
        """A pair that is not in `pairs` but that `name` describes; None where it describes none."""
        return None

    def transfer(self, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        """Target name -> its loader, for the transfer probes of networks trained on `data`; here none.

        Only what is there: a dataset that `request.data_dir` lacks is left out, not an error.
        """
        return {}

    def metrics(self, data: Data) -> Any:
        """The torchmetrics MetricCollection that test and validation are scored by, the primary metric first.

        None: top-1 and top-5 accuracy; mean intersection over union and pixel accuracy for dense labels.
        """
        return None
