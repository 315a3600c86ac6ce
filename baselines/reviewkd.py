"""ReviewKD: fused maps of several depths against each of the teacher's (Chen et al., CVPR 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._maps import check_same_stages, pool_to
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline

LEVELS = (4, 2, 1)
WIDEST = 512


def hcl_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference of two maps [B, C, *space], averaged with that of coarser grids, float32.

    Levels of 4, 2 and 1 places per axis, where that is coarser, count 1/2, 1/4 and so on (section 3.3).
    """
    ours, theirs = student_map.float(), teacher_map.float()
    total, weights, weight = F.mse_loss(ours, theirs), 1.0, 1.0
    for level in LEVELS:
        if level >= max(ours.shape[2:]):
            continue
        weight /= 2
        size = tuple(min(level, each) for each in ours.shape[2:])
        total = total + weight * F.mse_loss(pool_to(ours, size), pool_to(theirs, size))
        weights += weight
    return total / weights


class Fusion(nn.Module):
    """Attention-based fusion of a map with the deeper ones' (section 3.2).

    The map [B, C, *space] is taken to `width` channels, mixed with the fusion of the deeper ones by two
    attention maps (`deepest`: there is none), resized to `grid`, and projected to `out` channels.
    """

    def __init__(self, channels: int, width: int, out: int, grid: tuple[int, ...], *, deepest: bool = False):
        super().__init__()
        convolution, norm = CONVOLUTIONS[len(grid)], BATCH_NORMS[len(grid)]
        self.reduce = nn.Sequential(convolution(channels, width, 1, bias=False), norm(width))
        self.expand = nn.Sequential(convolution(width, out, 3, padding=1, bias=False), norm(out))
        self.attend = None if deepest else nn.Sequential(convolution(2 * width, 2, 1), nn.Sigmoid())
        self.grid = grid

    def forward(self, feature: Tensor, deeper: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(what is compared with the teacher's map, what is handed on to the next shallower one)."""
        fused = self.reduce(feature)
        if self.attend is not None:
            deeper = F.interpolate(deeper, fused.shape[2:], mode="nearest")
            share = self.attend(torch.cat([fused, deeper], dim=1))
            fused = fused * share[:, :1] + deeper * share[:, 1:]
        if tuple(fused.shape[2:]) != self.grid:
            fused = F.interpolate(fused, self.grid, mode="nearest")
        return self.expand(fused), fused


@baseline("reviewkd", title="ReviewKD", paper="Chen et al., CVPR 2021", arxiv="2104.09044")
class ReviewKD(Distiller):
    """loss = cross-entropy + warm-up * 1 * sum of hcl_loss over fused stages and the embedding.

    The warm-up rises linearly over 20 of 240 epochs; the teacher's stages are taken before their rectifier
    where it shows that. Weight and layout are mdistiller's defaults (5 for resnet32x4 to resnet8x4).
    """

    needs = frozenset({"maps", "embedding"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.05, 20, log=True, source="mdistiller, ReviewKD: 1")] = 1.0,
        warmup: Annotated[float, Range(0, 0.5, source="mdistiller, 20 of 240 epochs")] = 20 / 240,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context)
        self.weight, self.warmup = weight, warmup
        point = (1,) * (len(context.teacher.maps[-1]) - 1)
        ours = [*context.student.maps[1:], (math.prod(context.student.embedding), *point)]
        theirs = [*context.teacher.maps[1:], (math.prod(context.teacher.embedding), *point)]
        width = min(WIDEST, ours[-1][0])
        self.fusions = nn.ModuleList(
            Fusion(student[0], width, teacher[0], teacher[1:], deepest=depth == 0)
            for depth, (student, teacher) in enumerate(zip(ours[::-1], theirs[::-1], strict=True))
        )

    def fused(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the student, shallow to deep, [B, C, *space] -> what each is compared by, in that order."""
        results, deeper = [], None
        for fusion, feature in zip(self.fusions, features[::-1], strict=True):
            compared, deeper = fusion(feature, deeper)
            results.append(compared)
        return results[::-1]

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        theirs = [*(teacher.preactivations or teacher.maps)[1:], _as_map(teacher)]
        ours = self.fused([*student.maps[1:], _as_map(student)])
        layers = torch.stack([hcl_loss(*pair) for pair in zip(ours, theirs, strict=True)])
        return {"reviewkd": progress.rise(self.warmup) * self.weight * layers.sum()}


def _as_map(shown: Activations) -> Tensor:
    """The embedding as a map of one place, [B, D, 1, ...]."""
    embedding = shown.embedding.flatten(1)
    return embedding.view(*embedding.shape, *[1] * (shown.maps[-1].ndim - 2))
