"""Teacher-free distillation: a virtual teacher that is made of the labels alone (Yuan et al., CVPR 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Activations, Batch, Context, Distiller, Range, baseline
from benchmark.contracts import IGNORE


def virtual_teacher(label: Tensor, classes: int, temperature: float, correct: float) -> Tensor:
    """softmax(q / T), q = `correct` at the label and (1 - correct) / (K - 1) elsewhere: [R] -> [R, K].

    It is q that the temperature divides, probabilities and not logits: with T = 20 the result is uniform to a
    twentieth.
    Source: authors' code.
    """
    others = (1 - correct) / max(classes - 1, 1)
    sure = F.one_hot(label, classes) * (correct - others) + others
    return F.softmax(sure / temperature, dim=1)


def tfkd_rows(student: Tensor, label: Tensor, temperature: float, correct: float) -> Tensor:
    """KL(virtual teacher || softmax(z_s)) per row, logits [R, K], label [R] -> [R], float32.

    The student's logits aren't softened and nothing is multiplied by T^2.
    Source: authors' code.
    """
    log_student = F.log_softmax(student.float(), dim=1)
    virtual = virtual_teacher(label, student.shape[1], temperature, correct)
    return F.kl_div(log_student, virtual, reduction="none").sum(1)


@baseline(
    "tfkd",
    title="Tf-KD (regularisation)",
    role="control",
    paper="Yuan et al., CVPR 2020",
    arxiv="1909.11723",
)
class TfKD(Distiller):
    """loss = 0.9 * cross-entropy + 0.1 * mean of tfkd_rows at T = 20 with 0.99 on the label: no teacher.

    A control like label smoothing: what a virtual teacher gives is no teacher's knowledge. The authors' code
    has the mean over all R * K entries times a multiplier, which is 100 for ResNet-18 on CIFAR-100: its K, so
    that the term is the mean over rows, as here for any K; other multipliers are other weights. Their
    settings by network: T 10 to 40, weight 0.1 or 0.95. Only labels that may be used count. In a composition
    all of it is the supervised term, with 1 * cross-entropy.
    """

    needs = frozenset({"labels"})
    in_composition = {"task_weight": 1.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(0.01, 1, log=True, source="authors' code, ResNet-18: alpha 0.1, multiplier K")
        ] = 0.1,
        task_weight: Annotated[float, Range(0, 1, source="1 - alpha")] = 0.9,
        temperature: Annotated[
            float, Range(1, 50, log=True, source="authors' code, ResNet-18, CIFAR-100")
        ] = 20.0,
        correct: Annotated[float, Range(0.5, 0.999, source="authors' code, correct_prob")] = 0.99,
    ):
        super().__init__(context)
        self.weight, self.label_weight = weight, task_weight
        self.temperature, self.correct = temperature, correct

    def task_loss(self, student: Activations, batch: Batch) -> Tensor:
        task = self.label_weight * super().task_loss(student, batch)
        label = batch["label"]
        usable = (batch["labelled"].view(-1, *[1] * (label.ndim - 1)) & (label != IGNORE)).flatten()
        rows = self.predict(student).movedim(1, -1).flatten(0, -2)
        known = torch.where(usable, label.flatten(), 0)
        losses = tfkd_rows(rows, known, self.temperature, self.correct)
        return task + self.weight * (losses * usable).sum() / usable.sum().clamp(min=1)
