"""Golden adapters of the methods on maps that the CRD benchmark compares."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.at import at_loss
from tests.golden.adapters.registry import Arrays, adapter, gradients, maps


@adapter("at")
def at(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    layers = [at_loss([s], [t]) for s, t in zip(student, teacher, strict=True)]
    loss = at_loss(student, teacher)
    inputs = {f"student_map_{i}": each for i, each in enumerate(student)}
    return {"loss": loss, "loss_per_layer": torch.stack(layers)} | gradients(loss, inputs, {})
