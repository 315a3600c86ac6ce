"""What data is to a task and to the engine: samples, loaded datasets, cards of datasets; no torch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Generator, Tensor

IGNORE = -1
"""The label of a sample (or of a pixel) that no loss and no metric may use."""

BadSamples = Literal["stop", "skip"]
TeacherData = Literal["shared", "disjoint"]


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


class Source(ABC):
    """Samples on disk, of which one is read at a time. A reader of a large dataset derives from it.

    Worker processes get a copy: an instance holds paths and numbers, and nothing that is open.
    """

    @abstractmethod
    def read(self, row: int, names: frozenset[str], draw: Generator | None) -> Mapping[str, Tensor]:
        """The raw values [C, *space] of these modalities of the sample number `row`.

        draw   what random crops are drawn from, one crop for all modalities; None: as evaluation sees it

        Raises UserError where the sample can't be read.
        """


@dataclass(frozen=True)
class Stored:
    """Modalities that are read when a batch needs them.

    names     what there is of every sample
    rows      [N] int64: which samples of the source these are
    workers   how many processes read ahead; 0: this one reads
    """

    source: Source
    names: frozenset[str]
    rows: Tensor
    workers: int = 0

    def at(self, index: Tensor) -> Stored:
        """The samples at `index` [M], in that order; nothing is read."""
        return replace(self, rows=self.rows[index])


@dataclass(frozen=True)
class Samples:
    """A set of samples: in memory, or read from disk batch by batch. Labels are in memory either way.

    modalities   name -> [N, C, *space], or where they are read from
    labels       [N] int64, or a mask [N, H, W] int64 for dense tasks; IGNORE where there is no label
    groups       [N] int64: the subject or scene of a sample; None where there is none. The halves of a
                 disjoint teacher and the bootstrap keep them whole, validation does not
    """

    modalities: Mapping[str, Tensor] | Stored
    labels: Tensor
    groups: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> frozenset[str]:
        """Of the modalities."""
        return self.modalities.names if isinstance(self.modalities, Stored) else frozenset(self.modalities)

    @property
    def labelled(self) -> bool:
        """Whether any sample, or any pixel, has a label."""
        return bool((self.labels != IGNORE).any())

    def subset(self, index: Tensor) -> Samples:
        """The samples at `index` [M], in that order."""
        groups = None if self.groups is None else self.groups[index]
        if isinstance(self.modalities, Stored):
            return Samples(self.modalities.at(index), self.labels[index], groups)
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
    memory_gb     what the samples may take in memory; those of a larger dataset stay on disk, if its reader
                  can leave them there
    num_workers   how many processes then read ahead
    """

    data_dir: Path | None = None
    download: bool = False
    fold: str = ""
    bad_samples: BadSamples = "stop"
    cache: Path | None = None
    say: Callable[[str], None] = print
    memory_gb: float = math.inf
    num_workers: int = 0


@dataclass(frozen=True)
class DatasetCard:
    """A dataset as `--list` shows it and as the engine loads it.

    load(request) -> Data; raises UserError that names what is missing and the layouts expected
    requires   what it needs on disk, in words; empty for embedded data
    folds      names of its protocols (ways to divide train from test), the default first; empty: only one
    shapes     modality -> its shape without the batch axis, as far as it is known before anything is loaded:
               what --list needs to say which baselines apply
    files      (request) -> the files that load would read, so that a plan knows whether they changed without
               opening them; raises the UserError of load where some are missing; None for embedded data
    """

    title: str
    load: Callable[[Request], Data]
    synthetic: bool
    requires: str = ""
    folds: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    files: Callable[[Request], Iterable[Path]] | None = None


@dataclass(frozen=True)
class Target:
    """Another question that frozen features are probed with: labelled samples to fit on and to test on.

    Their modalities have the names, shapes and units of the dataset that the networks were trained on; one
    that only the teacher sees may be missing. Labels are [N] int64.
    """

    train: Samples
    test: Samples


def deferred(module: str, function: str, *arguments: Any) -> Callable[..., Any]:
    """`function` of `module` with these first arguments, imported when it is called.

    What loads a dataset needs libraries that take seconds to import; cards and lists do not.
    """

    def call(*further: Any) -> Any:
        return getattr(import_module(module), function)(*arguments, *further)

    return call
