"""Scale-decoupled distillation, NKD form: NKD on every region of the last map (Wei et al., CVPR 2024)."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from baselines._regions import RegionDistiller
from baselines.nkd import soft_cross_entropy_rows, target_rows
from benchmark import Activations, Batch, Context, Progress, Range, baseline


@baseline("sdd_nkd", title="SDD-NKD", paper="Wei et al., CVPR 2024", arxiv="2403.13512")
class SDDNKD(RegionDistiller):
    """loss = cross-entropy + warm-up * mean over samples and regions of weight * (target + 8 * rest), T = 4.

    `target` is `target_rows` of the region's logits, `rest` is `soft_cross_entropy_rows` less the teacher's
    own: its entropy, which isn't subtracted in the authors' code and has no gradient. The rest runs over all
    K classes, the target among them, as in the authors' code, where NKD leaves the target out. Regions of the
    last map under each network's own classifier; those of which the teacher's answer is right while its
    global one is wrong, or the reverse, count twice. The warm-up rises over 20 of 240 epochs; weight and
    temperature are those that the authors' code reads for DKD.
    """

    def __init__(
        self,
        context: Context,
        *,
        target_weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code: 1")] = 1.0,
        rest_weight: Annotated[float, Range(0.5, 32, log=True, source="authors' code, DKD: beta 8")] = 8.0,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code, DKD: T 4")] = 4.0,
        warmup: Annotated[float, Range(0, 0.5, source="authors' code, 20 of 240 epochs")] = 20 / 240,
        **options: Any,
    ):
        super().__init__(context, **options)
        self.target_weight, self.rest_weight = target_weight, rest_weight
        self.temperature, self.warmup = temperature, warmup

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target, weight = self.rows(teacher, student, batch)
        own = target_rows(ours, theirs, target)
        rest, entropy = (soft_cross_entropy_rows(each, theirs, self.temperature) for each in (ours, theirs))
        rise = progress.rise(self.warmup)
        return {
            "target": rise * self.target_weight * (weight * own).mean(),
            "rest": rise * self.rest_weight * (weight * (rest - entropy)).mean(),
        }
