"""SRD: batch-normalised embeddings, a linear projector, the logarithm of their distance (Miles et al.)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline

NORM_EPSILON = 1e-4
EPSILON = 1e-12


def srd_loss(student: Tensor, teacher: Tensor, exponent: float) -> Tensor:
    """log sum_bd |n(s) - n(t)|^exponent, n the batch norm without affine part; embeddings [B, D], float32.

    The sum runs over the batch, too. Both sides are normalised by the batch's own statistics (epsilon 1e-4);
    1e-12 is added to the sum, so that equal embeddings have a finite loss. Source: authors' code, ImageNet.
    """
    ours, theirs = (
        F.batch_norm(each.float(), None, None, training=True, eps=NORM_EPSILON) for each in (student, teacher)
    )
    return ((ours - theirs).abs().pow(exponent).sum() + EPSILON).log()


@baseline("srd", title="SRD", paper="Miles and Mikolajczyk, AAAI 2024", arxiv="2303.11098")
class SRD(Distiller):
    """loss = cross-entropy + 2 * srd_loss of the mean last maps + 1 * kd_loss at T = 1.

    The student's mean passes a linear projector first. Weights, exponent and temperature are those of the
    authors' code for ImageNet. The first term is a logarithm: it may be negative.
    """

    needs = frozenset({"logits", "maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 20, log=True, source="authors' code, ImageNet: 2")] = 2.0,
        logit_weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, ImageNet: 1")] = 1.0,
        exponent: Annotated[float, Range(2, 8, log=True, source="authors' code, ImageNet: 4")] = 4.0,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code, ImageNet: T 1")] = 1.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.logit_weight = weight, logit_weight
        self.exponent, self.temperature = exponent, temperature
        self.project = nn.Linear(context.student.maps[-1][0], context.teacher.maps[-1][0])

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = logit_rows(teacher, student, batch)
        with torch.autocast(student.logits.device.type, enabled=False):
            projected = self.project(mean_feature(student))
        return {
            "representation": self.weight * srd_loss(projected, mean_feature(teacher), self.exponent),
            "logit": self.logit_weight * kd_loss(ours, theirs, self.temperature),
        }


def mean_feature(shown: Activations) -> Tensor:
    """The mean over space of the last map behind its non-linearity, [B, C], float32."""
    return shown.last_feature.float().flatten(2).mean(2)
