"""Global contrastive knowledge transfer: WCoRD's dual form, a Lipschitz critic of paired embeddings."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from torch import Tensor

from baselines._contrast import BankContrast, Embedded
from baselines._projection import LipschitzEmbed
from benchmark import Batch, Choice, Context, Range, baseline

UNIT_TEMPERATURE = 0.07
"""The temperature that weights are told for."""


def dual_loss(scores: Tensor) -> Tensor:
    """-(mean score of joint pairs - mean of independent ones), scores [B, 1 + M], the joint pair first.

    The Kantorovich-Rubinstein dual with f = s / sqrt(2), which is 1-Lipschitz in the joint Euclidean metric.
    Source: the dual form of the paper's global term.
    """
    return scores[:, 1:].mean() - scores[:, 0].mean()


@baseline("gckt", title="GCKT", paper="Chen et al., CVPR 2021 (global term)", arxiv="2012.08674")
class GCKT(BankContrast):
    """loss = cross-entropy + 0.8 * (objective of student anchors in the teacher's bank + the reverse).

    The critic is s(h_T, h_S) = <W_T u_T, W_S u_S> with u = h / |h| and the largest singular value of each W
    held at 1, so that |s - s'| <= |u_T - u_T'| + |u_S - u_S'|. Nothing is normalised after W (that would undo
    the constraint), bank rows included. `centre` takes a running mean from u first, under the same
    inequality. Objective `nce` (default) is CRD's estimator on these scores, without its epsilon; `dual` the
    plain Wasserstein form of the critic s / temperature, whose Lipschitz constant is 1 / temperature.

    `weight` is that at temperature 0.07 and goes in proportion to it, because gradients of s / temperature
    do not: one can be tuned without the other. The other defaults are CRD's.
    """

    term = "gckt"
    unit_rows = False

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 5, log=True, source="CRD benchmark, beta 0.8")] = 0.8,
        temperature: Annotated[float, Range(0.01, 0.5, log=True, source="CRD benchmark, nce_t")] = 0.07,
        objective: Annotated[str, Choice(("nce", "dual"), source="nce: as in CRD")] = "nce",
        centre: Annotated[bool, Choice((False, True), source="ours; to be chosen on validation")] = False,
        **options: float,
    ):
        super().__init__(
            context,
            partial(LipschitzEmbed, centre=centre),
            weight=weight * temperature / UNIT_TEMPERATURE,
            temperature=temperature,
            **options,
        )
        self.dual = objective == "dual"

    def objective(self, scores: Tensor, side: str) -> Tensor:
        return dual_loss(scores) / self.temperature if self.dual else super().objective(scores, side)

    def posterior(self, embedded: Embedded, batch: Batch) -> dict[str, np.ndarray]:
        """None where the objective is no classifier of pairs."""
        return {} if self.dual else super().posterior(embedded, batch)
