"""Wasserstein contrastive representation distillation: global and local (Chen et al., CVPR 2021)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from baselines._contrast import Embedded
from baselines.gckt import GCKT
from baselines.lckt import LCKT, bonus, cosine_cost, coupling_diagnostics, transport_loss
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


@baseline("wcord", title="WCoRD", paper="Chen et al., CVPR 2021", arxiv="2012.08674")
class WCoRD(Distiller):
    """loss = cross-entropy + 0.8 * GCKT + 30 * <P, C>, P the optimal coupling of the batch under C - b I.

    `cost` says where C is taken. "own" (default): between the teacher's embeddings and a projection of the
    student's, as in `lckt`; there the bonus b, which falls linearly from `pairing` to 0 over the training,
    is all that says which pairs are true. "critic": between the outputs of the global term's critic, the
    teacher's held constant, in a space that the global term aligns by pairs. The other settings of the parts
    are their own defaults. Terms: "gckt" and "lckt".
    """

    needs = GCKT.needs | LCKT.needs

    def __init__(
        self,
        context: Context,
        *,
        gckt_weight: Annotated[float, Range(0.05, 5, log=True, source="as in GCKT")] = 0.8,
        lckt_weight: Annotated[float, Range(0.05, 100, log=True, source="ours, chosen on validation")] = 30.0,
        cost: Annotated[str, Choice(("own", "critic"), source="ours, chosen on validation")] = "own",
        pairing: Annotated[float, Range(0, 2, source="as in LCKT")] = 1.0,
        objective: Annotated[str, Choice(("nce", "dual"), source="as in GCKT")] = "nce",
        centre: Annotated[bool, Choice((False, True), source="as in GCKT")] = False,
        temperature: Annotated[float, Range(0.01, 0.5, log=True, source="as in GCKT")] = 0.07,
        dimension: Annotated[int, Range(16, 512, log=True, source="as in GCKT")] = 128,
        negatives: Annotated[int, Range(64, 16384, log=True, source="as in GCKT")] = 16384,
        momentum: Annotated[float, Range(0, 0.99, source="as in GCKT")] = 0.5,
        negatives_from: Annotated[
            str, Choice(("other_classes", "other_samples"), source="as in GCKT")
        ] = "other_classes",
        solver: Annotated[str, Choice(("ipot", "sinkhorn", "exact"), source="as in LCKT")] = "ipot",
        **options: float,
    ):
        super().__init__(context, **options)
        self.lckt_weight, self.solver, self.pairing = lckt_weight, solver, pairing
        self.gckt = GCKT(
            context,
            weight=gckt_weight,
            objective=objective,
            centre=centre,
            temperature=temperature,
            dimension=dimension,
            negatives=negatives,
            momentum=momentum,
            negatives_from=negatives_from,
        )
        self.own = LCKT(context) if cost == "own" else None

    def cost(self, embedded: Embedded, teacher: Activations, student: Activations) -> Tensor:
        """The cost of coupling students and teachers of a batch, [B, B]; `embedded`: the critic's outputs."""
        if self.own is not None:
            return self.own.cost(teacher, student)
        return cosine_cost(embedded["student"], embedded["teacher"].detach())

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        embedded = self.gckt.embed(student.embedding, teacher.embedding)
        cost = self.cost(embedded, teacher, student)
        local = transport_loss(cost, self.solver, bonus(self.pairing, progress))
        return {**self.gckt.terms(embedded, batch), "lckt": self.lckt_weight * local}

    @torch.no_grad()
    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        embedded = self.gckt.embed(student.embedding, teacher.embedding)
        local = coupling_diagnostics(self.cost(embedded, teacher, student), self.solver, batch)
        return self.gckt.diagnostics(teacher, student, batch) | local
