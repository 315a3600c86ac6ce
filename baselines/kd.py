"""Knowledge distillation: the teacher's softened probabilities as targets (Hinton et al., 2015)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline
from benchmark.contracts import IGNORE


def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, valid: Tensor | None = None
) -> Tensor:
    """T^2 * mean over rows of KL(softmax(z_t / T) || softmax(z_s / T)), float32.

    Logits [B, K, *space]: every sample, or every pixel of it, is a row. `valid` [B, *space] bool leaves rows
    out. Source: section 2 of the paper; T^2 keeps the scale of the gradients whatever T is.
    """
    log_student = F.log_softmax(student_logits.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    rows = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    mean = rows.mean() if valid is None else (rows * valid).sum() / valid.sum().clamp(min=1)
    return temperature**2 * mean


def valid_pixels(batch: Batch) -> Tensor | None:
    """Where a dense label doesn't say IGNORE, [B, *space]; None for one label per sample.

    The pixels of a sample whose label may not be used are all valid: its label says nothing.
    """
    label = batch["label"]
    if label.ndim == 1:
        return None
    return (label != IGNORE) | ~batch["labelled"].view(-1, *[1] * (label.ndim - 1))


@baseline("kd", title="KD", paper="Hinton et al., NeurIPS workshop 2014", arxiv="1503.02531")
class KD(Distiller):
    """loss = 0.1 * cross-entropy + 0.9 * kd_loss at T = 4 (CRD benchmark); 1 and 1 in compositions."""

    needs = frozenset({"logits"})
    in_composition = {"task_weight": 1.0, "weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="CRD benchmark, kd: alpha 0.9")] = 0.9,
        task_weight: Annotated[float, Range(0, 1, source="CRD benchmark, kd: gamma 0.1")] = 0.1,
        temperature: Annotated[float, Range(1, 20, log=True, source="CRD benchmark, kd_T")] = 4.0,
    ):
        super().__init__(context, task_weight=task_weight)
        self.weight = weight
        self.temperature = temperature

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        loss = kd_loss(student.logits, teacher.logits.detach(), self.temperature, valid_pixels(batch))
        return {"kd": self.weight * loss}
