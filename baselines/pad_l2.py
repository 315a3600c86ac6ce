"""PAD-L2: embeddings regressed where the student is sure of them (Zhang et al., ECCV 2020)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline

EPSILON = 1e-6


def pad_l2_loss(student: Tensor, teacher: Tensor, log_variance: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Mean over all elements of (t - s)^2 / (epsilon + exp(v)) + v; embeddings and v [B, D], float32.

    Without the factor 1/2 and the constant of a Gaussian's likelihood, as in torchdistill.
    Source: the paper's prime-aware regression, in torchdistill's form.
    """
    student, teacher, log_variance = student.float(), teacher.float(), log_variance.float()
    return ((teacher - student).square() / (epsilon + log_variance.exp()) + log_variance).mean()


@baseline("pad_l2", title="PAD-L2", paper="Zhang et al., ECCV 2020", arxiv="2008.01458")
class PADL2(Distiller):
    """loss = cross-entropy + 1 * pad_l2_loss; v is a linear map and a batch norm of the student's embedding.

    A number whose v is large counts less and pays for it; the student learns through v, too. Embeddings must
    be of one width. Weight as in torchdistill for ImageNet, where a stage of plain regression comes before;
    here there is none.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.01, 10, log=True, source="torchdistill, ImageNet: 1")] = 1.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        width, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        if width != theirs:
            raise NotApplicable(
                f"embeddings of {width} numbers in the student, of {theirs} in the teacher: "
                "they must be equally many"
            )
        self.log_variance = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        with torch.autocast(student.embedding.device.type, enabled=False):
            ours = student.embedding.flatten(1).float()
            loss = pad_l2_loss(ours, teacher.embedding.flatten(1), self.log_variance(ours))
        return {"pad_l2": self.weight * loss}
