"""C2KD: distillation of samples whose classes both modalities rank alike, by proxies (Huo et al., 2024)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines.dkd import others
from baselines.kd import kd_loss
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline


def kendall(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's rank correlation of each row of [B, K] with its like, [B] (no correction for ties).

    Source: Kendall's tau-a, as the paper's measure of whether to distil a sample.
    """
    concordant = [(each[:, :, None] - each[:, None, :]).sign() for each in (a, b)]
    classes = a.shape[1]
    return (concordant[0] * concordant[1]).sum((1, 2)) / (classes * (classes - 1))


def selected_loss(student: Tensor, teacher: Tensor, target: Tensor, selected: Tensor) -> Tensor:
    """Sum over `selected` [B] bool of KL over the non-target classes, over B; logits [B, K], target [B].

    Source: the paper's distillation on samples of like ranks, here from a frozen teacher.
    """
    ours, theirs = (F.log_softmax(others(each, target), dim=1) for each in (student, teacher))
    rows = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return (rows * selected).mean()


@baseline("c2kd", title="C2KD (frozen teacher)", paper="Huo et al., CVPR 2024")
class C2KD(Distiller):
    """loss = cross-entropy + 1 * (proxies + exchange): all at temperature 1, weight 1 (authors' code).

    Each network has a proxy, here a linear classifier on its embedding (the authors' code has a 1x1
    convolution with batch norm and leaky ReLU before it). `proxies`: the teacher's proxy learns from
    the teacher, the student and its proxy from each other. `exchange`: both proxies learn each other's
    non-target distribution, on samples whose classes they rank alike (Kendall's correlation above 0). In the
    paper the teacher learns too; here it is frozen. The authors' code sets the target's logit to 0 where
    this leaves the class out. Where a label may not be used, the teacher's likeliest class is the target.
    """

    needs = frozenset({"logits", "embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code: 1")] = 1.0,
        threshold: Annotated[float, Range(-0.5, 0.9, source="authors' code, --krc 0")] = 0.0,
        **options: float,
    ):
        super().__init__(context, **options)
        if len(context.student.logits) > 1:
            raise NotApplicable("its proxies classify embeddings, and here every pixel has a class")
        self.weight, self.threshold = weight, threshold
        ours, theirs = math.prod(context.student.embedding), math.prod(context.teacher.embedding)
        self.student_proxy = nn.Linear(ours, context.num_classes)
        self.teacher_proxy = nn.Linear(theirs, context.num_classes)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target = logit_rows(teacher, student, batch)
        our_proxy = self.student_proxy(student.embedding.flatten(1))
        their_proxy = self.teacher_proxy(teacher.embedding.flatten(1))
        fixed_ours, fixed_theirs = our_proxy.detach(), their_proxy.detach()
        proxies = [
            kd_loss(their_proxy, theirs, 1.0),
            kd_loss(our_proxy, ours.detach(), 1.0),
            kd_loss(ours, fixed_ours, 1.0),
        ]
        selected = kendall(fixed_ours.float(), fixed_theirs.float()) > self.threshold
        exchange = [
            selected_loss(our_proxy, fixed_theirs, target, selected),
            selected_loss(their_proxy, fixed_ours, target, selected),
        ]
        return {
            "proxies": self.weight * torch.stack(proxies).sum(),
            "exchange": self.weight * torch.stack(exchange).sum(),
        }
