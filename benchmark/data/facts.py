"""What a plan needs to know of a dataset, found by loading it once and then kept beside the decoded data."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from benchmark.contracts import IGNORE, Data, DatasetCard, Request, Task
from benchmark.data.declared import check_declared
from benchmark.data.kept import Damaged, read_arrays, write_arrays
from benchmark.data.loading import stamps
from benchmark.data.split_settings import SplitFacts, SplitSettings
from benchmark.data.splits import make_splits
from benchmark.errors import UserError, reason_of

VERSION = 2
LIBRARIES = ("numpy", "torch", "torchvision", "torchaudio", "opencv-python-headless", "scipy")
"""Whose versions may change what is drawn or decoded."""


@dataclass(frozen=True)
class Facts:
    """A dataset without its samples.

    name      as the data calls itself
    outputs   how many classes it names; 0 where no sample has a label and none is known
    shapes    modality -> shape of a sample
    labelled  whether any training sample has a label
    source    under what its training labels are kept
    """

    name: str
    fingerprint: str
    outputs: int
    shapes: dict[str, tuple[int, ...]]
    labelled: bool
    num_test: int
    source: str


def load_dataset(task: Task, name: str, request: Request) -> Data:
    """A dataset of a task, by name, as its card declares it.

    Raises UserError for a mistake in its reader, too, with its place.
    """
    card = task.datasets()[name]
    try:
        data = card.load(request)
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"dataset {name} of task {task.name}: its reader raised {type(error).__name__} "
            f"({_place(error)}): {reason_of(error)}"
        ) from error
    if not isinstance(data, Data):
        raise UserError(f"dataset {name} of task {task.name}: its reader gave {type(data).__name__}, no Data")
    check_declared(f"dataset {name} of task {task.name}", data, card, request.say)
    return data


def _place(error: Exception) -> str:
    """File and line of the last call outside of Python's own and installed libraries."""
    libraries = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))
    calls = traceback.extract_tb(error.__traceback__)
    own = [call for call in calls if not call.filename.startswith((*libraries, "<"))] or calls
    return f"{own[-1].filename}, line {own[-1].lineno}"


def is_there(card: DatasetCard, request: Request) -> bool:
    """Whether the files of a dataset are where they are looked for; what is in them is another question."""
    try:
        return card.files is None or bool([*card.files(request)])
    except UserError:
        return False


class FactsCache:
    """The facts of datasets: from `folder` where they are current, else found by loading the dataset once."""

    def __init__(self, folder: Path | None, load: Callable[[Task, str, Request], Data] = load_dataset):
        self._folder, self._load = folder, load
        self._labels: dict[str, tuple[Tensor, Tensor | None]] = {}

    def facts(self, task: Task, name: str, request: Request) -> Facts:
        """The facts of a dataset of `task`. Raises UserError where it isn't there or can't be used."""
        card = task.datasets()[name]
        key = _key(task, name, card, request)
        file = None if key is None or self._folder is None else self._folder / f"{key}.npz"
        if file is not None and (found := _read(file, request.say)) is not None:
            facts, labels, groups = found
            self._labels[facts.source] = labels, groups
            return facts
        data = self._load(task, name, request)
        facts = Facts(
            data.name,
            data.fingerprint,
            len(data.classes),
            {modality: tuple(each.shape) for modality, each in data.modalities.items()},
            data.train.labelled,
            len(data.test),
            key or f"{task.name}/{name}/{request.fold}",
        )
        own = self._labels[facts.source] = _short_labels(data)
        if file is not None:
            _write(file, facts, *own)
        return facts

    def splits(self, facts: Facts, split: SplitSettings) -> SplitFacts:
        """Checksums and sizes of a dataset's splits. Raises UserError where it has too few samples."""
        labels, groups = self._labels[facts.source]
        drawn = make_splits(labels, groups, facts.name, split)
        parts = {
            "train": drawn.train,
            "labelled": drawn.labelled,
            "validation": drawn.validation,
            "teacher": drawn.teacher,
        }
        sizes = {name: len(part) for name, part in parts.items() if name != "labelled"}
        return SplitFacts(
            {name: _checksum(part) for name, part in parts.items()},
            sizes | {"test": facts.num_test},
            int(drawn.labelled.sum()),
            bool((labels[drawn.teacher] != IGNORE).any()),
        )

    def forget(self, dataset: str) -> None:
        """Drops what is kept of a dataset: it turned out to have changed."""
        for file in self._folder.glob(f"{dataset}-*") if self._folder is not None else ():
            with suppress(OSError):
                file.unlink()


def _key(task: Task, name: str, card: DatasetCard, request: Request) -> str | None:
    """The name under which facts are kept; None where nothing would tell that the data changed."""
    files: list[tuple[str, int, int]] = []
    if card.files is not None:
        try:
            here = os.getcwd()
            files = stamps((os.path.join(here, file) for file in card.files(request)), Path("/"))
        except UserError:
            if request.download:
                return None
            raise
    elif not card.synthetic:
        return None
    identity = {
        "version": VERSION,
        "task": task.name,
        "dataset": name,
        "fold": request.fold,
        "bad_samples": request.bad_samples,
        "files": files,
        "code": _code(task),
        "libraries": [version(library) for library in LIBRARIES],
    }
    return f"{name}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]}"


def _code(task: Task) -> str:
    """A checksum of the code that decides a dataset's content: the task's own, and that of our readers."""
    module = type(task).__module__.partition(".")[0]
    package = getattr(sys.modules.get(module), "__path__", ())
    folders = [Path(__file__).parent, *map(Path, package)]
    sources = {Path(inspect.getfile(type(task))), *(file for each in folders for file in each.rglob("*.py"))}
    digest = hashlib.sha256()
    for file in sorted(sources):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _checksum(index: Tensor) -> str:
    return hashlib.sha256(index.numpy().tobytes()).hexdigest()[:16]


def _short_labels(data: Data) -> tuple[Tensor, Tensor | None]:
    """Labels [N] and groups of the train samples; of dense labels [N, 1] whether any pixel has one."""
    labels = data.train.labels
    if data.dense:
        usable = (labels != IGNORE).flatten(1).any(1, keepdim=True)
        labels = torch.where(usable, 0, IGNORE)
    return labels, data.train.groups


def _read(file: Path, say: Callable[[str], None]) -> tuple[Facts, Tensor, Tensor | None] | None:
    """Facts, labels and groups of a file; None where there is none, or a damaged one, which is named."""
    try:
        arrays = read_arrays(file)
        if arrays is None:
            return None
        facts = msgspec.convert(json.loads(str(arrays["facts"])), Facts)
        groups = torch.from_numpy(arrays["groups"]) if "groups" in arrays else None
        return facts, torch.from_numpy(arrays["labels"]), groups
    except (Damaged, KeyError, TypeError, ValueError) as damage:
        say(f"{file}: {damage}; the data is looked at again")
        return None


def _write(file: Path, facts: Facts, labels: Tensor, groups: Tensor | None) -> None:
    """A cache that can't be written is no error."""
    arrays = {"facts": np.array(json.dumps(asdict(facts))), "labels": labels.numpy()}
    with suppress(OSError):
        write_arrays(file, arrays | ({} if groups is None else {"groups": groups.numpy()}))
