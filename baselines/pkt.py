"""Probabilistic knowledge transfer: who is whose neighbour within a batch (Passalis & Tefas, ECCV 2018)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline

EPSILON = 1e-7


def neighbours(embedding: Tensor) -> Tensor:
    """Each sample's probability of picking another by (cosine + 1) / 2, [B, D] -> [B, B], float32 (eq. 8)."""
    with torch.autocast(embedding.device.type, enabled=False):
        embedding = embedding.float()
        unit = embedding / (embedding.norm(dim=1, keepdim=True) + EPSILON)
        similarity = (unit @ unit.T + 1) / 2
        return similarity / similarity.sum(1, keepdim=True)


def pkt_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over B^2 entries of P_t * log(P_t / P_s), embeddings [B, D].

    The Kullback-Leibler divergence of eq. 9, divided by B^2 as in its authors' code.
    """
    ours, theirs = neighbours(student), neighbours(teacher)
    return (theirs * ((theirs + EPSILON) / (ours + EPSILON)).log()).mean()


@baseline("pkt", title="PKT", paper="Passalis & Tefas, ECCV 2018", arxiv="1803.10837")
class PKT(Distiller):
    """loss = cross-entropy + 30000 * pkt_loss of embeddings (CRD benchmark)."""

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(300, 300000, log=True, source="CRD benchmark, pkt: beta")] = 30000.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"pkt": self.weight * pkt_loss(student.embedding.flatten(1), teacher.embedding.flatten(1))}
