"""WKD-F: transport between Gaussians of the last maps' places (Lv et al., NeurIPS 2024)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from baselines._maps import POOLINGS, check_same_axes
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Progress, Range, baseline

EPSILON = 1e-5


def moments(feature: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over each of `grid` cells per axis, float32.

    A map [B, C, *space] gives two tensors [B, C, cells]; the variance is unbiased, plus 1e-5. An axis shorter
    than `grid` has a cell per place.
    Source: authors' code.
    """
    feature = feature.float()
    cells = [min(grid, size) for size in feature.shape[2:]]
    pool = POOLINGS[feature.ndim - 2]
    mean, square = pool(feature, cells), pool(feature.square(), cells)
    count = torch.ones((), device=feature.device)
    for size, number in zip(feature.shape[2:], cells, strict=True):
        begin = torch.arange(number, device=feature.device) * size  # times the number of cells
        lengths = -(-(begin + size) // number) - begin // number
        count = count[..., None] * lengths.float()
    variance = (square - mean.square()).clamp(min=0) * count / (count - 1).clamp(min=1)
    return mean.flatten(2), (variance + EPSILON).sqrt().flatten(2)


def wkd_f_losses(student_map: Tensor, teacher_map: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """(mean, deviation): squared differences of the moments, summed over channels, mean over batch and cells.

    Maps [B, C, *space] of equal channels. The squared 2-Wasserstein distance of diagonal Gaussians (eq. 9).
    """
    pairs = zip(moments(student_map, grid), moments(teacher_map, grid), strict=True)
    mean, deviation = ((ours - theirs).square().sum(1).mean() for ours, theirs in pairs)
    return mean, deviation


@baseline("wkd_f", title="WKD-F", paper="Lv et al., NeurIPS 2024", arxiv="2412.08139")
class WKDF(Distiller):
    """loss = cross-entropy + fall * 0.006 * (4 * mean + deviation) of the last maps, the student's projected.

    The projector is a 1x1 convolution with batch norm and ReLU. The fall: 1 up to 150 of 240 epochs, from
    there along a cosine to 0 at the end. Weight, ratio and grid are the authors' for
    resnet32x4 to resnet8x4; for wrn_40_2 to ShuffleV1 they give 0.3, 3 and a grid of 4.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.0006, 1, log=True, source="authors' code, res8x4")] = 0.006,
        ratio: Annotated[float, Range(0.5, 10, log=True, source="authors' code, res8x4")] = 4.0,
        grid: Annotated[int, Range(1, 8, log=True, source="authors' code, res8x4")] = 1,
        decay_start: Annotated[float, Range(0, 1, source="authors' code: 150 of 240 epochs")] = 150 / 240,
        **options: float,
    ):
        super().__init__(context, **options)
        ours, theirs = context.student.maps[-1], context.teacher.maps[-1]
        check_same_axes(ours, theirs)
        if 1 in (math.prod(ours[1:]), math.prod(theirs[1:])):
            raise NotApplicable("a last map of one place has no deviation")
        self.weight, self.ratio, self.grid, self.decay_start = weight, ratio, grid, decay_start
        axes = len(theirs) - 1
        self.project = nn.Sequential(
            CONVOLUTIONS[axes](ours[0], theirs[0], 1), BATCH_NORMS[axes](theirs[0]), nn.ReLU()
        )

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        mean, deviation = wkd_f_losses(self.project(student.maps[-1]), teacher.maps[-1], self.grid)
        weight = progress.fall(self.decay_start) * self.weight
        return {"mean": weight * self.ratio * mean, "deviation": weight * deviation}
