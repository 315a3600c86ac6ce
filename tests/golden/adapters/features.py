"""Golden adapters of the later methods on features: OFD, ReviewKD, WKD-F."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines._maps import pool_to
from baselines.ofd import connector, layer_weights, margins, ofd_loss
from baselines.reviewkd import ReviewKD, hcl_loss
from baselines.wkd_f import wkd_f_losses
from tests.golden.adapters.registry import (
    Arrays,
    adapter,
    context,
    gradients,
    load_in_order,
    maps,
    of_maps,
    tensor,
)


@adapter("ofd")
def ofd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    values, layers, modules, names = {}, [], {}, {}
    for number, (weight, ours, theirs) in enumerate(
        zip(layer_weights(len(student)), student, teacher, strict=True)
    ):
        norm = (tensor(arrays, f"teacher_bn_{part}_{number}") for part in ("weight", "bias"))
        margin = values[f"out_margin_{number}"] = margins(*norm)
        name = f"connectors.connectors.{number}"
        modules[name] = connector(tuple(ours.shape[1:]), tuple(theirs.shape[1:]))
        names |= load_in_order(modules[name], arrays, name)
        layers.append(weight * ofd_loss(modules[name](ours), pool_to(theirs, ours.shape[2:]), margin))
    return values | of_maps(torch.stack(layers).sum(), student, modules, names)


@adapter("reviewkd")
def reviewkd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    embedding = tensor(arrays, "student_embedding", gradient=True)
    theirs = tensor(arrays, "teacher_embedding")
    distiller = ReviewKD(
        context(_shapes(student, embedding), _shapes(teacher, theirs)), weight=1.0, warmup=0.0
    )
    modules = {f"abfs.{number}": each for number, each in enumerate(distiller.fusions)}
    names = {}
    for name, module in modules.items():
        names |= load_in_order(module, arrays, name)
    fused = distiller.fused([*student, embedding[:, :, None, None]])
    targets = [*teacher, theirs[:, :, None, None]]
    loss = torch.stack([hcl_loss(*pair) for pair in zip(fused, targets, strict=True)]).sum()
    inputs = {f"student_map_{i}": each for i, each in enumerate(student)}
    found = gradients(loss, inputs | {"student_embedding": embedding}, modules, names)
    return {"loss": loss} | found


@adapter("reviewkd_hcl")
def reviewkd_hcl(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    pairs = zip(student, teacher, strict=True)
    return of_maps(torch.stack([hcl_loss(*pair) for pair in pairs]).sum(), student)


@adapter("wkd_f")
def wkd_f(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    mean, deviation = wkd_f_losses(student, teacher, int(arrays["hp.grid"]))
    loss = float(arrays["hp.mean_cov_ratio"]) * mean + deviation
    return {"loss_mean": mean, "loss_std": deviation} | of_maps(loss, [student])


def _shapes(features: list[Tensor], embedding: Tensor) -> dict[str, tuple]:
    """A context's shapes: the file has no stem, which nothing reads."""
    shapes = [tuple(each.shape[1:]) for each in features]
    return {"maps": (shapes[0], *shapes), "embedding": tuple(embedding.shape[1:])}
