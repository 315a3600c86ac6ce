"""Softmax regression: features, and what the teacher's classifier makes of them (Yang et al., ICLR 2021)."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from baselines._teacher_head import fixed_head
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def srrl_losses(
    feature: Tensor, teacher_embedding: Tensor, answers: Tensor, teacher_logits: Tensor
) -> tuple[Tensor, Tensor]:
    """(feature, logits): mean squared differences of embeddings [B, D_t] and of logits [B, K], float32.

    `answers` are the teacher's classifier on `feature`. The squared difference of logits is that of the
    authors' code and of SimKD's; eq. 5 of the paper is a cross-entropy.
    """
    return (
        F.mse_loss(feature.float(), teacher_embedding.float()),
        F.mse_loss(answers.float(), teacher_logits.float()),
    )


@baseline("srrl", title="SRRL", paper="Yang et al., ICLR 2021")
class SRRL(Distiller):
    """loss = cross-entropy + 1 * (feature + logits) with a connector of linear map, batch norm and ReLU.

    Connector, loss and weight as in SimKD's code, where it is a baseline (there with a KD term beside it).
    The authors' own connector is a 1x1 convolution with batch norm and ReLU on the last map, whose mean it
    compares: that sees each place, this the mean over them.
    """

    needs = frozenset({"logits", "embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(0.1, 10, log=True, source="authors' code, --weight 1; SimKD's: -b 1")
        ] = 1.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.head = fixed_head(context)
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.connect = nn.Sequential(nn.Linear(ours, theirs, bias=False), nn.BatchNorm1d(theirs), nn.ReLU())

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        feature = self.connect(student.embedding.flatten(1))
        losses = srrl_losses(feature, teacher.embedding.flatten(1), self.head(feature), teacher.logits)
        return {name: self.weight * loss for name, loss in zip(("feature", "logits"), losses, strict=True)}
