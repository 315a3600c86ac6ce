"""Relation contrast: where a sample lies as seen from others of its batch (Zhu et al., CVPR 2021)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._contrast import BankContrast, Embedded
from baselines._logits import logit_rows
from baselines._projection import LinearEmbed
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, Progress, Range, baseline

OFFSET = 1e-6
"""Added to each coordinate of a difference, as in the code that the defaults come from."""


def relation_scores(vectors: Tensor, bank: Tensor, rows: Tensor) -> Tensor:
    """<n(v_b - a), n(m_bk - a)> for unit vectors v [B, d], [B, A, 1 + M] with A = B, float32.

    bank [N, d] unit rows; rows [B, 1 + M]: the candidates m of each sample, its own row first; those first
    rows are the anchors a. n(x) = (x + 1e-6) / |x + 1e-6|, so that an anchor seen from itself lies in the
    direction of (1, ..., 1).

    A score is the cosine at the anchor in the triangle of anchor, sample and candidate: inner products give
    it in B * B * M numbers, where the differences m - a would be d times as many.
    Source: the paper's relations of features, in the form of the public re-implementation.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = vectors.float()
        own, candidates = rows[:, 0], bank[rows].float()  # [B, 1 + M, d]
        anchors = bank[own].float() - OFFSET  # v - a + 1e-6 and m - a + 1e-6 are differences to this
        apart = vectors[:, None] - anchors  # [B, A, d]
        distance = torch.linalg.vector_norm(apart, dim=2).clamp(min=OFFSET)
        scale, shift = _seen_from(anchors, candidates)
        # <v, m - a>: [B, 1 + M, 1] less [B, 1, A]
        inner = torch.bmm(candidates, vectors[:, :, None]) - (vectors @ anchors.T)[:, None]
        cosine = (torch.addcmul(shift, inner, scale) / distance[:, None]).clamp(-1, 1)
        from_itself = apart.sum(2) / (distance * vectors.shape[1] ** 0.5)
        return torch.where(rows[:, :, None] == own, from_itself[:, None], cosine).transpose(1, 2)


@torch.no_grad()
def _seen_from(anchors: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """1 / |m - a| and -<a, m - a> / |m - a|, [B, 1 + M, A] float32; anchors [A, d], candidates [B, 1 + M, d].

    Inner products in double precision, since the distance of near neighbours is what they nearly cancel to.
    """
    points, wide = anchors.double(), candidates.double()
    length, own_length = wide.square().sum(2, keepdim=True), points.square().sum(1)
    behind = own_length - wide @ points.T  # -<a, m - a>
    square = (2 * behind + (length - own_length)).float()
    scale = square.clamp_(min=OFFSET**2).rsqrt_()
    return scale, behind.float().mul_(scale)


@baseline("crcd", title="CRCD (feature relation)", paper="Zhu et al., CVPR 2021", arxiv="2103.16367")
class CRCD(BankContrast):
    """loss = cross-entropy + 0.9 * kd_loss at T = 4 + 1 * (NCE of student relations + of teacher relations).

    A relation is the direction from an anchor to a sample, see `relation_scores`: the student's are
    contrasted in the teacher's bank, the teacher's in the student's, with every sample of the batch as an
    anchor. Banks, negatives and NCE are CRD's, with rows of unit length from the start. For the last 1/25 of
    training cross-entropy trains alone. The paper's second half, relations of gradients, is left out; form
    and defaults are those of the public re-implementation, which doesn't claim the paper's numbers.
    """

    needs = frozenset({"logits", "embedding"})
    term = "crcd"
    unit_rows = True
    epsilon = 1e-7

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 10, log=True, source="re-implementation, 1")] = 1.0,
        kd_weight: Annotated[float, Range(0.05, 10, log=True, source="re-implementation, 0.9")] = 0.9,
        kd_temperature: Annotated[float, Range(1, 20, log=True, source="re-implementation, T 4")] = 4.0,
        temperature: Annotated[
            float, Range(0.03, 0.5, log=True, source="re-implementation, nce_t 0.05")
        ] = 0.05,
        negatives: Annotated[int, Range(64, 2048, log=True, source="re-implementation, nce_k 500")] = 500,
        distils_until: Annotated[
            float, Range(0.5, 1, source="re-implementation: all but the last 1/25 of the epochs")
        ] = 24 / 25,
        **options: Any,
    ):
        super().__init__(
            context,
            partial(LinearEmbed, normalize=True),
            weight=weight,
            temperature=temperature,
            negatives=negatives,
            **options,
        )
        self.kd_weight, self.kd_temperature, self.distils_until = kd_weight, kd_temperature, distils_until
        for side in ("student", "teacher"):
            bank = self.memory.bank(side)
            bank.copy_(F.normalize(bank.float(), dim=1))

    def contrast(self, embedded: Embedded, rows: Tensor) -> dict[str, Tensor]:
        """Both sides' unweighted losses for bank rows [B, 1 + M], own rows first.

        Moves the samples' rows afterwards.
        """
        losses = {}
        for side, other in (("student", "teacher"), ("teacher", "student")):
            scores = relation_scores(embedded[side], self.memory.bank(other), rows)
            losses[side] = self.objective(scores.flatten(0, 1), side)
        self.memory.update(rows[:, 0], embedded["student"], embedded["teacher"], normalize=self.unit_rows)
        return losses

    def posterior(self, embedded: Embedded, batch: Batch) -> dict[str, np.ndarray]:
        """None: what is classified are relations, not pairs."""
        return {}

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        share = float(progress.fraction < self.distils_until)
        answers, own, _ = logit_rows(teacher, student, batch)
        terms = {"kd": self.kd_weight * kd_loss(own, answers, self.kd_temperature)}
        terms |= super().forward(teacher, student, batch, progress)
        return {name: share * value for name, value in terms.items()}
