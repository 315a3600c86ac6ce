"""CRLD: each view of the student agrees with both of the teacher's, where it is sure (Zhang et al., 2024)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from baselines.sdd_kd import kd_rows
from benchmark import Activations, Batch, Context, NotApplicable, Progress, Range, baseline
from benchmark.contracts import supervised_cross_entropy


def consistency_loss(losses: Tensor, teacher: Tensor, threshold: float) -> Tensor:
    """Mean over all samples of those losses [R] whose teacher is sure: logits [R, K], p_max >= threshold."""
    sure = F.softmax(teacher.float(), dim=1).amax(1) >= threshold
    return (losses * sure).mean()


@baseline("crld", title="CRLD", paper="Zhang et al., ACM MM 2024", arxiv="2412.16493")
class CRLD(LogitDistiller):
    """loss = both views' cross-entropy + 2 * within views + 0.5 * across views, at T = 4.

    Within: weak student from weak teacher and strong from strong, where the teacher's weak view is sure
    (0.9). Across: strong student from weak teacher and weak from strong, where its strong view is (0.2).
    Weights, thresholds and the pairing of masks as in the authors' code, which draws crop and flip anew for
    the strong view; here it shares the weak one's. Standardised or not, how sure the teacher is is read from
    its logits as they are.
    """

    second_view = "strong"

    def __init__(
        self,
        context: Context,
        *,
        within_weight: Annotated[float, Range(0.2, 20, log=True, source="authors' code, WV_WEIGHT")] = 2.0,
        across_weight: Annotated[float, Range(0.05, 5, log=True, source="authors' code, CV_WEIGHT")] = 0.5,
        temperature: Annotated[float, Range(1, 20, log=True, source="authors' code, TEMPERATURE")] = 4.0,
        weak_threshold: Annotated[float, Range(0, 1, source="authors' code, TAU_W")] = 0.9,
        strong_threshold: Annotated[float, Range(0, 1, source="authors' code, TAU_S")] = 0.2,
        strong_task_weight: Annotated[float, Range(0, 2, source="authors' code, CE_WEIGHT")] = 1.0,
        task_weight: Annotated[float, Range(0, 2, source="authors' code, CE_WEIGHT")] = 1.0,
        **options: bool,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        if len(context.student.logits) > 1:
            raise NotApplicable("its thresholds are for samples, and here every pixel has logits")
        self.within_weight, self.across_weight, self.temperature = within_weight, across_weight, temperature
        self.weak_threshold, self.strong_threshold = weak_threshold, strong_threshold
        self.strong_task_weight = strong_task_weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        assert teacher.second is not None
        assert student.second is not None
        weak_theirs, weak_ours, _ = self.rows(teacher, student, batch)
        strong_theirs, strong_ours, _ = self.rows(teacher.second, student.second, batch)

        def both(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
            return kd_rows(*one, self.temperature) + kd_rows(*other, self.temperature)

        within = both((weak_ours, weak_theirs), (strong_ours, strong_theirs))
        across = both((strong_ours, weak_theirs), (weak_ours, strong_theirs))
        task = supervised_cross_entropy(student.second.logits, batch["label"], batch["labelled"])
        return {
            "within": self.within_weight * consistency_loss(within, teacher.logits, self.weak_threshold),
            "across": self.across_weight
            * consistency_loss(across, teacher.second.logits, self.strong_threshold),
            "strong_task": self.strong_task_weight * task,
        }
