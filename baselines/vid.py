"""Variational information distillation: the teacher's maps as Gaussians around the student's (Ahn et al.)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._maps import check_same_stages, pool_match
from baselines._projection import CONVOLUTIONS
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def vid_loss(mean: Tensor, teacher_map: Tensor, variance: Tensor) -> Tensor:
    """Mean of ((F_t - mean)^2 / variance + log variance) / 2, maps [B, C, *space], variance [C], float32.

    The negative log-likelihood of eq. 6 without its constant.
    """
    variance = variance.float().view(-1, *[1] * (teacher_map.ndim - 2))
    return 0.5 * ((mean.float() - teacher_map.float()).square() / variance + variance.log()).mean()


class Stage(nn.Module):
    """The mean [B, C_t, *space] that is regressed from the student's map, and a variance [C_t] around it."""

    def __init__(
        self,
        student: tuple[int, ...],
        teacher: tuple[int, ...],
        initial_variance: float,
        epsilon: float = 1e-5,
    ):
        super().__init__()
        convolution, width = CONVOLUTIONS[len(teacher) - 1], teacher[0]
        self.regressor = nn.Sequential(
            convolution(student[0], width, 1, bias=False),
            nn.ReLU(),
            convolution(width, width, 1, bias=False),
            nn.ReLU(),
            convolution(width, width, 1, bias=False),
        )
        self.epsilon = epsilon
        self.log_scale = nn.Parameter(torch.full((width,), math.log(math.expm1(initial_variance - epsilon))))

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """`vid_loss` on the smaller of both grids."""
        student_map, teacher_map = pool_match(student_map, teacher_map)
        variance = F.softplus(self.log_scale) + self.epsilon
        return vid_loss(self.regressor(student_map), teacher_map, variance)


@baseline("vid", title="VID", paper="Ahn et al., CVPR 2019", arxiv="1904.05835")
class VID(Distiller):
    """loss = cross-entropy + 1 * sum over stages of vid_loss(mu(F_s), F_t, var).

    mu is three 1x1 convolutions with ReLU in between, var a trained variance per channel, 5 at first: weight
    and layout are those of the CRD benchmark.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.01, 100, log=True, source="CRD benchmark, vid: beta")] = 1.0,
        initial_variance: Annotated[
            float, Range(0.1, 50, log=True, source="CRD benchmark, init_pred_var")
        ] = 5.0,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context)
        self.weight = weight
        pairs = zip(context.student.maps[1:], context.teacher.maps[1:], strict=True)
        self.stages = nn.ModuleList(Stage(ours, theirs, initial_variance) for ours, theirs in pairs)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        pairs = zip(self.stages, student.maps[1:], teacher.maps[1:], strict=True)
        return {
            "vid": self.weight * torch.stack([stage(ours, theirs) for stage, ours, theirs in pairs]).sum()
        }
