"""What contrastive methods share: scores against a memory bank in both directions, and what they tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from baselines._memory import MemoryBank
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range
from benchmark.contracts import IGNORE

Embedded = dict[str, Tensor]
"""The projected embeddings of both networks, "student" and "teacher", each [B, d]."""


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


def same_class(batch: Batch) -> Tensor:
    """Which samples of a batch are known to be of one class, [B, B] bool; none where pixels have classes."""
    label = batch["label"]
    if label.ndim > 1:
        return torch.zeros(len(label), len(label), dtype=torch.bool, device=label.device)
    known = batch["labelled"] & (label != IGNORE)
    return (label[:, None] == label[None, :]) & known[:, None] & known[None, :]


def pair_measures(scores: Tensor) -> dict[str, np.ndarray]:
    """What a critic makes of the pairs of a batch: scores [B, B] of student i with teacher j.

    positive_score and negative_score   means over the samples' own pairs and over all others
    retrieval_at_1                      share of students whose best teacher is their own (chance: 1 / B)
    """
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    found = scores.argmax(1) == torch.arange(len(scores), device=scores.device)
    measures = {
        "positive_score": scores[own].mean(),
        "negative_score": scores[~own].mean(),
        "retrieval_at_1": found.float().mean(),
    }
    return {name: value.cpu().numpy() for name, value in measures.items()}


class BankContrast(Distiller):
    """loss = weight * (objective of student anchors in the teacher's bank + the reverse).

    A subclass says how embeddings are projected (`make_embed`, (width, dimension) -> module), whether bank
    rows keep unit length, and what `objective` the scores go into. The positive is the bank's row of the same
    sample, as it was before this step.
    """

    needs = frozenset({"embedding"})
    term: ClassVar[str]
    unit_rows: ClassVar[bool]
    epsilon: ClassVar[float] = 0.0

    def __init__(
        self,
        context: Context,
        make_embed: Callable[[int, int], nn.Module],
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
        self.embed_student = make_embed(math.prod(context.student.embedding), dimension)
        self.embed_teacher = make_embed(math.prod(context.teacher.embedding), dimension)
        self.memory = MemoryBank(
            context.train_labels,
            dimension,
            negatives=negatives,
            momentum=momentum,
            negatives_from=negatives_from,
        )

    def objective(self, scores: Tensor, side: str) -> Tensor:
        """The unweighted loss of the anchors of `side`, scores [B, 1 + M], the positive first."""
        normalizer = self.memory.normalizer(side, scores / self.temperature)
        return nce_loss(scores, normalizer, len(self.memory.order), self.temperature, self.epsilon)

    def embed(self, student: Tensor, teacher: Tensor) -> Embedded:
        """Both networks' embeddings [B, D], projected."""
        return {"student": self.embed_student(student), "teacher": self.embed_teacher(teacher)}

    def contrast(self, embedded: Embedded, rows: Tensor) -> dict[str, Tensor]:
        """Both directions' unweighted losses for bank rows [B, 1 + M], own rows first.

        Moves the samples' rows afterwards.
        """
        losses = {}
        for side, other in (("student", "teacher"), ("teacher", "student")):
            losses[side] = self.objective(self.memory.scores(embedded[side], other, rows), side)
        self.memory.update(rows[:, 0], embedded["student"], embedded["teacher"], normalize=self.unit_rows)
        return losses

    def terms(self, embedded: Embedded, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss of a batch's projected embeddings, under the method's name."""
        losses = self.contrast(embedded, self.memory.draw(batch["index"]))
        return {self.term: self.weight * (losses["student"] + losses["teacher"])}

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return self.terms(self.embed(student.embedding, teacher.embedding), batch)

    def posterior(self, embedded: Embedded, batch: Batch) -> dict[str, np.ndarray]:
        """P / (P + c), the mean probability that a true pair is given: student anchors on the bank."""
        scores = self.memory.scores(embedded["student"], "teacher", batch["index"][:, None])
        scaled = scores / self.temperature
        ratio = scaled.exp() / self.memory.normalizer("student", scaled)
        noise = self.memory.num_negatives / len(self.memory.order)
        return {"posterior": (ratio / (ratio + noise)).mean().cpu().numpy()}

    @torch.no_grad()
    def diagnostics(self, teacher: Activations, student: Activations, batch: Batch) -> dict[str, np.ndarray]:
        embedded = self.embed(student.embedding, teacher.embedding)
        scores = embedded["student"] @ embedded["teacher"].T
        return pair_measures(scores) | self.posterior(embedded, batch)
