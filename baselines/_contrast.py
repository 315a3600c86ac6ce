"""What CRD and GCKT share: a critic's scores of an anchor against a memory bank, in both directions."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from torch import Tensor, nn

from baselines._memory import MemoryBank
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range


def nce_loss(
    scores: Tensor, normalizer: Tensor, num_samples: int, temperature: float, epsilon: float
) -> Tensor:
    """Noise-contrastive estimation: one positive against M negatives per anchor, mean over anchors, float32.

    scores [B, 1 + M], the positive first; normalizer Z, a scalar tensor without gradient; num_samples N.
    With P = exp(scores / temperature) / Z and c = M / N:
    -log(P_0 / (P_0 + c + epsilon)) - sum_j log(c / (P_j + c + epsilon)).
    Source: Tian et al., ICLR 2020, section 3, with the constants Z and epsilon of its reference code.
    """
    noise = (scores.shape[1] - 1) / num_samples
    log_ratio = scores.float() / temperature - (normalizer.log() + math.log(noise))
    # Both kinds of term are log(1 + P/c + epsilon/c); the positive one has -log(P_0/c) besides.
    # torch.log1p would be exact for tiny ratios, but is twelve times slower than log on CPUs.
    total = (log_ratio.exp() + (1 + epsilon / noise)).log().sum(1)
    return (total - log_ratio[:, 0]).mean()


class BankContrast(Distiller):
    """loss = weight * (objective of student anchors in the teacher's bank + the reverse).

    A subclass says how embeddings are projected (`make_embed`), whether bank rows keep unit length, and what
    `objective` the scores go into. The positive is the bank's row of the same sample, as it was before this
    step.
    """

    needs = frozenset({"embedding"})
    term: ClassVar[str]
    unit_rows: ClassVar[bool]
    epsilon: ClassVar[float] = 0.0

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
        self.embed_student = self.make_embed(math.prod(context.student.embedding), dimension)
        self.embed_teacher = self.make_embed(math.prod(context.teacher.embedding), dimension)
        self.memory = MemoryBank(
            context.train_labels,
            dimension,
            negatives=negatives,
            momentum=momentum,
            negatives_from=negatives_from,
        )

    @staticmethod
    def make_embed(in_features: int, out_features: int) -> nn.Module:
        """The projection of one side, [B, in_features] -> [B, out_features]."""
        raise NotImplementedError

    def objective(self, scores: Tensor, side: str) -> Tensor:
        """The unweighted loss of the anchors of `side`, scores [B, 1 + M], the positive first."""
        normalizer = self.memory.normalizer(side, scores / self.temperature)
        return nce_loss(scores, normalizer, len(self.memory.order), self.temperature, self.epsilon)

    def contrast(self, student: Tensor, teacher: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Both directions' unweighted losses: embeddings [B, D], bank rows [B, 1 + M], own rows first.

        Moves the samples' rows afterwards.
        """
        anchors = {"student": self.embed_student(student), "teacher": self.embed_teacher(teacher)}
        losses = {}
        for side, other in (("student", "teacher"), ("teacher", "student")):
            losses[side] = self.objective(self.memory.scores(anchors[side], other, rows), side)
        self.memory.update(rows[:, 0], anchors["student"], anchors["teacher"], normalize=self.unit_rows)
        return losses

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        rows = self.memory.draw(batch["index"])
        losses = self.contrast(student.embedding, teacher.embedding, rows)
        return {self.term: self.weight * (losses["student"] + losses["teacher"])}
