"""A comprehensive overhaul of feature distillation: margins before the rectifier (Heo et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from baselines._maps import check_same_stages, pool_to
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline

RARE = 0.001
"""A channel that is negative less often than this has no mean of its negative values worth the name."""


def margins(weight: Tensor, bias: Tensor) -> Tensor:
    """E[x | x < 0] for x from a normal of mean bias [C] and deviation |weight| [C], [C] (section 3.2).

    Three deviations below zero where x is hardly ever negative, as in mdistiller.
    """
    deviation = weight.detach().double().abs().clamp(min=1e-12)
    normal, ratio = Normal(0.0, 1.0), bias.detach().double() / deviation
    below = normal.cdf(-ratio)
    expected = bias - deviation * normal.log_prob(ratio).exp() / below.clamp(min=1e-30)
    return torch.where(below > RARE, expected, -3 * deviation).float()


def ofd_loss(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Squared difference to max(t, margin) where the student isn't further down, summed, mean over the batch.

    Preactivations [B, C, *space] of one shape, margin [C], float32: where t > 0 always, where margin < t <= 0
    if s > t, where t <= margin if s > margin (eq. 4, 5).
    """
    student, teacher = student.float(), teacher.float()
    target = torch.maximum(teacher, margin.view(-1, *[1] * (teacher.ndim - 2)))
    counted = (student > target) | (teacher > 0)
    return ((student - target).square() * counted).sum() / len(student)


def layer_weights(layers: int) -> list[float]:
    """1 for the last of n layers, halved for each one before it."""
    return [2.0 ** (i - layers + 1) for i in range(layers)]


@baseline("ofd", title="OFD", paper="Heo et al., ICCV 2019", arxiv="1904.01866")
class OFD(Distiller):
    """loss = cross-entropy + 0.001 * sum over stages of 2^(i - n + 1) * ofd_loss of preactivations.

    The student's pass a 1x1 convolution with batch norm, the teacher's are averaged to their grid. Weight and
    layout as in mdistiller; the teacher stays in eval mode. Raises NotApplicable where no single norm stands
    before a stage's rectifier.
    """

    needs = frozenset({"preactivations"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.0001, 0.1, log=True, source="mdistiller, OFD: 1e-3")] = 0.001,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context, "preactivations")
        self.weight = weight
        ours, theirs = context.student.preactivations[1:], context.teacher.preactivations[1:]
        self.connectors = nn.ModuleList(connector(*pair) for pair in zip(ours, theirs, strict=True))
        for stage, norm in enumerate(context.teacher_norms[1:], start=1):
            if norm is None:
                raise NotApplicable(
                    f"no single norm stands before the rectifier of the teacher's stage {stage}"
                )
            self.register_buffer(f"margin_{stage}", margins(*norm))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        connected = [c(each) for c, each in zip(self.connectors, student.preactivations[1:], strict=True)]
        layers = self._layers(connected, teacher.preactivations[1:])
        return {"ofd": self.weight * torch.stack(layers).sum()}

    def _layers(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(layer_weights(len(students)), students, teachers, strict=True)
        return [
            weight * ofd_loss(ours, pool_to(theirs, ours.shape[2:]), getattr(self, f"margin_{stage}"))
            for stage, (weight, ours, theirs) in enumerate(pairs, start=1)
        ]


def connector(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Sequential:
    """A 1x1 convolution with batch norm to the teacher's channels, shapes (C, *space)."""
    axes = len(teacher) - 1
    return nn.Sequential(
        CONVOLUTIONS[axes](student[0], teacher[0], 1, bias=False), BATCH_NORMS[axes](teacher[0])
    )
