"""How the losses that train here are computed on a golden file: one adapter per baseline.

An adapter takes a file's arrays and returns our values under the names that the file uses for its own.
Everything that may differ between files of a baseline (sizes, temperatures, bank size, number of negatives)
is read from the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.crd import CRD
from baselines.fitnet import FitNet, fitnet_loss
from baselines.kd import kd_loss
from benchmark import Context, Shapes
from benchmark.contracts import IGNORE

Arrays = Mapping[str, np.ndarray]
Adapter = Callable[[Arrays], dict[str, Tensor]]
ADAPTERS: dict[str, Adapter] = {}


def adapter(stem: str) -> Callable[[Adapter], Adapter]:
    """Registers an adapter for files named `stem`, or `stem` and then something that isn't a letter."""

    def register(function: Adapter) -> Adapter:
        ADAPTERS[stem] = function
        return function

    return register


def adapter_of(file_stem: str) -> Adapter | None:
    """The adapter with the longest matching stem: `crd` for crd and crd_b, none for crdx."""
    matching = [stem for stem in ADAPTERS if re.match(re.escape(stem) + r"(?![a-zA-Z])", file_stem)]
    return ADAPTERS[max(matching, key=len)] if matching else None


def tensor(arrays: Arrays, name: str, *, gradient: bool = False) -> Tensor:
    """An array as a tensor: float32 or int64."""
    array = np.asarray(arrays[name])
    value = torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
    return value.requires_grad_(gradient)


def parameters(arrays: Arrays, module: str) -> dict[str, Tensor]:
    """The state that a file stores for `module`: state key -> value."""
    prefix = f"param.{module}."
    return {key.removeprefix(prefix): tensor(arrays, key) for key in arrays if key.startswith(prefix)}


def gradients(
    loss: Tensor, inputs: Mapping[str, Tensor], modules: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """Our gradients under a file's names: `grad_<input>` and `grad_param.<module>.<state key>`."""
    targets = {f"grad_{name}": value for name, value in inputs.items()}
    for module_name, module in modules.items():
        targets |= {f"grad_param.{module_name}.{key}": value for key, value in module.named_parameters()}
    found = torch.autograd.grad(loss, list(targets.values()), allow_unused=True)
    return {
        name: torch.zeros_like(target) if gradient is None else gradient
        for (name, target), gradient in zip(targets.items(), found, strict=True)
    }


def context(student: dict[str, Any], teacher: dict[str, Any], num_samples: int = 1) -> Context:
    """A context with the given activation shapes and no usable label."""
    empty = {"logits": (1,), "embedding": (1,)}
    labels = torch.full((num_samples,), IGNORE)
    return Context(Shapes(**empty | teacher), Shapes(**empty | student), 1, num_samples, labels)


@adapter("kd")
def kd(arrays: Arrays) -> dict[str, Tensor]:
    student = tensor(arrays, "student_logits", gradient=True)
    loss = kd_loss(student, tensor(arrays, "teacher_logits"), float(arrays["hp.T"]))
    return {"loss": loss} | gradients(loss, {"student_logits": student}, {})


@adapter("fitnet")
def fitnet(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    state = parameters(arrays, "regressor")
    if not state:
        loss = fitnet_loss(student, teacher)
        return {"loss": loss} | gradients(loss, {"student_map_0": student}, {})
    shapes = context({"maps": (tuple(student.shape[1:]),)}, {"maps": (tuple(teacher.shape[1:]),)})
    regressor = FitNet(shapes, hint_layer=0).regressor
    regressor.load_state_dict(regressor.state_dict() | state)
    regressed = regressor(student)
    loss = fitnet_loss(regressed, teacher)
    values = {"loss": loss, "out_regressed": regressed}
    return values | gradients(loss, {"student_map_0": student}, {"regressor": regressor})


@adapter("crd")
def crd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_embedding", gradient=True), tensor(arrays, "teacher_embedding")
    distiller = CRD(
        context(
            {"embedding": tuple(student.shape[1:])},
            {"embedding": tuple(teacher.shape[1:])},
            int(arrays["hp.n_data"]),
        ),
        temperature=float(arrays["hp.T"]),
        dimension=int(arrays["hp.feat_dim"]),
        momentum=float(arrays["hp.momentum"]),
        negatives=int(arrays["hp.K"]),
    )
    distiller.embed_student.load_state_dict(parameters(arrays, "embed_s"))
    distiller.embed_teacher.load_state_dict(parameters(arrays, "embed_t"))
    memory = distiller.memory
    memory.student.copy_(tensor(arrays, "memory_v1"))
    memory.teacher.copy_(tensor(arrays, "memory_v2"))
    embedded = {"s": distiller.embed_student(student), "t": distiller.embed_teacher(teacher)}
    rows = tensor(arrays, "idx")
    scores = {
        "s": memory.scores(embedded["s"], "teacher", rows),
        "t": memory.scores(embedded["t"], "student", rows),
    }

    losses = distiller.contrast(student, teacher, rows)
    loss = losses["student"] + losses["teacher"]
    normalizer = {"s": memory.student_normalizer.clone(), "t": memory.teacher_normalizer.clone()}
    values = {"loss": loss, "loss_s": losses["student"], "loss_t": losses["teacher"]}
    for side in ("s", "t"):
        values[f"out_embed_{side}"] = embedded[side]
        values[f"out_{side}"] = (scores[side] / distiller.temperature).exp() / normalizer[side]
    values |= {"Z_v1": normalizer["s"], "Z_v2": normalizer["t"]}
    values |= {"updated_rows_v1": memory.student[rows[:, 0]], "updated_rows_v2": memory.teacher[rows[:, 0]]}
    modules = {"embed_s": distiller.embed_student, "embed_t": distiller.embed_teacher}
    values |= gradients(loss, {"student_embedding": student}, modules)
    if "idx_step2" in arrays:
        second = distiller.contrast(
            tensor(arrays, "student_embedding_step2"),
            tensor(arrays, "teacher_embedding_step2"),
            tensor(arrays, "idx_step2"),
        )
        values["loss_step2"] = second["student"] + second["teacher"]
    return values
