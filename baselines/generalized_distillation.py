"""Generalized distillation: soft and true labels side by side, for privileged teachers (Lopez-Paz et al.)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from baselines._logits import LogitDistiller
from benchmark import Activations, Batch, Context, Progress, Range, baseline


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of the student's probabilities with softmax(z_t / T), logits [R, K], float32 (eq.
    4).

    Unlike in KD, the student's own logits aren't softened and nothing is multiplied by T^2.
    """
    return F.cross_entropy(student.float(), F.softmax(teacher.float() / temperature, dim=1))


@baseline(
    "generalized_distillation",
    title="Generalized distillation",
    paper="Lopez-Paz et al., ICLR 2016",
    arxiv="1511.03643",
)
class GeneralizedDistillation(LogitDistiller):
    """loss = (1 - 0.5) * cross-entropy + 0.5 * soft_label_loss at T = 1.

    The paper searches lambda between 0 and 1 and T between 1 and 50 and recommends none; the values here are
    the middle of the first and the low end of the second. Samples whose label may not be used take part in
    the second term, as in the paper's semi-supervised case.
    """

    in_composition = {"task_weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0, 1, source="paper, section 4: lambda; ours: the middle")] = 0.5,
        task_weight: Annotated[float, Range(0, 1, source="1 - lambda")] = 0.5,
        temperature: Annotated[float, Range(1, 50, log=True, source="paper, section 4; ours: 1")] = 1.0,
        **options: bool,
    ):
        super().__init__(context, task_weight=task_weight, **options)
        self.weight, self.temperature = weight, temperature

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, _ = self.rows(teacher, student, batch)
        return {"soft_label": self.weight * soft_label_loss(ours, theirs, self.temperature)}
