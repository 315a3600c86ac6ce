"""Wasserstein contrastive representation distillation: global and local (Chen et al., CVPR 2021)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from torch import Tensor

from baselines.gckt import GCKT
from baselines.lckt import LCKT
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


@baseline("wcord", title="WCoRD", paper="Chen et al., CVPR 2021", arxiv="2012.08674")
class WCoRD(Distiller):
    """loss = cross-entropy + 0.8 * GCKT + 0.05 * LCKT.

    The two weights are starting points, to be tuned on validation data; the parts' settings are their own
    defaults. Terms: "gckt" and "lckt".
    """

    needs = GCKT.needs | LCKT.needs

    def __init__(
        self,
        context: Context,
        *,
        gckt_weight: Annotated[
            float, Range(0.05, 5, log=True, source="starting point; tune on validation")
        ] = 0.8,
        lckt_weight: Annotated[
            float, Range(0.005, 5, log=True, source="starting point; tune on validation")
        ] = 0.05,
        objective: Annotated[str, Choice(("nce", "dual"), source="as in GCKT")] = "nce",
        temperature: Annotated[float, Range(0.03, 0.5, log=True, source="as in GCKT")] = 0.07,
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
        self.gckt = GCKT(
            context,
            weight=gckt_weight,
            objective=objective,
            temperature=temperature,
            dimension=dimension,
            negatives=negatives,
            momentum=momentum,
            negatives_from=negatives_from,
        )
        self.lckt = LCKT(context, weight=lckt_weight, solver=solver)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return self.gckt(teacher, student, batch, progress) | self.lckt(teacher, student, batch, progress)

    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        return self.lckt.diagnostics(teacher, student, batch)
