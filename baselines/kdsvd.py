"""KD by singular value decomposition: how maps' main directions change with depth (Lee et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from baselines._maps import check_same_stages
from baselines._singular_vectors import first_direction, nearest_direction
from benchmark import Activations, Batch, Choice, Context, Distiller, NotApplicable, Progress, Range, baseline

CANDIDATES = 4
"""Directions of the student among which the one nearest to the teacher's first is taken."""

WIDTH = 8.0
"""The radial basis function is exp(-d^2 / 8)."""


def as_matrix(feature: Tensor, axis: str) -> Tensor:
    """A map [B, C, *space] as matrices [B, rows, columns], float32.

    axis   "channels": a row per place, a column per channel; "width": a column per place of the last axis
    Source: "channels" as in the CRD benchmark, "width" as in mdistiller.
    """
    feature = feature.float()
    return feature.flatten(2).transpose(1, 2) if axis == "channels" else feature.flatten(1, -2)


def kdsvd_loss(student_maps: Sequence[Tensor], teacher_directions: Sequence[Tensor], axis: str) -> Tensor:
    """Sum over consecutive layers of |rbf(s_l, s_l+1) - rbf(t_l, t_l+1)|^2 / B of main directions, float32.

    student maps [B, C, *space], teacher directions [B, n], one per layer; rbf takes all pairs of entries of
    two layers' directions to exp(-d^2 / 8) (section 3.2, eq. 6 and 7, in the form of the CRD benchmark).
    """
    with torch.autocast(student_maps[0].device.type, enabled=False):
        pairs = zip(student_maps, teacher_directions, strict=True)
        ours = [nearest_direction(as_matrix(each, axis), target, CANDIDATES) for each, target in pairs]
        layers = zip(pairwise(ours), pairwise(teacher_directions), strict=True)
        differences = [rbf(*student) - rbf(*teacher) for student, teacher in layers]
        return torch.stack([each.square().sum() for each in differences]).sum() / len(ours[0])


def rbf(lower: Tensor, upper: Tensor) -> Tensor:
    """exp(-(upper_i - lower_j)^2 / 8), [B, n] and [B, m] -> [B, m, n]."""
    return torch.exp(-(upper[:, :, None] - lower[:, None, :]).square() / WIDTH)


@baseline("kdsvd", title="KDSVD", paper="Lee et al., ECCV 2018", arxiv="1807.06819")
class KDSVD(Distiller):
    """loss = cross-entropy + 1 * kdsvd_loss over the stages (weight and form: mdistiller, CRD benchmark).

    `axis="width"` is mdistiller's form. Raises NotApplicable unless each two maps are equally long along that
    axis.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.01, 100, log=True, source="mdistiller, KDSVD: 1")] = 1.0,
        axis: Annotated[str, Choice(("channels", "width"), source="channels: CRD benchmark")] = "channels",
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context)
        place = 0 if axis == "channels" else -1
        ours, theirs = (
            [shape[place] for shape in side.maps[1:]] for side in (context.student, context.teacher)
        )
        if ours != theirs:
            raise NotApplicable(f"{axis} {ours} in the student, {theirs} in the teacher: they must be equal")
        if len(ours) < 2:
            raise NotApplicable("it relates consecutive stages, and there is only one")
        self.weight, self.axis = weight, axis

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        with torch.autocast(student.logits.device.type, enabled=False):
            targets = [first_direction(as_matrix(each, self.axis)) for each in teacher.maps[1:]]
        return {"kdsvd": self.weight * kdsvd_loss(student.maps[1:], targets, self.axis)}
