"""Attention transfer: where the student's maps are active, as the teacher's (Zagoruyko & Komodakis)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._maps import check_same_stages, pool_match
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def attention(feature: Tensor) -> Tensor:
    """The mean over channels of the squared map, of unit length: [B, C, *space] -> [B, P], float32.

    Source: section 3.1 of the paper with p = 2.
    """
    return F.normalize(feature.float().square().mean(1).flatten(1), dim=1)


def at_loss(student_maps: Iterable[Tensor], teacher_maps: Iterable[Tensor]) -> Tensor:
    """Sum over layers of the mean squared difference of both attentions, on the smaller of both grids.

    Source: section 3.1 of the paper with p = 2; its constants are part of the CRD benchmark's weight.
    Maps [B, C, *space] in pairs, whose channels may differ.
    """
    matched = [pool_match(*pair) for pair in zip(student_maps, teacher_maps, strict=True)]
    return torch.stack([(attention(s) - attention(t)).square().mean() for s, t in matched]).sum()


@baseline("at", title="AT", paper="Zagoruyko & Komodakis, ICLR 2017", arxiv="1612.03928")
class AT(Distiller):
    """loss = cross-entropy + 1000 * sum over stages of mean (a(F_s) - a(F_t))^2 (CRD benchmark)."""

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(10, 10000, log=True, source="CRD benchmark, attention: beta")
        ] = 1000.0,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context)
        self.weight = weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"at": self.weight * at_loss(student.maps[1:], teacher.maps[1:])}
