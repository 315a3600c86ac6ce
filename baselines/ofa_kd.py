"""One-for-all: exits on the student's stages learn from the teacher's logits (Hao et al., NeurIPS 2023)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines._maps import POOLINGS
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline


def ofa_loss(
    student: Tensor, teacher: Tensor, target: Tensor, exponent: float, temperature: float = 1.0
) -> Tensor:
    """-mean over rows of sum_k ((p_t + y)^eps - y) log p_s, y = 1 at the target; logits [R, K], float32.

    eps = 1 is the cross-entropy with the teacher's probabilities; a larger one raises the target's weight and
    lowers those of the other classes. The teacher's entropy isn't subtracted, nothing is multiplied by T^2.
    target [R]. Source: authors' code.
    """
    log_student = F.log_softmax(student.float() / temperature, dim=1)
    probabilities = F.softmax(teacher.float() / temperature, dim=1)
    one = F.one_hot(target, student.shape[1])
    enhanced = (probabilities + one) ** exponent - one
    return -(enhanced * log_student).sum(1).mean()


def separable(channels: int, width: int, axes: int) -> nn.Sequential:
    """Two depth-wise separable convolutions of kernel 3, the first with stride 2, each with norm and ReLU."""
    convolution, norm = CONVOLUTIONS[axes], BATCH_NORMS[axes]
    layers: list[nn.Module] = []
    for after, stride in ((channels, 2), (width, 1)):
        layers += [
            convolution(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
            convolution(channels, after, 1, bias=False),
            norm(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class Exit(nn.Module):
    """Logits from a stage: one separable block per stage behind it, mean over space, linear classifier.

    Channels double from block to block, the last one's are `width`; the last stage has a 1x1 convolution
    instead of blocks. [B, C, *space] -> [B, K].
    """

    def __init__(self, shape: tuple[int, ...], behind: int, width: int, classes: int):
        super().__init__()
        channels, axes = shape[0], len(shape) - 1
        widths = [channels * 2**block for block in range(behind)] + [width]
        blocks = [separable(*pair, axes) for pair in pairwise(widths)]
        self.blocks = nn.Sequential(*blocks) if behind else CONVOLUTIONS[axes](channels, width, 1)
        self.classifier = nn.Linear(width, classes)
        for each in self.blocks.modules():
            if isinstance(each, CONVOLUTIONS[axes]):
                nn.init.kaiming_normal_(each.get_parameter("weight"), mode="fan_out", nonlinearity="relu")
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, feature: Tensor) -> Tensor:
        return self.classifier(self.blocks(feature).flatten(2).mean(2))


@baseline("ofa_kd", title="OFA-KD", paper="Hao et al., NeurIPS 2023", arxiv="2310.19444")
class OFAKD(Distiller):
    """loss = cross-entropy + 1 * sum over stages of ofa_loss(exit) + 1 * ofa_loss(logits), eps = 1, T = 1.

    Of the teacher it takes logits alone, so that any architecture can be one. Exits serve training only;
    layout and weights as in the authors' code for convolutional students, where each stage may have an eps
    of its own (here one for all). A transformer's maps get the same exits (there: merged patches and
    attention). Where a label may not be used, the teacher's likeliest class is the target.
    """

    needs = frozenset({"logits"})

    def __init__(
        self,
        context: Context,
        *,
        exit_weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code: 1")] = 1.0,
        final_weight: Annotated[float, Range(0.1, 10, log=True, source="authors' code: 1")] = 1.0,
        exponent: Annotated[
            float, Range(1, 2, source="authors' code, eps: 1 on CIFAR-100, 1.5 on ImageNet")
        ] = 1.0,
        temperature: Annotated[float, Range(1, 10, log=True, source="authors' code: 1")] = 1.0,
        **options: Any,
    ):
        super().__init__(context, **options)
        if len(context.student.logits) > 1:
            raise NotApplicable("its exits give one answer a sample, and here every pixel has one")
        stages = context.student.maps[1:]
        if not stages:
            raise NotApplicable("the student shows no stages to put exits on")
        if any(len(shape) - 1 not in POOLINGS for shape in stages):
            raise NotApplicable(f"the student's stages have shapes {stages}: no convolution takes them all")
        self.exit_weight, self.final_weight = exit_weight, final_weight
        self.exponent, self.temperature = exponent, temperature
        width = max(math.prod(side.embedding) for side in (context.student, context.teacher))
        self.exits = nn.ModuleList(
            Exit(shape, len(stages) - number, width, context.num_classes)
            for number, shape in enumerate(stages, 1)
        )

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs, ours, target = logit_rows(teacher, student, batch)
        answers = [leave(feature) for leave, feature in zip(self.exits, student.maps[1:], strict=True)]
        *exits, final = (
            ofa_loss(each, theirs, target, self.exponent, self.temperature) for each in (*answers, ours)
        )
        return {"exits": self.exit_weight * torch.stack(exits).sum(), "final": self.final_weight * final}
