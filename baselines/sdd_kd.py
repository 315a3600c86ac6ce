"""Scale-decoupled distillation, KD form: KD on every region of the last map (Wei et al., CVPR 2024)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from baselines._regions import RegionDistiller, divergence_rows
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def kd_rows(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(z_t / T) || softmax(z_s / T)) per row, logits [R, K] -> [R], float32.

    Source: Hinton et al. 2015, of each region.
    """
    ours, theirs = (F.log_softmax(each.float() / temperature, dim=1) for each in (student, teacher))
    return temperature**2 * divergence_rows(ours, theirs)


@baseline("sdd_kd", title="SDD-KD", paper="Wei et al., CVPR 2024", arxiv="2403.13512")
class SDDKD(RegionDistiller):
    """loss = 0.1 * cross-entropy + 0.9 * mean over samples and regions of weight * kd_rows at T = 4.

    Regions of the last map under each network's own classifier; those of which the teacher's answer is right
    while its global one is wrong, or the reverse, count twice. Defaults of the authors' code. KD of the
    ordinary logits is in it as the region of the whole map (nearly so where its places don't fill the grid
    evenly, as 7 of ImageNet's an axis).
    """

    in_composition = {"task_weight": 1.0, "weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, KD: 0.9")] = 0.9,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, KD: 0.1")] = 0.1,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code, KD: T 4")] = 4.0,
        **options: int,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        self.weight, self.temperature = weight, temperature

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _, weight = self.rows(teacher, student, batch)
        return {"kd": self.weight * (weight * kd_rows(ours, theirs, self.temperature)).mean()}
