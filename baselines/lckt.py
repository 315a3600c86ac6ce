"""Local contrastive knowledge transfer: WCoRD's primal form, transport within the batch."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._projection import LinearEmbed
from baselines._transport import SOLVERS
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


def cosine_cost(student: Tensor, teacher: Tensor) -> Tensor:
    """C_ij = 1 - cos(student_i, teacher_j), [B, D] and [B', D] -> [B, B'] in [0, 2], float32."""
    with torch.autocast(student.device.type, enabled=False):
        return 1 - F.normalize(student.float(), dim=1) @ F.normalize(teacher.float(), dim=1).T


def transport_loss(cost: Tensor, solver: str) -> Tensor:
    """<P, C> for a cost [..., n, m]: P couples uniform marginals and is a constant of the backward pass."""
    return (SOLVERS[solver](cost) * cost).sum((-2, -1)).mean()


@baseline("lckt", title="LCKT", paper="Chen et al., CVPR 2021 (local term)", arxiv="2012.08674")
class LCKT(Distiller):
    """loss = cross-entropy + 3 * min_P <P, C> with C_ij = 1 - cos(q(h_S)_i, h_T_j) within the batch.

    q is a linear projection where widths differ. It matches the distributions of embeddings: P may couple a
    sample to another one. Alone, its gradient must carry the whole transfer, hence a larger weight than as
    WCoRD's second term; 3 is a starting point, to be tuned on validation data.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(0.01, 30, log=True, source="used with LCKT alone on UTD-MHAD; tune on validation")
        ] = 3.0,
        solver: Annotated[
            str,
            Choice(
                ("ipot", "sinkhorn", "exact"), source="Xie et al. 2018, the transport of this line of work"
            ),
        ] = "ipot",
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.solver = solver
        student, teacher = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.project = nn.Flatten() if student == teacher else LinearEmbed(student, teacher)

    def cost(self, teacher: Activations, student: Activations) -> Tensor:
        """The cost of coupling each of this batch's student embeddings with each of the teacher's, [B, B]."""
        return cosine_cost(self.project(student.embedding), teacher.embedding.flatten(1))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"lckt": self.weight * transport_loss(self.cost(teacher, student), self.solver)}

    @torch.no_grad()
    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        cost = self.cost(teacher, student)
        coupling = SOLVERS[self.solver](cost)
        return {"lckt_cost": cost.cpu().numpy(), "lckt_coupling": coupling.cpu().numpy()}
