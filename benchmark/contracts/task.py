"""What a task is written against: samples, data, pairs with recipes, and the class that it derives from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from benchmark.contracts.distiller import IGNORE


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; milestones and warm-up are shares of it, so that epochs may change."""

    epochs: int
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: str = "steps"
    milestones: tuple[float, ...] = (150 / 240, 180 / 240, 210 / 240)
    decay: float = 0.1
    warmup: float = 0.0


@dataclass(frozen=True)
class Modality:
    """A named tensor of a sample: its shape without the batch axis, and how it is brought to the networks'
    scale.

    Networks see (x / scale - mean) / std, per channel; `spatial` says that its last two axes are the rows
    and columns of the scene, so that the joint crop and flip move it.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1.0
    spatial: bool = True


@dataclass(frozen=True)
class Samples:
    """A set of samples in memory.

    modalities   name -> [N, C, *space]
    labels       [N] int64, or a mask [N, H, W] int64 for dense tasks; IGNORE where there is no label
    groups       [N] int64: the subject or scene that a sample must not be torn from; None where there is none
    """

    modalities: Mapping[str, Tensor]
    labels: Tensor
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> bool:
        """Whether any sample, or any pixel, has a label."""
        return bool((self.labels != IGNORE).any())

    def subset(self, index: Tensor) -> Samples:
        """The samples at `index` [M], in that order."""
        groups = None if self.groups is None else self.groups[index]
        return Samples({name: x[index] for name, x in self.modalities.items()}, self.labels[index], groups)


@dataclass(frozen=True)
class Data:
    """A loaded dataset: what there is to train on, what to test on, and how to look at it.

    classes       their names, one per logit; empty where no sample has a label and none is known
    fingerprint   content hash of everything that decides the samples; part of every run's id
    pad           how far the random crop may shift a sample, in pixels (0: no crop); flip: mirror left and
                  right
    fold          which of the dataset's protocols divided train from test; empty where there is only one
    """

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    modalities: Mapping[str, Modality]
    fingerprint: str
    synthetic: bool
    pad: int = 0
    flip: bool = False
    fold: str = ""

    @property
    def dense(self) -> bool:
        """Whether every pixel has a label of its own."""
        return self.train.labels.ndim > 1


@dataclass(frozen=True)
class Request:
    """How a dataset is asked for.

    data_dir      the folder of real datasets (--data-dir), or None
    download      whether it may be fetched into data_dir
    fold          one of the card's folds; empty where it has none
    bad_samples   "stop" at the first sample that can't be used, or "skip" it with a counted warning
    cache         the folder where decoded and rendered data is kept between commands; None: nothing is kept
    say           takes one line for the user
    """

    data_dir: Path | None = None
    download: bool = False
    fold: str = ""
    bad_samples: str = "stop"
    cache: Path | None = None
    say: Callable[[str], None] = print


@dataclass(frozen=True)
class DatasetCard:
    """A dataset as `--list` shows it and as the engine loads it.

    load(request) -> Data; raises UserError that names what is missing and the layouts expected
    requires   what it needs on disk, in words; empty for embedded data
    folds      names of its protocols (ways to divide train from test), the default first; empty: only one
    shapes     modality -> its shape without the batch axis, as far as it is known before anything is loaded:
               what --list needs to say which baselines apply
    """

    title: str
    load: Callable[[Request], Data]
    synthetic: bool
    requires: str = ""
    folds: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Another question that frozen features are probed with: labelled samples to fit on and to test on.

    Their modalities have the names, shapes and units of the dataset that the networks were trained on; one
    that only the teacher sees may be missing. Labels are [N] int64.
    """

    train: Samples
    test: Samples


@dataclass(frozen=True)
class Pair:
    """A teacher and a student architecture, the modalities that each sees, and their recipes.

    hyperparameters   baseline -> values published for this pair; they beat the baseline's own defaults
    """

    teacher: str
    student: str
    recipe: Recipe
    teacher_recipe: Recipe
    teacher_modalities: tuple[str, ...]
    student_modalities: tuple[str, ...]
    hyperparameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """What a task runs when the command line leaves it open."""

    datasets: tuple[str, ...]
    pairs: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int | None = None
    teacher_epochs: int | None = None
    batch_size: int | None = None
    train_samples: int | None = None
    teacher_samples: int | None = None
    label_fraction: float = 1.0
    validation: float = 0.1
    teacher_data: str = "shared"


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
        """The torchmetrics MetricCollection that test and validation are scored by, the headline first.

        Here top-1 and top-5 accuracy; mean intersection over union and pixel accuracy for dense labels.
        """
        from benchmark.evaluation.accuracy import default_metrics

        return default_metrics(data)
