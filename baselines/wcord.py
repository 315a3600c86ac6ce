"""Wasserstein contrastive representation distillation: global and local (Chen et al., CVPR 2021)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from baselines._contrast import Embedded
from baselines.gckt import GCKT
from baselines.lckt import LCKT, cosine_cost, coupling_diagnostics, transport_loss
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


@baseline("wcord", title="WCoRD", paper="Chen et al., CVPR 2021", arxiv="2012.08674")
class WCoRD(Distiller):
    """loss = cross-entropy + 0.8 * GCKT + 1 * <P, C>, with P the optimal coupling of the batch under C.

    `cost` says where C is taken. "critic" (default): between the outputs of the global term's critic, the
    teacher's held constant, so that both forms of the Wasserstein distance speak about one space, which the
    global term aligns by pairs. "own": in a space of the local term's own, as in `lckt`; nothing there says
    which pairs are true. The parts' settings are their own defaults. Terms: "gckt" and "lckt".
    """

    needs = GCKT.needs | LCKT.needs

    def __init__(
        self,
        context: Context,
        *,
        gckt_weight: Annotated[float, Range(0.05, 5, log=True, source="as in GCKT")] = 0.8,
        lckt_weight: Annotated[
            float, Range(0.01, 10, log=True, source="ours; to be chosen on validation")
        ] = 1.0,
        cost: Annotated[str, Choice(("critic", "own"), source="ours; to be chosen on validation")] = "critic",
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
        self.lckt_weight, self.solver = lckt_weight, solver
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
        local = transport_loss(self.cost(embedded, teacher, student), self.solver)
        return {**self.gckt.terms(embedded, batch), "lckt": self.lckt_weight * local}

    @torch.no_grad()
    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        embedded = self.gckt.embed(student.embedding, teacher.embedding)
        local = coupling_diagnostics(self.cost(embedded, teacher, student), self.solver, batch)
        return self.gckt.diagnostics(teacher, student, batch) | local
