"""Multi-level logit distillation: samples, batch and classes, at several temperatures (Jin et al., 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, NotApplicable, Progress, Range, baseline

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """|P_s P_s^T - P_t P_t^T|_F^2 / rows for probabilities [R, K]; transposed, the same of the classes."""
    with torch.autocast(student.device.type, enabled=False):
        return (student @ student.T - teacher @ teacher.T).square().sum() / len(student)


def mlkd_losses(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Sums over temperatures of three losses between logits [R, K], float32 (section 3.2).

    instance   kd_loss
    batch      `relation_loss` of the samples
    class      `relation_loss` of the classes
    """
    totals: dict[str, list[Tensor]] = {"instance": [], "batch": [], "class": []}
    for temperature in TEMPERATURES:
        ours, theirs = (F.softmax(each.float() / temperature, dim=1) for each in (student, teacher))
        totals["instance"].append(kd_loss(student, teacher, temperature))
        totals["batch"].append(relation_loss(ours, theirs))
        totals["class"].append(relation_loss(ours.T, theirs.T))
    return {name: torch.stack(values).sum() for name, values in totals.items()}


@baseline("mlkd", title="MLKD (single view)", paper="Jin et al., CVPR 2023")
class MLKD(LogitDistiller):
    """loss = 0.1 * cross-entropy + 0.9 * (instance + batch + class) at T = 2 to 6.

    Single view: the paper's strongly augmented second view, and the masks that drop half of the weak view's
    samples and classes by the teacher's confidence, are left out. Formulas and weights as in its authors'
    code. The five temperatures' squares add up to 90, so that the term outweighs KD's several times; the
    authors train it for 480 epochs from half the usual rate, which a shared recipe doesn't.
    """

    in_composition = {"task_weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code, KD_WEIGHT")] = 0.9,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, CE_WEIGHT")] = 0.1,
        **options: bool,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        if len(context.student.logits) > 1:
            raise NotApplicable("its relations are between samples, and here every pixel has logits")
        self.weight = weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = self.rows(teacher, student, batch)
        return {name: self.weight * value for name, value in mlkd_losses(ours, theirs).items()}
