"""Activation boundaries: which neurons are active, learnt before the task (Heo et al., AAAI 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from baselines._maps import check_same_stages
from baselines._projection import ConvReg
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, Stage, baseline

SCALE = 3 / 1000
"""The CRD benchmark's constant."""


def boundary_loss(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """Squared distance to the margin on the teacher's side of zero, summed over all but the batch (eq. 3).

    Preactivations [B, C, *space] of one shape: (s + m)^2 where t <= 0 and s > -m, (s - m)^2 where t > 0 and
    s <= m; mean over the batch, float32.
    """
    student = student.float()
    active = teacher > 0
    below = (student + margin).square() * ((student > -margin) & ~active)
    above = (student - margin).square() * ((student <= margin) & active)
    return (below + above).sum() / len(student)


def ab_loss(students: Sequence[Tensor], teachers: Sequence[Tensor], margin: float) -> Tensor:
    """0.003 * sum over layers of 2^(i - n + 1) * boundary_loss_i: the last of n counts fully.

    n preactivations [B, C, *space] of each network, in pairs of one shape. Weights: authors' code.
    """
    layers = [boundary_loss(*pair, margin) for pair in zip(students, teachers, strict=True)]
    weighted = [2.0 ** (i - len(layers) + 1) * layer for i, layer in enumerate(layers)]
    return SCALE * torch.stack(weighted).sum()


def connector(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module:
    """Nothing between equal shapes (C, *space), else a convolution with batch norm to the teacher's."""
    return nn.Identity() if student == teacher else ConvReg(student, teacher, relu=False)


@baseline("ab", title="AB", paper="Heo et al., AAAI 2019", arxiv="1811.03233")
class AB(Distiller):
    """First stage: ab_loss of the stages' preactivations, for body and connectors; then cross-entropy.

    The first stage takes 30 of 240 epochs; margin 1 and the constants are the CRD benchmark's.
    """

    needs = frozenset({"preactivations"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.01, 100, log=True, source="CRD benchmark: plain sum")] = 1.0,
        margin: Annotated[float, Range(0.1, 10, log=True, source="CRD benchmark")] = 1.0,
        share: Annotated[float, Range(0.05, 0.5, source="CRD benchmark, init_epochs 30 of 240")] = 0.125,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context, "preactivations")
        self.weight, self.margin, self.share = weight, margin, share
        shapes = zip(context.student.preactivations[1:], context.teacher.preactivations[1:], strict=True)
        self.connectors = nn.ModuleList(connector(*pair) for pair in shapes)

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],)

    def first_stages(self) -> tuple[Stage, ...]:
        trained = tuple(self.connectors.parameters())
        return (Stage("boundaries", self.share, self._boundaries, trained, trains_student=True),)

    def _boundaries(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        pairs = zip(self.connectors, student.preactivations[1:], strict=True)
        connected = [connect(each) for connect, each in pairs]
        return {"ab": self.weight * ab_loss(connected, teacher.preactivations[1:], self.margin)}
