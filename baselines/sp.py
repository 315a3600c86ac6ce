"""Similarity-preserving distillation: which samples of a batch are alike (Tung & Mori, ICCV 2019)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def similarity(feature: Tensor) -> Tensor:
    """Inner products of a batch's samples, rows of unit length: [B, ...] -> [B, B], float32 (eq. 1, 2)."""
    with torch.autocast(feature.device.type, enabled=False):
        flat = feature.float().flatten(1)
        return F.normalize(flat @ flat.T, dim=1)


def sp_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """|G_t - G_s|_F^2 / B^2 of the similarities G (eq. 4). The maps share nothing but the batch.

    Maps or embeddings [B, ...].
    """
    return (similarity(teacher_map) - similarity(student_map)).square().mean()


@baseline("sp", title="SP", paper="Tung & Mori, ICCV 2019", arxiv="1907.09682")
class SP(Distiller):
    """loss = cross-entropy + 3000 * |G_t - G_s|_F^2 / B^2 on the last maps (CRD benchmark)."""

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(30, 30000, log=True, source="CRD benchmark, similarity: beta")
        ] = 3000.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"sp": self.weight * sp_loss(student.maps[-1], teacher.maps[-1])}
