"""MARS: the privileged stream's embedding, imitated beside the task (Crasto et al., CVPR 2019)."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from baselines._projection import LinearEmbed
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def mars_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of embeddings [B, D] over all elements, float32.

    The paper (eq. 2) writes the squared norm; the mean is that of its authors' code.
    """
    return F.mse_loss(student.float(), teacher.float())


@baseline("mars", title="MARS", paper="Crasto et al., CVPR 2019")
class MARS(Distiller):
    """loss = cross-entropy + 50 * mars_loss of the penultimate embeddings (weight as in the authors' code).

    The paper's streams are of one architecture; where widths differ here, a linear map takes the student's
    embedding to the teacher's.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.5, 500, log=True, source="authors' code: 50")] = 50.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.project = nn.Flatten() if ours == theirs else LinearEmbed(ours, theirs)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        loss = mars_loss(self.project(student.embedding), teacher.embedding.flatten(1))
        return {"mars": self.weight * loss}
