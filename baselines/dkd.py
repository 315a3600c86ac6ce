"""Decoupled distillation: target and non-target classes apart (Zhao et al., CVPR 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def tckd_loss(student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
    """T^2 * mean KL between (target, all others) of both, logits [R, K], target [R], float32 (eq. 6)."""
    ours, theirs = (target_or_not(each.float() / temperature, target) for each in (student, teacher))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def nckd_loss(student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
    """T^2 * mean KL of the distributions over all classes but the target, logits [R, K], float32 (eq. 6)."""
    ours, theirs = (F.log_softmax(others(each, target) / temperature, 1) for each in (student, teacher))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def others(logits: Tensor, target: Tensor) -> Tensor:
    """The logits of all classes but the target, [R, K] and [R] -> [R, K - 1], float32, in their order."""
    rows, classes = logits.shape
    place = torch.arange(classes - 1, device=logits.device).expand(rows, -1)
    return logits.float().gather(1, place + (place >= target[:, None]))


def target_or_not(scaled: Tensor, target: Tensor) -> Tensor:
    """The logarithms of p(target) and 1 - p(target), logits [R, K] over T -> [R, 2]; neither underflows."""
    own = scaled.gather(1, target[:, None])
    rest = others(scaled, target).logsumexp(1, keepdim=True)
    return F.log_softmax(torch.cat([own, rest], dim=1), dim=1)


@baseline("dkd", title="DKD", paper="Zhao et al., CVPR 2022", arxiv="2203.08679")
class DKD(LogitDistiller):
    """loss = cross-entropy + warm-up * (1 * tckd_loss + 8 * nckd_loss) at T = 4.

    The warm-up rises linearly over 20 of 240 epochs, as in mdistiller; its default beta is 8 (the paper gives
    2 to 8 by pair). Where a label may not be used, the teacher's likeliest class is the target.
    """

    def __init__(
        self,
        context: Context,
        *,
        tckd_weight: Annotated[float, Range(0.1, 10, log=True, source="mdistiller, DKD: alpha 1")] = 1.0,
        nckd_weight: Annotated[float, Range(0.5, 32, log=True, source="mdistiller, DKD: beta 8")] = 8.0,
        temperature: Annotated[float, Range(1, 20, log=True, source="mdistiller, DKD: T 4")] = 4.0,
        warmup: Annotated[float, Range(0, 0.5, source="mdistiller, 20 of 240 epochs")] = 20 / 240,
        **options: float,
    ):
        super().__init__(context, **options)
        self.tckd_weight, self.nckd_weight = tckd_weight, nckd_weight
        self.temperature, self.warmup = temperature, warmup

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target = self.rows(teacher, student, batch)
        rise = progress.rise(self.warmup)
        return {
            "tckd": rise * self.tckd_weight * tckd_loss(ours, theirs, target, self.temperature),
            "nckd": rise * self.nckd_weight * nckd_loss(ours, theirs, target, self.temperature),
        }
