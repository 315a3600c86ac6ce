"""Transformed teacher matching: no temperature on the student's side (Zheng & Yang, ICLR 2024)."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def matching_rows(student: Tensor, teacher: Tensor, exponent: float) -> Tensor:
    """KL(p_t^l / U || p_s) per row with l = `exponent`, logits [R, K] -> [R], float32.

    p_t^l / U is softmax(l z_t), KD's teacher at T = 1 / l; the student's logits are taken as they are, and
    nothing is multiplied by T^2.
    Source: the paper's matching of the transformed teacher.
    """
    ours = F.log_softmax(student.float(), dim=1)
    theirs = F.log_softmax(exponent * teacher.float(), dim=1)
    return F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)


def power_sum(teacher: Tensor, exponent: float) -> Tensor:
    """U = sum_k p_t(k)^l per row, logits [R, K] -> [R], float32: 1 for a sure teacher, at most K^(1 - l).

    Source: the paper's weight of a sample, in WTTM.
    """
    return (exponent * F.log_softmax(teacher.float(), dim=1)).logsumexp(1).exp()


@baseline("ttm", title="TTM", paper="Zheng & Yang, ICLR 2024", arxiv="2402.11148")
class TTM(LogitDistiller):
    """loss = cross-entropy + 45 * mean of matching_rows, l = 0.1.

    Weight and exponent of the one example in the authors' code (vgg13 to vgg8); its tables vary both by pair.
    """

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(1, 100, log=True, source="authors' code, vgg13 to vgg8: beta 45")
        ] = 45.0,
        exponent: Annotated[
            float, Range(0.05, 1, log=True, source="authors' code, vgg13 to vgg8: l 0.1")
        ] = 0.1,
        **options: Any,
    ):
        super().__init__(context, **options)
        self.weight, self.exponent = weight, exponent

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = self.rows(teacher, student, batch)
        return {"ttm": self.weight * matching_rows(ours, theirs, self.exponent).mean()}


@baseline("wttm", title="WTTM", paper="Zheng & Yang, ICLR 2024", arxiv="2402.11148")
class WTTM(LogitDistiller):
    """loss = cross-entropy + 4 * mean of power_sum * matching_rows, l = 0.2.

    The sum weighs samples of which the teacher is unsure, up to K^(1 - l) times; it isn't normalised over the
    batch. Weight and exponent of the one example in the authors' code, which has CRD beside it.
    """

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 50, log=True, source="authors' code, with CRD: alpha 4")] = 4.0,
        exponent: Annotated[float, Range(0.05, 1, log=True, source="authors' code, with CRD: l 0.2")] = 0.2,
        **options: Any,
    ):
        super().__init__(context, **options)
        self.weight, self.exponent = weight, exponent

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = self.rows(teacher, student, batch)
        unsure = power_sum(theirs, self.exponent)
        return {"wttm": self.weight * (unsure * matching_rows(ours, theirs, self.exponent)).mean()}
