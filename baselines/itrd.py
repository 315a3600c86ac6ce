"""Information-theoretic distillation: correlated features, and a shared Gram matrix (Miles et al., 2022)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._projection import LinearEmbed
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline

EPSILON = 1e-6
"""Below this length over the batch a centred dimension counts as constant; ReLUs leave dead ones."""


def correlation_loss(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """log2 sum_d |c_d - 1|^(2 alpha), embeddings [B, D], float32.

    c_d = sum_b z_s z_t / B with both sides standardised over the batch by the unbiased standard deviation, so
    that c_d is (B - 1) / B at most. A constant dimension has c_d = 0 (the authors' code: NaN).
    """
    batch = len(student)
    ours, theirs = (_centred_unit(each.float()) for each in (student, teacher))
    correlation = (ours * theirs).sum(0) * (batch - 1) / batch
    return (correlation - 1).abs().pow(2 * alpha).sum().log2()


def mutual_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """|G_s / tr|^2 - |(G_s * G_t) / tr|^2, embeddings [B, D] and [B, D'], float32.

    G is the Gram matrix of the rows at unit length, * the product by elements, each over its own trace.
    Source: the paper's mutual information term; authors' code.
    """
    with torch.autocast(student.device.type, enabled=False):
        own, other = (F.normalize(each.float(), dim=1) for each in (student, teacher))
        gram = own @ own.T
        joint = gram * (other @ other.T)
    return _purity(gram) - _purity(joint)


def _centred_unit(values: Tensor) -> Tensor:
    """Each column of [B, D] less its mean, over its length."""
    return F.normalize(values - values.mean(0), dim=0, eps=EPSILON)


def _purity(gram: Tensor) -> Tensor:
    """The sum of squares of a matrix over its trace; 0 where the trace is."""
    return (gram / gram.diagonal().sum().clamp(min=EPSILON)).square().sum()


@baseline("itrd", title="ITRD", paper="Miles et al., BMVC 2022", arxiv="2112.00459")
class ITRD(Distiller):
    """loss = cross-entropy + 2 * correlation_loss + 0.05 * mutual_loss, alpha 1.5.

    The student's embedding is mapped linearly to the teacher's width; the mutual term takes it as it is where
    the widths agree. Weights are the defaults of the authors' script (its example for wrn_40_2 and wrn_16_2:
    2, 1.0 and alpha 1.01). The correlation term is negative where features correlate well.
    """

    needs = frozenset({"embedding"})

    def __init__(
        self,
        context: Context,
        *,
        correlation_weight: Annotated[
            float, Range(0.1, 20, log=True, source="authors' code, lambda_corr 2")
        ] = 2.0,
        mutual_weight: Annotated[
            float, Range(0.005, 5, log=True, source="authors' code, lambda_mutual 0.05")
        ] = 0.05,
        alpha: Annotated[float, Range(0.6, 3, log=True, source="authors' code, alpha_it 1.5")] = 1.5,
        **options: float,
    ):
        super().__init__(context, **options)
        self.correlation_weight, self.mutual_weight, self.alpha = correlation_weight, mutual_weight, alpha
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.embed = LinearEmbed(ours, theirs)
        self.same_width = ours == theirs

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        target = teacher.embedding.flatten(1)
        embedded = self.embed(student.embedding)
        compared = student.embedding.flatten(1) if self.same_width else embedded
        return {
            "correlation": self.correlation_weight * correlation_loss(embedded, target, self.alpha),
            "mutual": self.mutual_weight * mutual_loss(compared, target),
        }
