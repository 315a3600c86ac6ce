"""Controls: what a gain would be if it weren't the teacher's knowledge."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from baselines._samples import samples_of
from baselines.kd import KD
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline
from benchmark.contracts import supervised_cross_entropy


@baseline(
    "label_smoothing",
    title="Label smoothing",
    role="control",
    paper="Szegedy et al., CVPR 2016",
    arxiv="1512.00567",
)
class LabelSmoothing(Distiller):
    """loss = cross-entropy with labels of 0.9 + 0.1 / K, the other classes 0.1 / K: no teacher at all.

    Tells how much of a gain is softer targets. Source: section 7 of the paper.
    """

    needs = frozenset({"labels"})

    def __init__(
        self,
        context: Context,
        *,
        smoothing: Annotated[float, Range(0.01, 0.5, log=True, source="paper, section 7")] = 0.1,
        **options: float,
    ):
        super().__init__(context, **options)
        self.smoothing = smoothing

    def task_loss(self, student: Activations, batch: Batch) -> Tensor:
        return supervised_cross_entropy(
            self.predict(student), batch["label"], batch["labelled"], self.smoothing
        )


def partners(cycle: Tensor, samples: Tensor) -> Tensor:
    """For each row the nearest one before it in the cycle that is another sample, [B] int64.

    cycle [B], a permutation of the rows; samples [B], which sample each row is. Where all are one sample, a
    row's partner is the one before it.
    """
    place = torch.arange(len(cycle), device=cycle.device)
    before = (place[:, None] - place[None, :] - 1) % len(cycle)
    others = samples[cycle[before]] != samples[cycle][:, None]
    nearest = before.gather(1, others.int().argmax(1, keepdim=True))[:, 0]
    partner = torch.empty_like(cycle)
    partner[cycle] = cycle[nearest]
    return partner


@baseline("shuffled_teacher", title="Shuffled teacher", role="control")
class ShuffledTeacher(KD):
    """KD on the teacher's logits of another sample of the batch: nothing in them belongs to this one.

    Partners come from a random cycle through the batch: the nearest one before a sample that is another
    sample, since few labels make some stand in a batch more than once (a batch of one sample has no other).
    Tells how much of a gain is the shape of the teacher's answers.
    """

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        cycle = torch.randperm(len(teacher.logits), device=teacher.logits.device)
        strangers = replace(teacher, logits=teacher.logits[partners(cycle, samples_of(batch))])
        return super().forward(strangers, student, batch, progress)


@baseline("random_teacher", title="Random teacher", role="control")
class RandomTeacher(KD):
    """KD from the teacher's architecture with its initial weights: it has seen no label.

    Its batch norms know the statistics of their inputs (from training samples without labels), so that its
    answers differ between samples as a trained network's do. Tells how much of a gain is the regularisation
    by any fixed function of the input.
    """

    learns_from = "untrained"


@baseline(
    "self_distillation",
    title="Self-distillation",
    role="control",
    paper="Furlanello et al., ICML 2018",
    arxiv="1805.04770",
)
class SelfDistillation(KD):
    """KD from a teacher of the student's architecture and modalities, trained by the teacher's recipe.

    Tells how much of a gain needs a better teacher (born-again networks, one generation, with KD's weights).
    """

    learns_from = "student_architecture"
