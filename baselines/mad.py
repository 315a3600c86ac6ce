"""Margin-aware distillation: likenesses of samples that the teacher is unsure of count most (Wei et al.)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.sp import similarity
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline


def uncertainty(logits: Tensor) -> Tensor:
    """Each sample's share of the batch's entropy at temperature 1, logits [B, K] -> [B], float32.

    Source: authors' code.
    """
    entropy = torch.special.entr(F.softmax(logits.float(), dim=1)).sum(1)
    return entropy / entropy.sum().clamp(min=1e-12)


def mad_loss(student_map: Tensor, teacher_map: Tensor, teacher_logits: Tensor) -> Tensor:
    """sum_ij w_j (G_s - G_t)_ij^2 with SP's `similarity` G of maps [B, ...] and w = `uncertainty`, float32.

    Source: authors' code, which weighs columns: what others are like to an unsure sample.
    """
    difference = similarity(student_map) - similarity(teacher_map)
    return (difference.square() * uncertainty(teacher_logits)).sum()


@baseline("mad", title="MMANet (MAD)", paper="Wei et al., CVPR 2023", arxiv="2304.08028")
class MAD(Distiller):
    """loss = cross-entropy + 30 * mad_loss of the last maps, from 5 of 100 epochs on (authors' code).

    The distillation of MMANet, made for a teacher with more modalities. Its second half regularises a student
    that must do with any subset of them; here the student always sees the same ones, and it is left out.
    """

    needs = frozenset({"maps", "logits"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.3, 300, log=True, source="authors' code, CASIA-SURF: 30")] = 30.0,
        start: Annotated[float, Range(0, 0.5, source="authors' code, begin_epoch 5 of 100")] = 0.05,
        **options: float,
    ):
        super().__init__(context, **options)
        if len(context.student.logits) > 1:
            raise NotApplicable("it weighs samples by one answer each, and here every pixel has one")
        self.weight, self.start = weight, start

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        begun = float(progress.fraction >= self.start)
        loss = mad_loss(student.maps[-1], teacher.maps[-1], teacher.logits)
        return {"mad": begun * self.weight * loss}
