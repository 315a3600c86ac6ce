"""Networks by name: `build("resnet8", [(3, 32, 32)], 10)`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from benchmark.errors import UserError, unknown
from benchmark.models.checkpoints import load_checkpoint, read_checkpoint
from benchmark.models.network import Network
from benchmark.plugins import registry

__all__ = ["Builder", "Network", "architecture", "architectures", "build", "load_checkpoint", "outputs_of"]

Builder = Callable[[Sequence[tuple[int, ...]], int], nn.Module]
"""(input shapes without the batch axis, one per modality; number of classes) -> network.

A module that is no Network is taken for an image classifier, and adapted (see `adapters`)."""

LIBRARIES = ("torchvision", "timm")
"""Prefixes of names whose networks are another library's."""


def architecture(name: str) -> Callable[[Builder], Builder]:
    """Registers a builder of networks under `name`. ValueError where another file has taken it."""

    def register(builder: Builder) -> Builder:
        found = registry.architectures.get(name, builder)
        if _file(found) != _file(builder):
            raise ValueError(
                f"architecture {name!r} is registered twice: in {_file(found)} and in {_file(builder)}"
            )
        registry.architectures[name] = builder
        return builder

    return register


def _file(builder: Builder) -> str:
    return getattr(getattr(builder, "__code__", None), "co_filename", type(builder).__module__)


def architectures() -> tuple[str, ...]:
    """The names of all registered architectures; torchvision and timm add theirs, behind a prefix."""
    # Imported at first use, because these modules import `architecture` from here.
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        import_module(module.name)
    return tuple(registry.architectures)


def is_architecture(name: str) -> bool:
    """Whether `build` would look for a network of this name (a library's own models are not asked for)."""
    return name in architectures() or name.partition(":")[0] in LIBRARIES


def teacher_and_student(name: str) -> tuple[str, str] | None:
    """The two architectures that TEACHER-STUDENT names, or None: what a task makes a pair of that it doesn't
    have."""
    teacher, dash, student = name.partition("-")
    return (teacher, student) if dash and is_architecture(teacher) and is_architecture(student) else None


def module_of(name: str) -> str:
    """The module that registered an architecture; empty for those of torchvision and timm."""
    return "" if name not in architectures() else str(getattr(registry.architectures[name], "__module__", ""))


def build(
    name: str, shapes: Sequence[tuple[int, ...]], num_classes: int, modalities: Sequence[str] = ()
) -> Network:
    """Builds an untrained network.

    name         a registered architecture, `torchvision:<model>` or `timm:<model>`
    shapes       of its inputs, without the batch axis, in the pair's order
    modalities   what these inputs are called in a batch

    Raises UserError for an unknown name, and for inputs that the architecture can't take.
    """
    library, separator, model = name.partition(":")
    if separator and library in LIBRARIES:
        adapters = import_module("benchmark.models.adapters")
        make = adapters.from_torchvision if library == "torchvision" else adapters.from_timm
        network = make(model, shapes, num_classes)
    else:
        known = architectures()
        if name not in known:
            raise unknown("architecture", name, known)
        built = registry.architectures[name](shapes, num_classes)
        network = built if isinstance(built, Network) else _adapted(name, built, shapes)
    network.modalities = tuple(modalities)
    return network


@contextmanager
def kept_random_state() -> Iterator[None]:
    """torch's global random state is afterwards what it was before."""
    with torch.random.fork_rng(devices=[]):
        yield


def _adapted(name: str, module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> Network:
    adapters = import_module("benchmark.models.adapters")
    return adapters.adapted(name, module, shapes)


def outputs_of(file: Path, name: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """How many classes the checkpoint of an architecture was trained for, by the shape of its classifier.

    Raises UserError for a file that can't be read or that isn't of this architecture.
    """
    with kept_random_state():  # a plan draws nothing from it
        one, two = (build(name, shapes, classes).state_dict() for classes in (1, 2))
    weights = read_checkpoint(file)
    for key, value in one.items():
        # The classifier's tensors are those whose first axis follows the number of classes.
        found = weights.get(key, weights.get(key.removeprefix("model.")))
        if value.shape[:1] != two[key].shape[:1] and found is not None and found.ndim:
            return len(found)
    raise UserError(f"{file} does not fit {name}: it has no weights of its classifier")
