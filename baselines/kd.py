"""Knowledge distillation: the teacher's softened probabilities as targets (Hinton et al., 2015)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 * mean over rows of KL(softmax(z_t / T) || softmax(z_s / T)), logits [R, K], float32.

    Source: section 2 of the paper; T^2 keeps the scale of the gradients whatever T is.
    """
    log_student = F.log_softmax(student_logits.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


@baseline("kd", title="KD", paper="Hinton et al., NeurIPS workshop 2014", arxiv="1503.02531")
class KD(LogitDistiller):
    """loss = 0.1 * cross-entropy + 0.9 * kd_loss at T = 4 (CRD benchmark); 1 and 1 in compositions."""

    in_composition = {"task_weight": 1.0, "weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="CRD benchmark, kd: alpha 0.9")] = 0.9,
        task_weight: Annotated[float, Range(0, 1, source="CRD benchmark, kd: gamma 0.1")] = 0.1,
        temperature: Annotated[float, Range(1, 20, log=True, source="CRD benchmark, kd_T")] = 4.0,
        **options: bool,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        self.weight = weight
        self.temperature = temperature

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        teacher_rows, student_rows, _ = self.rows(teacher, student, batch)
        return {"kd": self.weight * kd_loss(student_rows, teacher_rows, self.temperature)}
