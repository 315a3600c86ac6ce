"""InfoNCE: CRD's contrast inside the batch, without a memory bank (van den Oord et al., 2018)."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._contrast import pair_measures, same_class
from baselines._projection import LinearEmbed
from baselines._samples import same_sample
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


def infonce_loss(anchors: Tensor, others: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Mean of -log softmax of each anchor's own pair among all it may be contrasted with (eq. 4).

    Unit vectors [B, D] of both networks, row by row of the same sample; excluded [B, B] bool: pairs that are
    no negatives (the diagonal always counts). float32.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        own = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
        scores = (anchors.float() @ others.float().T / temperature).masked_fill(excluded & ~own, -math.inf)
        return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


@baseline("infonce", title="InfoNCE", paper="van den Oord et al., arXiv 2018", arxiv="1807.03748")
class InfoNCE(Distiller):
    """loss = cross-entropy + 0.8 * (student anchors among the batch's teachers + the reverse).

    Projections (linear, 128, unit length), temperature, weight and the exclusion of known members of the same
    class are CRD's, so that the two differ in where the negatives come from: here from the batch, for data
    sets too large for a bank. A sample that stands in a batch more than once is no negative of itself.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 5, log=True, source="as in CRD")] = 0.8,
        temperature: Annotated[float, Range(0.03, 0.5, log=True, source="as in CRD")] = 0.07,
        dimension: Annotated[int, Range(16, 512, log=True, source="as in CRD")] = 128,
        negatives_from: Annotated[
            str, Choice(("other_classes", "other_samples"), source="as in CRD")
        ] = "other_classes",
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.temperature, self.negatives_from = weight, temperature, negatives_from
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.embed_student = LinearEmbed(ours, dimension, normalize=True)
        self.embed_teacher = LinearEmbed(theirs, dimension, normalize=True)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        ours, theirs = self.embed_student(student.embedding), self.embed_teacher(teacher.embedding)
        excluded = same_sample(batch)
        if self.negatives_from == "other_classes":
            excluded = excluded | same_class(batch)
        both = [infonce_loss(*pair, excluded, self.temperature) for pair in ((ours, theirs), (theirs, ours))]
        return {"infonce": self.weight * (both[0] + both[1])}

    @torch.no_grad()
    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        return pair_measures(self.embed_student(student.embedding) @ self.embed_teacher(teacher.embedding).T)
