"""Global contrastive knowledge transfer: WCoRD's dual form, a Lipschitz critic of paired embeddings."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from baselines._contrast import BankContrast
from baselines._projection import LipschitzEmbed
from benchmark import Choice, Context, baseline


def dual_loss(scores: Tensor) -> Tensor:
    """-(mean score of joint pairs - mean of independent ones), scores [B, 1 + M], the joint pair first.

    The Kantorovich-Rubinstein dual with f = s / sqrt(2), which is 1-Lipschitz in the joint Euclidean metric.
    """
    return scores[:, 1:].mean() - scores[:, 0].mean()


@baseline("gckt", title="GCKT", paper="Chen et al., CVPR 2021 (global term)", arxiv="2012.08674")
class GCKT(BankContrast):
    """loss = cross-entropy + 0.8 * (objective of student anchors in the teacher's bank + the reverse).

    The critic is s(h_T, h_S) = <W_T u_T, W_S u_S> with u = h / |h| and the largest singular value of each W
    held at 1, so that |s - s'| <= |u_T - u_T'| + |u_S - u_S'|. Nothing is normalised after W (that would undo
    the constraint), bank rows included. Objective `nce` (default) is CRD's estimator on these scores, without
    its epsilon; `dual` the plain Wasserstein form. The other defaults are CRD's; the weight is a starting
    point for WCoRD's first lambda, to be tuned on validation data.
    """

    term = "gckt"
    unit_rows = False

    def __init__(
        self,
        context: Context,
        *,
        objective: Annotated[str, Choice(("nce", "dual"), source="nce: as in CRD")] = "nce",
        **options: float,
    ):
        super().__init__(context, **options)
        self.dual = objective == "dual"

    @staticmethod
    def make_embed(in_features: int, out_features: int) -> nn.Module:
        return LipschitzEmbed(in_features, out_features)

    def objective(self, scores: Tensor, side: str) -> Tensor:
        return dual_loss(scores) if self.dual else super().objective(scores, side)
