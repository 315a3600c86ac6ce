"""Correlation congruence: how samples of a batch deviate together (Peng et al., ICCV 2019)."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor

from baselines._projection import LinearEmbed
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def cc_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """mean_i <delta_i, delta_(i+1)> with delta = |e_s - e_t|, embeddings [B, D], float32.

    The form of the CRD benchmark: it couples consecutive samples of a batch, where the paper compares
    matrices of kernel correlations between all of them (section 3.3). A batch of one has no pairs: 0.
    """
    delta = (student.float() - teacher.float()).abs()
    if len(delta) < 2:
        return 0 * delta.sum()
    return (delta[:-1] * delta[1:]).sum(1).mean()


@baseline("cc", title="CC", paper="Peng et al., ICCV 2019", arxiv="1904.01802")
class CC(Distiller):
    """loss = cross-entropy + 0.02 * cc_loss of embeddings projected to 128, both projections trained.

    Weight and width are those of the CRD benchmark. Its loss is not the paper's: see `cc_loss`.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.001, 1, log=True, source="CRD benchmark, correlation: beta")] = 0.02,
        dimension: Annotated[int, Range(16, 512, log=True, source="CRD benchmark, feat_dim")] = 128,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.embed_student = LinearEmbed(math.prod(context.student.embedding), dimension)
        self.embed_teacher = LinearEmbed(math.prod(context.teacher.embedding), dimension)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        loss = cc_loss(self.embed_student(student.embedding), self.embed_teacher(teacher.embedding))
        return {"cc": self.weight * loss}
