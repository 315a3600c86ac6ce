"""Multi-level logit distillation: samples, batch and classes, at several temperatures (Jin et al., 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, NotApplicable, Progress, Range, baseline
from benchmark.contracts import supervised_cross_entropy

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)
STRONG_TEMPERATURES = (3.0, 4.0, 5.0)
"""Those of the strong view's own term; the other two of its five look at the weak view."""


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


def weak_view_losses(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """`mlkd_losses` of logits [R, K], each times a share of about a half (authors' code).

    The share of samples whose largest teacher probability is at most the median, for instance and batch; of
    classes whose summed teacher probability is, for class. In the code these masks meet losses that are
    means already: they select no sample and no class.
    """
    likely = F.softmax(teacher.float(), dim=1)
    samples, classes = _share_up_to_the_median(likely.amax(1)), _share_up_to_the_median(likely.sum(0))
    losses = mlkd_losses(student, teacher)
    return {
        "instance": samples * losses["instance"],
        "batch": samples * losses["batch"],
        "class": classes * losses["class"],
    }


def strong_view_loss(
    student: Tensor, teacher: Tensor, strong_student: Tensor, strong_teacher: Tensor
) -> Tensor:
    """kd_loss of the strong view's logits at T = 3, 4, 5, and of the weak view's at 2 and 6 (authors' code).

    All logits [R, K].
    """
    losses = [kd_loss(strong_student, strong_teacher, temperature) for temperature in STRONG_TEMPERATURES]
    others = (each for each in TEMPERATURES if each not in STRONG_TEMPERATURES)
    return torch.stack([*losses, *(kd_loss(student, teacher, temperature) for temperature in others)]).sum()


def _share_up_to_the_median(values: Tensor) -> Tensor:
    return (values <= values.quantile(0.5)).float().mean()


class WeakViewMLKD(LogitDistiller):
    """What both forms share: 0.1 * cross-entropy + 0.9 * weak_view_losses at T = 2 to 6."""

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
        return {name: self.weight * value for name, value in weak_view_losses(ours, theirs).items()}


@baseline("mlkd_single_view", title="MLKD (single view)", paper="Jin et al., CVPR 2023")
class SingleViewMLKD(WeakViewMLKD):
    """loss = 0.1 * cross-entropy + 0.9 * weak_view_losses at T = 2 to 6.

    MLKD without its strongly augmented second view: what is left are the released loss's terms on the weak
    view. The five temperatures' squares add up to 90, so that the terms outweigh KD's several times; the
    authors train pairs of one family from half the usual rate and others for 480 or 960 epochs, which a
    shared recipe doesn't.
    """


@baseline("mlkd", title="MLKD", paper="Jin et al., CVPR 2023")
class MLKD(WeakViewMLKD):
    """loss = 0.1 * both views' cross-entropy + 0.9 * (weak_view_losses + strong_view_loss) at T = 2 to 6.

    The released loss with its quirks: masks that scale instead of selecting, two temperatures of the strong
    term on the weak view, no relations of the strong view. The authors draw crop and flip anew for the strong
    view, here it shares the weak one's; as to rate and length see the single-view form.
    """

    second_view = "strong"
    in_composition = {"task_weight": 1.0, "strong_task_weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        strong_task_weight: Annotated[float, Range(0, 1, source="authors' code, CE_WEIGHT")] = 0.1,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, CE_WEIGHT")] = 0.1,
        **options: bool,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        self.strong_task_weight = strong_task_weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        assert teacher.second is not None
        assert student.second is not None
        theirs, ours, _ = self.rows(teacher, student, batch)
        strong_theirs, strong_ours, _ = self.rows(teacher.second, student.second, batch)
        task = supervised_cross_entropy(student.second.logits, batch["label"], batch["labelled"])
        return super().forward(teacher, student, batch, progress) | {
            "strong": self.weight * strong_view_loss(ours, theirs, strong_ours, strong_theirs),
            "strong_task": self.strong_task_weight * task,
        }
