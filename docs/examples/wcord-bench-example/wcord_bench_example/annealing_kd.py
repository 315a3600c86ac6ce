"""Annealing-KD: regression on logits that grow to the teacher's (Jafari et al., EACL 2021)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


@baseline("annealing_kd", title="Annealing-KD", paper="Jafari et al., EACL 2021", arxiv="2104.07163")
class AnnealingKD(Distiller):
    """loss = cross-entropy + weight * mean (z_s - Phi z_t)^2, where Phi = 1 - (T - 1) / temperature.

    T falls from `temperature` to 1 over the first `share` of training; then the cross-entropy goes on alone.
    The paper lowers T by whole numbers, and has the cross-entropy in the second part only.
    """

    needs = frozenset({"logits"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="the paper has none")] = 1.0,
        temperature: Annotated[float, Range(2, 20, source="ours")] = 10.0,
        share: Annotated[float, Range(0.2, 1, source="ours")] = 0.8,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.temperature, self.share = weight, temperature, share

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        above_one = (self.temperature - 1) * (1 - progress.rise(self.share))
        loss = F.mse_loss(student.logits, (1 - above_one / self.temperature) * teacher.logits)
        return {"annealing_kd": self.weight * (progress.fraction < self.share) * loss}
