"""SemCKD: every stage of the student learns from all of the teacher's, by attention (Chen et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines._maps import check_same_axes, pool_match
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline

LARGEST = 200_000_000
"""The most parameters of all regressors: with wide teachers of four stages they would be a billion."""


class Similarities(nn.Module):
    """How a sample's map relates to those of the batch, [B, C, *space] -> [B, B // factor] of unit length.

    Rows of the Gram matrix of the flattened maps go through two linear layers, whose width is the batch's
    size. Always float32.
    """

    def __init__(self, batch_size: int, factor: int):
        super().__init__()
        width = max(1, batch_size // factor)
        self.layers = nn.Sequential(nn.Linear(batch_size, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, feature: Tensor) -> Tensor:
        with torch.autocast(feature.device.type, enabled=False):
            rows = feature.float().flatten(1)
            return F.normalize(self.layers(rows @ rows.T), dim=1)


def regressor(axes: int, student: int, teacher: int) -> nn.Sequential:
    """Convolutions of 1, 3, 1 places, wide inside, with batch norm and ReLU between them; no biases."""
    convolution, norm, width = CONVOLUTIONS[axes], BATCH_NORMS[axes], 2 * teacher
    return nn.Sequential(
        convolution(student, width, 1, bias=False),
        norm(width),
        nn.ReLU(),
        convolution(width, width, 3, padding=1, bias=False),
        norm(width),
        nn.ReLU(),
        convolution(width, teacher, 1, bias=False),
    )


def _parameters(axes: int, student: int, teacher: int) -> int:
    """How many the convolutions of a `regressor` have."""
    return 2 * teacher * (student + 3**axes * 2 * teacher + teacher)


def attention(queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
    """softmax over the teacher's T stages of <query_i, key_j>, S and T tensors [B, d] -> [B, S, T].

    Source: the paper's attention between stages, in the authors' form.
    """
    with torch.autocast(queries[0].device.type, enabled=False):
        return F.softmax(torch.stack(list(queries), 1) @ torch.stack(list(keys), 2), dim=2)


def semckd_loss(pairs: Sequence[tuple[Tensor, Tensor]], weights: Tensor) -> Tensor:
    """sum_bij weights[b, i, j] * mean (r_ij - t_ij)^2 / (B * S), the mean over a sample's map, float32.

    pairs     (regressed, teacher) maps of one shape for every (i, j), the S * T of them in the order of i, j
    weights   [B, S, T]
    Source: authors' code.
    """
    batch, stages, _ = weights.shape
    errors = [(ours.float() - theirs.float()).square().flatten(1).mean(1) for ours, theirs in pairs]
    return (torch.stack(errors, 1).view_as(weights) * weights).sum() / (batch * stages)


@baseline("semckd", title="SemCKD", paper="Chen et al., AAAI 2021", arxiv="2012.03236")
class SemCKD(Distiller):
    """loss = cross-entropy + 1 * kd_loss at T = 4 + 400 * semckd_loss over all pairs of stages.

    Weights and layers are the authors' for CIFAR-100. Keys are trained though teacher maps are their input,
    and the student learns through its Gram matrices, too. The layers are as wide as a training batch, so a
    batch of another size is refused (ValueError), where the authors' code leaves the term out: batches of
    training are all of one size here.
    """

    needs = frozenset({"logits", "maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(10, 4000, log=True, source="authors' code: beta 400")] = 400.0,
        kd_weight: Annotated[float, Range(0, 10, source="authors' code: alpha 1")] = 1.0,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code: kd_T 4")] = 4.0,
        factor: Annotated[int, Range(1, 16, log=True, source="authors' code: factor 4")] = 4,
        **options: float,
    ):
        super().__init__(context, **options)
        ours, theirs = context.student.maps[1:], context.teacher.maps[1:]
        if not (ours and theirs):
            raise NotApplicable("a network that shows its stem alone has no stages to match")
        if not context.batch_size:
            raise NotApplicable("its layers are as wide as a training batch, and nobody told its size")
        for pair in ((s, t) for s in ours for t in theirs):
            check_same_axes(*pair)
        self.weight, self.kd_weight, self.temperature = weight, kd_weight, temperature
        self.batch_size = context.batch_size
        self.queries, self.keys = (
            nn.ModuleList(Similarities(self.batch_size, factor) for _ in side) for side in (ours, theirs)
        )
        needed = sum(_parameters(len(t) - 1, s[0], t[0]) for s in ours for t in theirs)
        if needed > LARGEST:
            raise NotApplicable(f"its regressors would have {needed:,} parameters, {LARGEST:,} at most")
        self.regressors = nn.ModuleList(regressor(len(t) - 1, s[0], t[0]) for s in ours for t in theirs)

    def attention(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """How much each of the student's stages looks at each of the teacher's, per sample, [B, S, T]."""
        queries = [query(each) for query, each in zip(self.queries, student, strict=True)]
        keys = [key(each) for key, each in zip(self.keys, teacher, strict=True)]
        return attention(queries, keys)

    def pairs(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """(regressed, teacher) on the smaller of both grids, for every stage of one and of the other."""
        found = []
        every = ((ours, theirs) for ours in student for theirs in teacher)
        for regress, pair in zip(self.regressors, every, strict=True):
            ours, theirs = pool_match(*pair)
            found.append((regress(ours), theirs))
        return found

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        count = len(student.logits)
        if count != self.batch_size:
            raise ValueError(f"SemCKD was built for batches of {self.batch_size} samples, and got {count}")
        ours, theirs = student.maps[1:], teacher.maps[1:]
        loss = semckd_loss(self.pairs(ours, theirs), self.attention(ours, theirs))
        answers, own, _ = logit_rows(teacher, student, batch)
        return {
            "semckd": self.weight * loss,
            "kd": self.kd_weight * kd_loss(own, answers, self.temperature),
        }
