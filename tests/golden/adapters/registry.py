"""What golden adapters are made of: a register of them, and how a file's arrays become tensors.

An adapter takes a file's arrays and returns our values under the names that the file uses for its own.
Everything that may differ between files of a baseline (sizes, temperatures, bank size, number of negatives)
is read from the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark import Context, Shapes
from benchmark.contracts import IGNORE

Arrays = Mapping[str, np.ndarray]
Adapter = Callable[[Arrays], dict[str, Tensor]]
ADAPTERS: dict[str, Adapter] = {}
TOLERANCE = 1e-4
GRADIENT_TOLERANCES: dict[str, float] = {}


def adapter(stem: str, *, tolerance: float = TOLERANCE) -> Callable[[Adapter], Adapter]:
    """Registers an adapter for files named `stem`, or `stem` and then something that isn't a letter.

    tolerance   of gradients, relative to the largest reference value; everything else has the common one
    """

    def register(function: Adapter) -> Adapter:
        ADAPTERS[stem] = function
        GRADIENT_TOLERANCES[stem] = tolerance
        return function

    return register


def adapter_of(file_stem: str) -> Adapter | None:
    """The adapter with the longest matching stem: `crd` for crd and crd_b, none for crdx."""
    return ADAPTERS.get(_stem(file_stem))


def tolerance_of(file_stem: str, quantity: str) -> float:
    """The largest relative error that a quantity of that file may have."""
    return GRADIENT_TOLERANCES[_stem(file_stem)] if quantity.startswith("grad_") else TOLERANCE


def _stem(file_stem: str) -> str:
    matching = [stem for stem in ADAPTERS if re.match(re.escape(stem) + r"(?![a-zA-Z])", file_stem)]
    return max(matching, key=len, default="")


def tensor(arrays: Arrays, name: str, *, gradient: bool = False) -> Tensor:
    """An array as a tensor: float32 or int64."""
    array = np.asarray(arrays[name])
    value = torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
    return value.requires_grad_(gradient)


def maps(arrays: Arrays, side: str, *, gradient: bool = False) -> list[Tensor]:
    """The maps of "student" or "teacher", in order: `student_map_0`, `student_map_1`, ..."""
    count = sum(re.fullmatch(rf"{side}_map_\d+", name) is not None for name in arrays)
    return [tensor(arrays, f"{side}_map_{i}", gradient=gradient) for i in range(count)]


def parameters(arrays: Arrays, module: str) -> dict[str, Tensor]:
    """The state that a file stores for `module`: state key -> value."""
    prefix = f"param.{module}."
    return {key.removeprefix(prefix): tensor(arrays, key) for key in arrays if key.startswith(prefix)}


def gradients(
    loss: Tensor,
    inputs: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    names: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """Our gradients under a file's names: `grad_<input>` and `grad_param.<module>.<state key>`.

    names   our names -> the file's, where they differ
    """
    targets = {f"grad_{name}": value for name, value in inputs.items()}
    for module_name, module in modules.items():
        targets |= {f"grad_param.{module_name}.{key}": value for key, value in module.named_parameters()}
    found = torch.autograd.grad(loss, list(targets.values()), allow_unused=True)
    return {
        (names or {}).get(name, name): torch.zeros_like(target) if gradient is None else gradient
        for (name, target), gradient in zip(targets.items(), found, strict=True)
    }


def load_in_order(module: nn.Module, arrays: Arrays, name: str) -> dict[str, str]:
    """Fills a module whose keys differ from the file's, parameter by parameter, in the order of both.

    Returns our names of gradients -> the file's, for `gradients`.
    """
    stored = parameters(arrays, name)
    names = {}
    with torch.no_grad():
        for (own, parameter), (theirs, value) in zip(module.named_parameters(), stored.items(), strict=True):
            if parameter.shape != value.shape:
                raise ValueError(f"{name}.{theirs} is {tuple(value.shape)}, ours {tuple(parameter.shape)}")
            parameter.copy_(value)
            names[f"grad_param.{name}.{own}"] = f"grad_param.{name}.{theirs}"
    return names


def of_maps(
    loss: Tensor,
    student_maps: Sequence[Tensor],
    modules: Mapping[str, nn.Module] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """The loss and its gradients with respect to the student's maps and the modules' parameters."""
    inputs = {f"student_map_{i}": each for i, each in enumerate(student_maps)}
    return {"loss": loss} | gradients(loss, inputs, modules or {}, names)


def context(student: dict[str, Any], teacher: dict[str, Any], num_samples: int = 1) -> Context:
    """A context with the given activation shapes and no usable label."""
    empty = {"logits": (1,), "embedding": (1,)}
    labels = torch.full((num_samples,), IGNORE)
    return Context(Shapes(**empty | teacher), Shapes(**empty | student), 1, num_samples, labels)
