"""SimKD: the student's features, projected, under the teacher's own classifier (Chen et al., CVPR 2022)."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from baselines._maps import POOLINGS, pool_to
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from baselines._teacher_head import fixed_head
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def simkd_loss(projected: Tensor, teacher_feature: Tensor) -> Tensor:
    """Mean squared difference over all elements of two maps or vectors of one shape, float32 (eq. 2).

    Maps [B, C, *space] or vectors [B, D].
    """
    return F.mse_loss(projected.float(), teacher_feature.float())


def projector(axes: int, student: int, teacher: int, reduction: int) -> nn.Sequential:
    """Convolutions of 1, 3, 1 places with batch norm and ReLU, narrow inside; linear ones for no axes."""
    width = max(1, teacher // reduction)
    layers: list[nn.Module] = []
    for before, after, kernel in ((student, width, 1), (width, width, 3), (width, teacher, 1)):
        if axes:
            layers += [CONVOLUTIONS[axes](before, after, kernel, padding=kernel // 2, bias=False)]
        else:
            layers += [nn.Linear(before, after, bias=False)]
        layers += [BATCH_NORMS[axes or 1](after), nn.ReLU()]
    return nn.Sequential(*layers)


@baseline("simkd", title="SimKD", paper="Chen et al., CVPR 2022", arxiv="2203.14001")
class SimKD(Distiller):
    """loss = 1 * simkd_loss of the projected last map; predictions come from the teacher's fixed classifier.

    No supervised term, projector and weight as in the authors' code (reduction 2). Where the teacher's
    embedding isn't the mean of its last map, or the maps have other axes than the student's, embeddings are
    projected instead of maps.
    """

    needs = frozenset({"logits", "maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, -b 1")] = 1.0,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, -c 0")] = 0.0,
        reduction: Annotated[int, Range(1, 8, log=True, source="authors' code, factor 2")] = 2,
    ):
        super().__init__(context, task_weight=task_weight)
        self.weight = weight
        self.head = fixed_head(context)
        ours, theirs = context.student.maps[-1], context.teacher.maps[-1]
        same_axes = len(ours) == len(theirs) and len(theirs) - 1 in POOLINGS
        self.on_maps = same_axes and context.teacher_pooled
        self.grid = tuple(min(pair) for pair in zip(ours[1:], theirs[1:], strict=False))
        source = ours[0] if self.on_maps else math.prod(context.student.embedding)
        width = math.prod(context.teacher.embedding)
        self.project = projector(len(theirs) - 1 if self.on_maps else 0, source, width, reduction)

    def _projected(self, student: Activations) -> Tensor:
        if not self.on_maps:
            return self.project(student.embedding.flatten(1))
        return self.project(pool_to(student.maps[-1], self.grid))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        target = pool_to(teacher.last_feature, self.grid) if self.on_maps else teacher.embedding.flatten(1)
        return {"simkd": self.weight * simkd_loss(self._projected(student), target)}

    def predict(self, student: Activations) -> Tensor:
        projected = self._projected(student)
        return self.head(projected.flatten(2).mean(2) if self.on_maps else projected)
