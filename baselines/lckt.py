"""Local contrastive knowledge transfer: WCoRD's primal form, transport within the batch."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._contrast import same_class
from baselines._projection import LinearEmbed
from baselines._transport import SOLVERS
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


def cosine_cost(student: Tensor, teacher: Tensor) -> Tensor:
    """C_ij = 1 - cos(student_i, teacher_j), [B, D] and [B', D] -> [B, B'] in [0, 2], float32.

    Source: the cost of the paper's local term.
    """
    with torch.autocast(student.device.type, enabled=False):
        return 1 - F.normalize(student.float(), dim=1) @ F.normalize(teacher.float(), dim=1).T


def transport_loss(cost: Tensor, solver: str, bonus: float = 0.0) -> Tensor:
    """<P, C> for a cost [..., n, m]: P couples uniform marginals and is a constant of the backward pass.

    P is optimal for C - bonus * I, which favours each sample's own pair.
    Source: the paper's local term; the bonus is ours.
    """
    sought = cost if not bonus else cost - bonus * torch.eye(*cost.shape[-2:], device=cost.device)
    return (SOLVERS[solver](sought) * cost).sum((-2, -1)).mean()


def bonus(pairing: float, progress: Progress) -> float:
    """How much cheaper a true pair is: `pairing` at first, 0 at the end of the training."""
    return pairing * (1 - progress.fraction)


def coupling_diagnostics(cost: Tensor, solver: str, batch: Batch) -> dict[str, np.ndarray]:
    """The optimal coupling of a cost [B, B] between students and teachers of one batch, and what it does.

    lckt_cost, lckt_coupling   [B, B]
    true_pair_mass             what couples a sample with itself (chance: 1 / B)
    same_class_mass            of the mass between samples whose labels may be used, the share within a class;
                               absent where there is none
    coupling_entropy           from 0, a matching one to one, to 1, everything with everything
    """
    coupling = SOLVERS[solver](cost)
    measures = {"lckt_cost": cost, "lckt_coupling": coupling, "true_pair_mass": coupling.trace()}
    alike = same_class(batch)
    known = alike.diagonal()
    among_known = coupling[known][:, known].sum()
    if among_known > 0:
        measures["same_class_mass"] = (coupling * alike).sum() / among_known
    if len(cost) > 1:
        entropy = torch.special.entr(coupling).sum() / math.log(len(cost))
        measures["coupling_entropy"] = entropy - 1
    return {name: value.cpu().numpy() for name, value in measures.items()}


@baseline("lckt", title="LCKT", paper="Chen et al., CVPR 2021 (local term)", arxiv="2012.08674")
class LCKT(Distiller):
    """loss = cross-entropy + 30 * <P, C> with C_ij = 1 - cos(q(h_S)_i, h_T_j) within the batch.

    q is a linear projection where widths differ, and P the optimal coupling for C - b I. Without the bonus b
    the loss is blind to permutations, and as q is free, whatever coupling comes up first reinforces itself:
    true pairs end with a few per cent of the mass. b falls linearly from `pairing` to 0 over the training.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 100, log=True, source="ours, chosen on validation")] = 30.0,
        pairing: Annotated[float, Range(0, 2, source="ours, chosen on validation; 0: plain transport")] = 1.0,
        solver: Annotated[
            str,
            Choice(
                ("ipot", "sinkhorn", "exact"), source="Xie et al. 2018, the transport of this line of work"
            ),
        ] = "ipot",
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.pairing, self.solver = weight, pairing, solver
        student, teacher = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.project = nn.Flatten() if student == teacher else LinearEmbed(student, teacher)

    def cost(self, teacher: Activations, student: Activations) -> Tensor:
        """The cost of coupling each of this batch's student embeddings with each of the teacher's, [B, B]."""
        return cosine_cost(self.project(student.embedding), teacher.embedding.flatten(1))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        cheaper = bonus(self.pairing, progress)
        return {"lckt": self.weight * transport_loss(self.cost(teacher, student), self.solver, cheaper)}

    @torch.no_grad()
    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        return coupling_diagnostics(self.cost(teacher, student), self.solver, batch)
