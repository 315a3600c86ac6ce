"""DIST: relations between classes and between samples instead of probabilities (Huang et al., 2022)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from benchmark import Activations, Batch, Context, Progress, Range, baseline

EPSILON = 1e-8


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Correlation coefficient of each row of [R, K] with its like, [R].

    Source: the paper's relation between predictions; epsilon as in the authors' code.
    """
    a, b = (each - each.mean(1, keepdim=True) for each in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + EPSILON)


def dist_losses(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(inter, intra) = T^2 * (1 - mean correlation) over rows and over columns of softmax(z / T), [R, K].

    float32. Inter relates the classes of a sample, intra the samples of a class (eq. 8, 9).
    """
    ours, theirs = (F.softmax(each.float() / temperature, dim=1) for each in (student, teacher))
    inter, intra = 1 - pearson(ours, theirs).mean(), 1 - pearson(ours.T, theirs.T).mean()
    return temperature**2 * inter, temperature**2 * intra


@baseline("dist", title="DIST", paper="Huang et al., NeurIPS 2022", arxiv="2205.10536")
class DIST(LogitDistiller):
    """loss = cross-entropy + 2 * inter + 2 * intra at T = 4, the authors' setting for CIFAR-100.

    For ImageNet they take the same weights at T = 1.
    """

    def __init__(
        self,
        context: Context,
        *,
        inter_weight: Annotated[
            float, Range(0.1, 20, log=True, source="authors' code, dist_cifar: weight 2, beta 1")
        ] = 2.0,
        intra_weight: Annotated[
            float, Range(0.1, 20, log=True, source="authors' code, dist_cifar: weight 2, gamma 1")
        ] = 2.0,
        temperature: Annotated[
            float, Range(1, 20, log=True, source="authors' code, dist_cifar: tau 4")
        ] = 4.0,
        **options: float,
    ):
        super().__init__(context, **options)
        self.inter_weight, self.intra_weight = inter_weight, intra_weight
        self.temperature = temperature

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = self.rows(teacher, student, batch)
        inter, intra = dist_losses(ours, theirs, self.temperature)
        return {"inter": self.inter_weight * inter, "intra": self.intra_weight * intra}
