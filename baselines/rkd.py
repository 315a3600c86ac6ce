"""Relational distillation: distances and angles between a batch's samples (Park et al., CVPR 2019)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def distances(embedding: Tensor) -> Tensor:
    """Euclidean distances over their mean without the diagonal, [B, D] -> [B, B], float32.

    A batch of one has no pairs: 0.
    Source: eq. 6 of the paper.
    """
    with torch.autocast(embedding.device.type, enabled=False):
        embedding = embedding.float()
        squares = embedding.square().sum(1)
        squared = squares[:, None] + squares[None, :] - 2 * embedding @ embedding.T
        self_pairs = torch.eye(len(embedding), dtype=torch.bool, device=embedding.device)
        matrix = squared.clamp(min=1e-12).sqrt().masked_fill(self_pairs, 0.0)
        if len(matrix) < 2:
            return matrix
        return matrix / (matrix.sum() / (matrix > 0).sum().clamp(min=1))


def angles(embedding: Tensor) -> Tensor:
    """Cosine of the angle at a between b and c: [B, D] -> [a, b, c] of B each, float32; 0 if a is b or c.

    Source: eq. 9 of the paper.
    """
    with torch.autocast(embedding.device.type, enabled=False):
        embedding = embedding.float()
        directions = F.normalize(embedding[None, :] - embedding[:, None], dim=2)
        return directions @ directions.transpose(1, 2)


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean Huber loss (threshold 1) between the distances of both, over all B^2 entries (eq. 6, 7).

    Embeddings [B, D]; the networks' widths may differ.
    """
    return F.smooth_l1_loss(distances(student), distances(teacher))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean Huber loss (threshold 1) between the angles of both, over all B^3 triples (eq. 9, 10).

    Embeddings [B, D]; the networks' widths may differ.
    """
    return F.smooth_l1_loss(angles(student), angles(teacher))


@baseline("rkd", title="RKD", paper="Park et al., CVPR 2019", arxiv="1904.05068")
class RKD(Distiller):
    """loss = cross-entropy + 25 * distance_loss + 50 * angle_loss of embeddings (CRD benchmark)."""

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        distance_weight: Annotated[
            float, Range(0.25, 250, log=True, source="CRD benchmark, rkd: 25 * beta 1")
        ] = 25.0,
        angle_weight: Annotated[
            float, Range(0.5, 500, log=True, source="CRD benchmark, rkd: 50 * beta 1")
        ] = 50.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        ours, theirs = student.embedding.flatten(1), teacher.embedding.flatten(1)
        return {
            "distance": self.distance_weight * distance_loss(ours, theirs),
            "angle": self.angle_weight * angle_loss(ours, theirs),
        }
