"""Contrastive representation distillation with a memory bank (Tian et al., ICLR 2020)."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor

from baselines._memory import MemoryBank
from baselines._projection import LinearEmbed
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


def nce_loss(
    scores: Tensor, normalizer: Tensor, num_samples: int, temperature: float, epsilon: float
) -> Tensor:
    """Noise-contrastive estimation: one positive against M negatives per anchor, mean over anchors, float32.

    scores [B, 1 + M], the positive first; normalizer Z, a scalar tensor without gradient; num_samples N.
    With P = exp(scores / temperature) / Z and c = M / N:
    -log(P_0 / (P_0 + c + epsilon)) - sum_j log(c / (P_j + c + epsilon)).
    Source: section 3 of the paper, with the constants Z and epsilon of its reference code.
    """
    noise = (scores.shape[1] - 1) / num_samples
    log_ratio = scores.float() / temperature - (normalizer.log() + math.log(noise))
    # Both kinds of term are log(1 + P/c + epsilon/c); the positive one has -log(P_0/c) besides.
    # torch.log1p would be exact for tiny ratios, but is twelve times slower than log on CPUs.
    total = (log_ratio.exp() + (1 + epsilon / noise)).log().sum(1)
    return (total - log_ratio[:, 0]).mean()


@baseline("crd", title="CRD", paper="Tian et al., ICLR 2020", arxiv="1910.10699")
class CRD(Distiller):
    """loss = cross-entropy + 0.8 * (NCE of student anchors in the teacher's bank + the reverse).

    Embeddings of both networks are projected linearly to 128 and normalised; temperature 0.07, bank momentum
    0.5, 16,384 negatives from other classes (fewer where there aren't as many): all defaults are those of the
    CRD benchmark. The positive is the bank's row of the same sample, as it was before this step.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 5, log=True, source="CRD benchmark, beta 0.8")] = 0.8,
        temperature: Annotated[float, Range(0.03, 0.5, log=True, source="CRD benchmark, nce_t")] = 0.07,
        dimension: Annotated[int, Range(16, 512, log=True, source="CRD benchmark, feat_dim")] = 128,
        negatives: Annotated[int, Range(64, 16384, log=True, source="CRD benchmark, nce_k")] = 16384,
        momentum: Annotated[float, Range(0, 0.99, source="CRD benchmark, nce_m")] = 0.5,
        negatives_from: Annotated[
            str, Choice(("other_classes", "other_samples"), source="CRD benchmark, mode exact")
        ] = "other_classes",
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.temperature = temperature
        self.embed_student = LinearEmbed(math.prod(context.student.embedding), dimension, normalize=True)
        self.embed_teacher = LinearEmbed(math.prod(context.teacher.embedding), dimension, normalize=True)
        self.memory = MemoryBank(
            context.train_labels,
            dimension,
            negatives=negatives,
            momentum=momentum,
            negatives_from=negatives_from,
        )

    def contrast(self, student: Tensor, teacher: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Both directions' unweighted losses: embeddings [B, D], bank rows [B, 1 + M], own rows first.

        Moves the samples' rows afterwards.
        """
        anchors = {"student": self.embed_student(student), "teacher": self.embed_teacher(teacher)}
        losses = {}
        for side, other in (("student", "teacher"), ("teacher", "student")):
            scores = self.memory.scores(anchors[side], other, rows)
            normalizer = self.memory.normalizer(side, scores / self.temperature)
            losses[side] = nce_loss(scores, normalizer, len(self.memory.order), self.temperature, 1e-7)
        self.memory.update(rows[:, 0], anchors["student"], anchors["teacher"], normalize=True)
        return losses

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        rows = self.memory.draw(batch["index"])
        losses = self.contrast(student.embedding, teacher.embedding.detach(), rows)
        return {"crd": self.weight * (losses["student"] + losses["teacher"])}
