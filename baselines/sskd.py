"""SSKD: which image a turned copy comes from, answered as the teacher answers it (Xu et al., ECCV 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines.kd import kd_loss
from benchmark import (
    Activations,
    Batch,
    Context,
    Distiller,
    NotApplicable,
    Progress,
    Range,
    Stage,
    baseline,
)

TURNS = 3
"""Turned copies of each image."""


def similarity(turned: Tensor, upright: Tensor) -> Tensor:
    """Cosines of every turned copy with every image, [3B, D] and [B, D] -> [3B, B], float32."""
    return F.normalize(turned.float(), dim=1, eps=1e-8) @ F.normalize(upright.float(), dim=1, eps=1e-8).T


def kept_rows(scores: Tensor, target: Tensor, ratio: float) -> Tensor:
    """Which rows the teacher is worth hearing on: scores [R, K], target [R] -> [R] bool.

    All rows whose target has the best score, and of the others the floor(ratio * count) whose target comes
    soonest; of equals the first ones (authors' code, where that is left open).
    """
    order = scores.argsort(dim=1, descending=True, stable=True)
    rank = (order == target[:, None]).int().argmax(1)
    place = rank.argsort(stable=True).argsort()
    right = (rank == 0).sum()
    wrong = len(rank) - right
    return place < right + (ratio * wrong.double()).floor()


def kept_loss(student: Tensor, teacher: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """T^2 * mean over the kept rows of KL(softmax(teacher / T) || softmax(student / T)), [R, K], float32."""
    ours, theirs = (F.log_softmax(each.float() / temperature, dim=1) for each in (student, teacher))
    rows = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return temperature**2 * (rows * kept).sum() / kept.sum().clamp(min=1)


def head(width: int) -> nn.Sequential:
    """From an embedding to what its turned copies are compared in, [R, D] -> [R, D]."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


@baseline("sskd", title="SSKD", paper="Xu et al., ECCV 2020", arxiv="2006.07114")
class SSKD(Distiller):
    """loss = 0.1 * cross-entropy + 0.9 * kd_loss + 2.7 * transformed + 10 * contrast.

    Images are turned by 90, 180 and 270 degrees. transformed: kept_loss of the turned copies' logits, T = 4,
    all kept. contrast: kept_loss of the similarities of turned and upright embeddings behind a head, T = 0.5,
    three quarters of the teacher's mistakes kept. A first stage of 60 of 240 epochs trains the teacher's
    head, on its frozen embeddings, to name each copy's image; then it is fixed (there the rate falls twice).
    Here upright and turned images are two batches for batch norm, one in the authors' code, which has no
    mirroring either. Where a label may not be used, the teacher's likeliest class stands for it.
    """

    needs = frozenset({"logits", "embedding"})
    second_view = "rotated"
    in_composition = {"task_weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, kd_weight")] = 0.9,
        transformed_weight: Annotated[
            float, Range(0.3, 30, log=True, source="authors' code, tf_weight")
        ] = 2.7,
        contrast_weight: Annotated[float, Range(1, 100, log=True, source="authors' code, ss_weight")] = 10.0,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, ce_weight")] = 0.1,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code, kd_T, tf_T")] = 4.0,
        contrast_temperature: Annotated[float, Range(0.05, 5, log=True, source="authors' code, ss_T")] = 0.5,
        transformed_ratio: Annotated[float, Range(0, 1, source="authors' code, ratio_tf")] = 1.0,
        contrast_ratio: Annotated[float, Range(0, 1, source="authors' code, ratio_ss")] = 0.75,
        share: Annotated[float, Range(0.05, 0.5, source="authors' code, t_epoch 60 of 240")] = 0.25,
    ):
        super().__init__(context, task_weight=task_weight)
        if len(context.student.logits) > 1:
            raise NotApplicable("it turns images that have one label each, and here every pixel has one")
        self.weight, self.temperature, self.share = weight, temperature, share
        self.transformed_weight, self.transformed_ratio = transformed_weight, transformed_ratio
        self.contrast_weight, self.contrast_ratio = contrast_weight, contrast_ratio
        self.contrast_temperature = contrast_temperature
        self.student_head = head(math.prod(context.student.embedding))
        self.teacher_head = head(math.prod(context.teacher.embedding))

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],)

    def first_stages(self) -> tuple[Stage, ...]:
        return (Stage("head", self.share, self._name_images, tuple(self.teacher_head.parameters())),)

    def _name_images(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        """Cross-entropy of the teacher's cosines as they are."""
        cosines = compared(self.teacher_head, teacher)
        return {"head": F.cross_entropy(cosines, own_image(cosines))}

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target = logit_rows(teacher, student, batch)
        kd = kd_loss(ours, theirs, self.temperature)
        return {"kd": self.weight * kd} | self._turned(teacher, student, target)

    def _turned(self, teacher: Activations, student: Activations, target: Tensor) -> dict[str, Tensor]:
        """The two terms of the turned copies; target [B]."""
        assert teacher.second is not None
        assert student.second is not None
        with torch.no_grad():
            taught = compared(self.teacher_head, teacher)
        learnt = compared(self.student_head, student)
        kept = kept_rows(taught, own_image(taught), self.contrast_ratio)
        contrast = kept_loss(learnt, taught, kept, self.contrast_temperature)
        ours, theirs = student.second.logits, teacher.second.logits
        kept = kept_rows(theirs, target.repeat_interleave(TURNS), self.transformed_ratio)
        transformed = kept_loss(ours, theirs, kept, self.temperature)
        return {
            "transformed": self.transformed_weight * transformed,
            "contrast": self.contrast_weight * contrast,
        }


def compared(head: nn.Module, shown: Activations) -> Tensor:
    """`similarity` of a network's turned and upright embeddings behind a head, [3B, B], float32."""
    assert shown.second is not None
    upright, turned = shown.embedding.flatten(1), shown.second.embedding.flatten(1)
    with torch.autocast(upright.device.type, enabled=False):
        return similarity(head(turned.float()), head(upright.float()))


def own_image(cosines: Tensor) -> Tensor:
    """The column of each row's own image, [3B, B] -> [3B]."""
    return torch.arange(len(cosines), device=cosines.device) // TURNS
