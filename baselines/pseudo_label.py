"""Pseudo-labels (Lee, ICML workshop 2013), here the teacher's hard decision where no label may be used."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline
from benchmark.contracts import IGNORE


def pseudo_label_loss(
    student_logits: Tensor, teacher_logits: Tensor, label: Tensor, labelled: Tensor
) -> Tensor:
    """Mean cross-entropy with the true label where `labelled`, the teacher's likeliest class elsewhere.

    Logits [B, K, *space], label [B, *space] int64, labelled [B] bool. Pixels that a labelled sample marks as
    IGNORE stay out of the mean.
    Source: Lee, ICML workshop 2013, with the teacher in the place of the network itself.
    """
    usable = labelled.view(-1, *[1] * (label.ndim - 1))
    target = torch.where(usable, label, teacher_logits.argmax(1))
    total = F.cross_entropy(student_logits, target, ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)


@baseline(
    "pseudo_label",
    title="Pseudo-label",
    role="reference",
    paper="Lee, ICML workshop on challenges in representation learning 2013",
    companion="few_labels",
)
class PseudoLabel(Distiller):
    """One cross-entropy over all samples of a batch; it takes the place of the supervised term.

    In a composition too, whose own supervised term is then 0 whatever its weight. Raises NotApplicable where
    every sample has its label (if only of some pixels), since there is nothing to add one to.
    """

    needs = frozenset({"logits"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="plain cross-entropy")] = 1.0,
        task_weight: Annotated[
            float, Range(0, 1, source="the labelled samples are in the term already")
        ] = 0.0,
    ):
        super().__init__(context, task_weight=task_weight)
        if not (context.train_labels == IGNORE)[..., None].flatten(1).all(1).any():
            raise NotApplicable("every training sample is labelled: there is nothing to pseudo-label")
        self.weight = weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        loss = pseudo_label_loss(student.logits, teacher.logits, batch["label"], batch["labelled"])
        return {"pseudo_label": self.weight * loss}

    def task_loss(self, student: Activations, batch: Batch) -> Tensor:
        # A composition asks for it with a weight of its own, and leaves this one's at its default.
        return super().task_loss(student, batch) if self.task_weight else 0 * student.logits.float().sum()
