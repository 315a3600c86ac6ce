"""Discriminative and consistent distillation inside the batch (Giakoumoglou and Stathaki, 2024)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._projection import LinearEmbed
from baselines._samples import same_sample
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def dcd_losses(
    student: Tensor, teacher: Tensor, scale: Tensor, excluded: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(contrast, consistency) of unit vectors [B, D] of both networks, row by row of one sample, float32.

    With L = scale * <v_s, v_t> [B, B]: contrast is the cross-entropy of the rows of L with the own pair as
    the class; consistency the mean KL(softmax of a column of L || softmax of the same row). All other samples
    are negatives, those of the same class too. The gradient goes through both sides of the KL.
    excluded [B, B] bool, symmetric: pairs that count in neither (the diagonal always counts).
    Source: authors' code.
    """
    with torch.autocast(student.device.type, enabled=False):
        similarity = scale * (student.float() @ teacher.float().T)
    if excluded is not None:
        own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
        # Not -inf, whose KL is NaN.
        similarity = similarity.masked_fill(excluded & ~own, torch.finfo(similarity.dtype).min)
    contrast = F.cross_entropy(similarity, torch.arange(len(similarity), device=similarity.device))
    of_rows, of_columns = F.log_softmax(similarity, 1), F.log_softmax(similarity, 0).T
    return contrast, F.kl_div(of_rows, of_columns, reduction="batchmean", log_target=True)


@baseline("dcd", title="DCD", paper="Giakoumoglou and Stathaki, arXiv 2024", arxiv="2407.11802")
class DCD(Distiller):
    """loss = cross-entropy + 1 * (contrast + 0.5 * consistency), embeddings at unit length in 128 dimensions.

    Both projections and the logarithm of the scale (1 at the start, the scale 10 at most) are trained. The
    authors' code has a trained bias in L besides; a softmax doesn't see it and its gradient is zero, so it is
    left out. A sample that stands in a batch more than once is no negative of itself.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 20, log=True, source="authors' code, -b 1")] = 1.0,
        consistency_weight: Annotated[
            float, Range(0.05, 5, log=True, source="authors' code, alpha 0.5")
        ] = 0.5,
        largest_scale: Annotated[float, Range(5, 50, log=True, source="authors' code, max_tau 10")] = 10.0,
        dimension: Annotated[int, Range(16, 512, log=True, source="authors' code, feat_dim 128")] = 128,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.consistency_weight, self.largest_scale = weight, consistency_weight, largest_scale
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.embed_student = LinearEmbed(ours, dimension, normalize=True)
        self.embed_teacher = LinearEmbed(theirs, dimension, normalize=True)
        self.log_scale = nn.Parameter(torch.ones(()))

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied with, a scalar; once at its largest it has no gradient."""
        return self.log_scale.exp().clamp(max=self.largest_scale)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        ours, theirs = self.embed_student(student.embedding), self.embed_teacher(teacher.embedding)
        contrast, consistency = dcd_losses(ours, theirs, self.scale, same_sample(batch))
        return {
            "contrast": self.weight * contrast,
            "consistency": self.weight * self.consistency_weight * consistency,
        }
