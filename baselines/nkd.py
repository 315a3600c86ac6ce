"""Normalised distillation: the non-target classes as a distribution of their own (Yang et al., ICCV 2023)."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from baselines.dkd import others
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def target_rows(student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
    """-p_t(target) log p_s(target) per row at temperature 1; logits [R, K], target [R] -> [R], float32.

    Source: the paper's target loss.
    """
    ours, theirs = F.log_softmax(student.float(), dim=1), F.softmax(teacher.float(), dim=1)
    at = target[:, None]
    return -(theirs.gather(1, at) * ours.gather(1, at)).squeeze(1)


def soft_cross_entropy_rows(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-T^2 sum_k p_t(k) log p_s(k) per row, both softened by T; logits [R, K] -> [R], float32.

    Source: the paper's form of the soft loss, authors' code.
    """
    ours = F.log_softmax(student.float() / temperature, dim=1)
    return -(temperature**2) * (F.softmax(teacher.float() / temperature, dim=1) * ours).sum(1)


def nkd_losses(student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(target, non-target): means over rows of `target_rows`, and of `soft_cross_entropy_rows` without it.

    Logits [R, K], target [R]. The second one's distributions sum to 1 over the K - 1 other classes. Both are
    cross-entropies: the teacher's entropy isn't subtracted, so that neither is 0 for equal logits.
    Source: authors' code.
    """
    ours, theirs = others(student, target), others(teacher, target)
    own = target_rows(student, teacher, target).mean()
    return own, soft_cross_entropy_rows(ours, theirs, temperature).mean()


@baseline("nkd", title="NKD", paper="Yang et al., ICCV 2023", arxiv="2303.13005")
class NKD(LogitDistiller):
    """loss = cross-entropy + 1 * target + 3.5 * (non-target - the teacher's own) at T = 3; target at T = 1.

    The teacher's own non-target cross-entropy, its entropy, isn't subtracted in the authors' code: a constant
    of the student, most of the loss there, and without any gradient. Weights and temperature of their one
    CIFAR-100 setting (ResNet-34 to ResNet-18); for ImageNet they take 1.5 at T = 1. Where a label may not be
    used, the teacher's likeliest class is the target.
    """

    def __init__(
        self,
        context: Context,
        *,
        target_weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code: 1")] = 1.0,
        non_target_weight: Annotated[
            float, Range(0.1, 10, log=True, source="authors' code, CIFAR-100: gamma 3.5")
        ] = 3.5,
        temperature: Annotated[
            float, Range(1, 20, log=True, source="authors' code, CIFAR-100: temp 3")
        ] = 3.0,
        **options: Any,
    ):
        super().__init__(context, **options)
        self.target_weight, self.non_target_weight = target_weight, non_target_weight
        self.temperature = temperature

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target = self.rows(teacher, student, batch)
        own, rest = nkd_losses(ours, theirs, target, self.temperature)
        _, entropy = nkd_losses(theirs, theirs, target, self.temperature)
        return {"target": self.target_weight * own, "non_target": self.non_target_weight * (rest - entropy)}
