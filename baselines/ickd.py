"""ICKD-C: which channels of the last map go together (Liu et al., ICCV 2021)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline


def channel_correlation(feature: Tensor) -> Tensor:
    """F F' over the places of a map [B, C, *space], rows of unit length: [B, C, C], float32.

    Source: authors' code, ICKD-C.
    """
    with torch.autocast(feature.device.type, enabled=False):
        rows = feature.float().flatten(2)
        return F.normalize(rows @ rows.transpose(1, 2), dim=2)


def ickd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """sum (M_s - M_t)^2 / (B * C) of the `channel_correlation`s M of two maps of C channels, float32.

    Their places may differ in number. Source: authors' code, ICKD-C.
    Maps [B, C, *space].
    """
    batch, channels = teacher.shape[:2]
    difference = channel_correlation(student) - channel_correlation(teacher)
    return difference.square().sum() / (batch * channels)


@baseline("ickd", title="ICKD-C", paper="Liu et al., ICCV 2021", arxiv="2202.03680")
class ICKD(Distiller):
    """loss = cross-entropy + 2.5 * ickd_loss of the last maps, the student's with the teacher's channels.

    A 1x1 convolution without bias and a batch norm give it those. Weight as in the authors' code (its README;
    one of its scripts has 4). The projection of the teacher's map that the authors build too is never used
    there, and isn't here.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.25, 25, log=True, source="authors' code, beta 2.5")] = 2.5,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        ours, theirs = context.student.maps[-1], context.teacher.maps[-1]
        axes = len(ours) - 1
        if axes not in CONVOLUTIONS:
            raise NotApplicable(f"no convolution for the student's last map, which has {axes} spatial axes")
        self.project = nn.Sequential(
            OrderedDict(
                convolution=CONVOLUTIONS[axes](ours[0], theirs[0], 1, bias=False),
                norm=BATCH_NORMS[axes](theirs[0]),
            )
        )

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"ickd": self.weight * ickd_loss(self.project(student.maps[-1]), teacher.maps[-1])}
