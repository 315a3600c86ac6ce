"""WKD-L: transport between predicted probabilities, where likenesses of classes are the cost (Lv et al.)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._class_features import ClassFeatures, class_cost
from baselines._logits import LogitDistiller
from baselines.dkd import others
from baselines.nkd import target_rows
from benchmark import Activations, Batch, Context, NotApplicable, Progress, Range, baseline

EPSILON = 1e-8
REFRESHED = 5
"""Costs of classes are computed every so many batches of training: with many classes that takes longer than a
step."""


def target_loss(student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
    """-mean p_t(y) * log p_s(y) at temperature 1, logits [R, K], target [R], float32 (eq. 4).

    Raises ValueError for other shapes.
    """
    _check_shapes(student, teacher, target)
    return target_rows(student, teacher, target).mean()


def transport_loss(
    student: Tensor, teacher: Tensor, target: Tensor, cost: Tensor, temperature: float, regularization: float,
    iterations: int,
) -> Tensor:  # fmt: skip
    """mean <flow, C> between softmax(z / T) over the non-target classes, logits [R, K], cost [K, K] (eq. 3).

    The flow is Sinkhorn's after `iterations`, in float32 and with its gradient, as in the authors' code.
    Raises ValueError for other shapes, and for less than one iteration.
    """
    _check_shapes(student, teacher, target)
    rows, classes = student.shape
    if cost.shape != (classes, classes):
        raise ValueError(f"cost is [K, K], here {[classes] * 2}, and was given as {[*cost.shape]}")
    if iterations < 1:
        raise ValueError(f"iterations is the number of Sinkhorn's steps, at least 1, and was {iterations}")
    with torch.autocast(student.device.type, enabled=False):
        place = torch.arange(classes, device=student.device).expand(rows, -1)
        kept = others(place, target).long()
        own = cost.float().clamp(min=0)[kept[:, :, None], kept[:, None, :]] + EPSILON
        ours, theirs = (F.softmax(others(each, target) / temperature, dim=1) for each in (student, teacher))
        kernel = torch.exp(-own / regularization)
        left = torch.full_like(ours, 1 / (classes - 1))
        for _ in range(iterations):
            right = theirs / (torch.einsum("rij,ri->rj", kernel, left) + EPSILON)
            left = ours / (torch.einsum("rij,rj->ri", kernel, right) + EPSILON)
        return torch.einsum("ri,rij,rj->r", left, kernel * own, right).mean()


def _check_shapes(student: Tensor, teacher: Tensor, target: Tensor) -> None:
    if student.ndim != 2 or teacher.shape != student.shape or target.shape != student.shape[:1]:
        given = ", ".join(str([*each.shape]) for each in (student, teacher, target))
        raise ValueError(
            f"student and teacher are logits [R, K] and target is [R], and were given as {given}"
        )


@baseline("wkd_l", title="WKD-L", paper="Lv et al., NeurIPS 2024", arxiv="2412.08139")
class WKDL(LogitDistiller):
    """loss = cross-entropy + target_loss + fall * 600 * transport_loss at T = 8.

    The fall: 1 up to 150 of 240 epochs, from there along a cosine to 0 at the end. Cost: `class_cost` of what
    the teacher's last map shows at each place, over the last 16 samples of each class, every fifth batch; the
    authors compute it once beforehand, from all samples.
    Sinkhorn: 0.05, 10 steps. Weight and temperature are the authors' for resnet32x4 to resnet8x4; for
    wrn_40_2 to ShuffleV1 they give 200 and 6, and beside WKD-F 200 and 8, 60 and 4. Where a label may not be
    used, the teacher's likeliest class is the target.
    """

    cost: Tensor
    batches: Tensor

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(10, 2000, log=True, source="authors' code, res8x4: gamma 600; 60 to 600 by pair")
        ] = 600.0,
        temperature: Annotated[
            float, Range(1, 20, log=True, source="authors' code, res8x4: T 8; 4 to 8 by pair")
        ] = 8.0,
        regularization: Annotated[float, Range(0.01, 1, log=True, source="authors' code: lambda")] = 0.05,
        iterations: Annotated[int, Range(1, 100, log=True, source="authors' code: iter")] = 10,
        sharpness: Annotated[float, Range(0.1, 10, log=True, source="authors' code: sharpen")] = 1.0,
        class_samples: Annotated[int, Range(2, 32, log=True, source="ours: fills within an epoch")] = 16,
        decay_start: Annotated[float, Range(0, 1, source="authors' code: 150 of 240 epochs")] = 150 / 240,
        **options: float,
    ):
        super().__init__(context, **options)
        if len(context.student.logits) > 1:
            raise NotApplicable("its cost needs an embedding of one class, and here every pixel has a class")
        if context.num_classes < 3:
            raise NotApplicable("between two classes there is nothing to transport beside the target")
        self.weight, self.decay_start = weight, decay_start
        self.temperature, self.sharpness = temperature, sharpness
        self.regularization, self.iterations = regularization, iterations
        self.classes = ClassFeatures(context.num_classes, class_samples, context.teacher)
        self.register_buffer("cost", class_cost(self.classes.features, self.classes.ready, sharpness))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target = self.rows(teacher, student, batch)
        self.classes.remember(teacher, target)
        if self.training:
            if self.batches % REFRESHED == 0:
                self.cost = class_cost(self.classes.features, self.classes.ready, self.sharpness)
            self.batches += 1
        transport = transport_loss(
            ours, theirs, target, self.cost, self.temperature, self.regularization, self.iterations
        )
        return {
            "target": target_loss(ours, theirs, target),
            "transport": progress.fall(self.decay_start) * self.weight * transport,
        }
