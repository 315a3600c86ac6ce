"""Relational distillation: a sample's likeness to a queue of past ones (Giakoumoglou and Stathaki, 2024)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._memory import Loan
from baselines._projection import LinearEmbed
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def rrd_loss(
    student_scores: Tensor, teacher_scores: Tensor, student_temperature: float, teacher_temperature: float
) -> Tensor:
    """-mean_b sum_q softmax(t / T_t)_q log softmax(s / T_s)_q, scores [B, Q] against a queue, float32.

    A cross-entropy, not a divergence: the teacher's entropy isn't subtracted, so it doesn't fall to zero.
    Source: authors' code.
    """
    target = F.softmax(teacher_scores.float() / teacher_temperature, dim=1)
    return F.cross_entropy(student_scores.float() / student_temperature, target)


class Queue(nn.Module):
    """A ring `rows` [size, dimension] of the last vectors; `position` is where the next one goes.

    The first rows are noise with columns of unit length: short ones, which no sample is alike.
    """

    rows: Tensor
    position: Tensor

    def __init__(self, size: int, dimension: int):
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(size, dimension), dim=0))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.loan = Loan()

    @torch.no_grad()
    def enter(self, vectors: Tensor) -> Tensor:
        """The rows after vectors [B, dimension] took the places of the oldest; eval mode forgets them again.

        Of more vectors than there are places the last ones enter.
        """
        size = len(self.rows)
        kept = vectors[-size:].float()
        # Distinct places, since there are no more vectors than places: no order of writing matters.
        offset = torch.arange(len(vectors) - len(kept), len(vectors), device=vectors.device)
        place = (self.position + offset) % size
        if not self.training:
            return self.rows.index_copy(0, place, kept)
        self.rows = self.loan.write(self.rows, place, kept)
        self.position = (self.position + len(vectors)) % size
        return self.rows


@baseline("rrd", title="RRD", paper="Giakoumoglou and Stathaki, arXiv 2024", arxiv="2407.12073")
class RRD(Distiller):
    """loss = cross-entropy + 1 * rrd_loss of embeddings at unit length in 128 dimensions, T_s 0.1, T_t 0.02.

    The batch's teacher vectors enter the queue first, so that a sample's own is among its candidates. Only
    the student's projection is trained: the teacher's is a fixed random one, as in the authors' code. The
    queue has 16,384 places or as many as there are training samples, whichever is fewer: more would hold
    samples twice.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 20, log=True, source="authors' code, -b 1")] = 1.0,
        student_temperature: Annotated[
            float, Range(0.02, 0.5, log=True, source="authors' code, nce_t_s 0.1")
        ] = 0.1,
        teacher_temperature: Annotated[
            float, Range(0.005, 0.2, log=True, source="authors' code, nce_t_t 0.02")
        ] = 0.02,
        dimension: Annotated[int, Range(16, 512, log=True, source="authors' code, feat_dim 128")] = 128,
        queue: Annotated[int, Range(64, 65536, log=True, source="authors' code, nce_k 16384")] = 16384,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.embed_student = LinearEmbed(ours, dimension, normalize=True)
        self.embed_teacher = LinearEmbed(theirs, dimension, normalize=True).requires_grad_(False)
        self.queue = Queue(min(queue, context.num_samples), dimension)

    def contrast(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The unweighted loss of embeddings [B, D] and [B, D']; the teacher's enter the queue."""
        ours, theirs = self.embed_student(student), self.embed_teacher(teacher)
        rows = self.queue.enter(theirs)
        with torch.autocast(ours.device.type, enabled=False), self.queue.loan.noted():
            scores = ours @ rows.T, theirs @ rows.T
        return rrd_loss(*scores, self.student_temperature, self.teacher_temperature)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"rrd": self.weight * self.contrast(student.embedding, teacher.embedding)}
