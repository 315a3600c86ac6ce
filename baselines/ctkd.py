"""Curriculum temperature: KD whose temperature learns to make the task harder (Li et al., AAAI 2023)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from baselines._logits import LogitDistiller
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def temperature_of(theta: Tensor, lowest: float, span: float) -> Tensor:
    """lowest + span * sigmoid(theta), of theta's shape (authors' code).

    theta is a scalar tensor [] or has a value per row, [R].
    """
    return lowest + span * theta.sigmoid()


def curriculum_kd_loss(student: Tensor, teacher: Tensor, temperature: Tensor) -> Tensor:
    """`kd_loss` at a temperature that learns: its gradient comes through T^2 too; logits [R, K], T scalar.

    Source: authors' code.
    """
    ours, theirs = student.float() / temperature, teacher.float() / temperature
    return temperature.square() * kd_loss(ours, theirs, 1.0)


def reversal(progress: Progress, share: float, strength: float) -> float:
    """lambda, from 0 down to -strength along half a cosine over the first `share` of training."""
    return -strength * (1 - math.cos(math.pi * progress.rise(share))) / 2


def scaled_gradient(value: Tensor, factor: float) -> Tensor:
    """`value` itself, whose gradient is multiplied by `factor` on its way back.

    value [...] of any shape; with a negative factor the gradient reversal of Ganin et al. 2016.
    """
    fixed = value.detach()
    return fixed + factor * (value - fixed)


@baseline("ctkd", title="CTKD", paper="Li et al., AAAI 2023", arxiv="2211.16231")
class CTKD(LogitDistiller):
    """loss = 0.1 * cross-entropy + 0.9 * curriculum_kd_loss, T = 1 + 20 * sigmoid(theta), theta 1 at first.

    One temperature for all samples (the paper's global form), 15.6 at first. Its gradient is multiplied by
    lambda <= 0, so that it climbs the loss that the student descends; lambda goes from 0 to -1 in 10 of 240
    epochs (step by step here; epoch by epoch, at the epoch's end, in the authors' code). theta is trained by
    the student's optimiser with its weight decay, as there.
    """

    in_composition = {"task_weight": 1.0, "weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, KD: 0.9")] = 0.9,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, KD: 0.1")] = 0.1,
        lowest: Annotated[float, Range(0.5, 5, log=True, source="authors' code, t_start 1")] = 1.0,
        span: Annotated[float, Range(1, 40, log=True, source="authors' code, t_end 20")] = 20.0,
        strength: Annotated[float, Range(0, 4, source="authors' code, decay_min -1")] = 1.0,
        warmup: Annotated[float, Range(0, 0.5, source="authors' code, 10 of 240 epochs")] = 10 / 240,
        **options: bool,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        self.weight, self.lowest, self.span = weight, lowest, span
        self.strength, self.warmup = strength, warmup
        self.theta = nn.Parameter(torch.ones(()))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = self.rows(teacher, student, batch)
        theta = scaled_gradient(self.theta, reversal(progress, self.warmup, self.strength))
        temperature = temperature_of(theta, self.lowest, self.span)
        return {"kd": self.weight * curriculum_kd_loss(ours, theirs, temperature)}
