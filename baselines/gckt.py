"""Global contrastive knowledge transfer: WCoRD's dual form, a Lipschitz critic of paired embeddings."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor

from baselines._memory import MemoryBank
from baselines._projection import LipschitzEmbed
from baselines.crd import nce_loss
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


def dual_loss(scores: Tensor) -> Tensor:
    """-(mean score of joint pairs - mean of independent ones), scores [B, 1 + M], the joint pair first.

    The Kantorovich-Rubinstein dual with f = s / sqrt(2), which is 1-Lipschitz in the joint Euclidean metric.
    """
    return scores[:, 1:].mean() - scores[:, 0].mean()


@baseline("gckt", title="GCKT", paper="Chen et al., CVPR 2021 (global term)", arxiv="2012.08674")
class GCKT(Distiller):
    """loss = cross-entropy + 0.8 * (objective of student anchors in the teacher's bank + the reverse).

    The critic is s(h_T, h_S) = <W_T u_T, W_S u_S> with u = h / |h| and the largest singular value of each W
    held at 1, so that |s - s'| <= |u_T - u_T'| + |u_S - u_S'|. Nothing is normalised after W (that would undo
    the constraint). Objective `nce` (default) is CRD's estimator on these scores, without its epsilon; `dual`
    the plain Wasserstein form. Dimension, temperature, negatives and momentum are CRD's; the weight is a
    starting point for WCoRD's first lambda.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 5, log=True, source="CRD's weight; tune on validation")] = 0.8,
        objective: Annotated[str, Choice(("nce", "dual"), source="nce: as in CRD")] = "nce",
        temperature: Annotated[float, Range(0.03, 0.5, log=True, source="as in CRD")] = 0.07,
        dimension: Annotated[int, Range(16, 512, log=True, source="as in CRD")] = 128,
        negatives: Annotated[int, Range(64, 16384, log=True, source="as in CRD")] = 16384,
        momentum: Annotated[float, Range(0, 0.99, source="as in CRD")] = 0.5,
        negatives_from: Annotated[
            str, Choice(("other_classes", "other_samples"), source="as in CRD")
        ] = "other_classes",
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.objective = objective
        self.temperature = temperature
        self.embed_student = LipschitzEmbed(math.prod(context.student.embedding), dimension)
        self.embed_teacher = LipschitzEmbed(math.prod(context.teacher.embedding), dimension)
        self.memory = MemoryBank(
            context.train_labels,
            dimension,
            negatives=negatives,
            momentum=momentum,
            negatives_from=negatives_from,
        )

    def contrast(self, student: Tensor, teacher: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Both directions' unweighted losses: embeddings [B, D], bank rows [B, 1 + M], own rows first.

        Moves the samples' rows afterwards; they are not normalised again.
        """
        anchors = {"student": self.embed_student(student), "teacher": self.embed_teacher(teacher)}
        losses = {}
        for side, other in (("student", "teacher"), ("teacher", "student")):
            scores = self.memory.scores(anchors[side], other, rows)
            if self.objective == "dual":
                losses[side] = dual_loss(scores)
            else:
                normalizer = self.memory.normalizer(side, scores / self.temperature)
                losses[side] = nce_loss(scores, normalizer, len(self.memory.order), self.temperature, 0.0)
        self.memory.update(rows[:, 0], anchors["student"], anchors["teacher"], normalize=False)
        return losses

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        rows = self.memory.draw(batch["index"])
        losses = self.contrast(student.embedding, teacher.embedding.detach(), rows)
        return {"gckt": self.weight * (losses["student"] + losses["teacher"])}
