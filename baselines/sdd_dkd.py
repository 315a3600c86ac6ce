"""Scale-decoupled distillation, DKD form: DKD on every region of the last map (Wei et al., CVPR 2024)."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from baselines._regions import RegionDistiller, divergence_rows
from baselines.dkd import others, target_or_not
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def dkd_rows(student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(TCKD [R], NCKD [R]), DKD's two parts per row, times T^2; logits [R, K], target [R], float32.

    Source: Zhao et al., CVPR 2022, eq. 6, of each region.
    """
    ours, theirs = (each.float() / temperature for each in (student, teacher))
    rest = (F.log_softmax(others(each, target), dim=1) for each in (ours, theirs))
    tckd = divergence_rows(target_or_not(ours, target), target_or_not(theirs, target))
    return temperature**2 * tckd, temperature**2 * divergence_rows(*rest)


@baseline("sdd_dkd", title="SDD-DKD", paper="Wei et al., CVPR 2024", arxiv="2403.13512")
class SDDDKD(RegionDistiller):
    """loss = cross-entropy + warm-up * mean over samples and regions of weight * (TCKD + 8 * NCKD) at T = 4.

    Regions of the last map under each network's own classifier; those of which the teacher's answer is right
    while its global one is wrong, or the reverse, count twice. The warm-up rises over 20 of 240 epochs.
    Defaults of the authors' code; by pair it takes DKD's values of beta, 2 to 8.
    """

    def __init__(
        self,
        context: Context,
        *,
        tckd_weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, DKD: alpha 1")] = 1.0,
        nckd_weight: Annotated[float, Range(0.5, 32, log=True, source="authors' code, DKD: beta 8")] = 8.0,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code, DKD: T 4")] = 4.0,
        warmup: Annotated[float, Range(0, 0.5, source="authors' code, 20 of 240 epochs")] = 20 / 240,
        **options: Any,
    ):
        super().__init__(context, **options)
        self.tckd_weight, self.nckd_weight = tckd_weight, nckd_weight
        self.temperature, self.warmup = temperature, warmup

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target, weight = self.rows(teacher, student, batch)
        tckd, nckd = dkd_rows(ours, theirs, target, self.temperature)
        rise = progress.rise(self.warmup)
        return {
            "tckd": rise * self.tckd_weight * (weight * tckd).mean(),
            "nckd": rise * self.nckd_weight * (weight * nckd).mean(),
        }
