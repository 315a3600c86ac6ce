"""Flow of the solution procedure: inner products of consecutive maps (Yim et al., CVPR 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor

from baselines._maps import check_same_channels, check_same_stages, pool_match
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, Stage, baseline


def flow(lower: Tensor, upper: Tensor) -> Tensor:
    """Mean over places of upper times lower channels, maps [B, C, *space] -> [B, C_upper, C_lower] (eq. 1).

    On the smaller of both grids, float32.
    """
    with torch.autocast(lower.device.type, enabled=False):
        lower, upper = (each.float().flatten(2) for each in pool_match(lower, upper))
        return torch.bmm(upper, lower.transpose(1, 2)) / lower.shape[2]


def fsp_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """Sum over consecutive pairs of maps of the mean squared difference of both flows.

    Mean over B * C * C entries as in the CRD benchmark, where eq. 2 has a weighted sum.
    Maps [B, C, *space] of at least two layers; the networks' maps have equal channels two by two.
    """
    flows = zip(pairwise(student_maps), pairwise(teacher_maps), strict=True)
    return torch.stack([(flow(*ours) - flow(*theirs)).square().mean() for ours, theirs in flows]).sum()


@baseline("fsp", title="FSP", paper="Yim et al., CVPR 2017")
class FSP(Distiller):
    """First stage: fsp_loss alone, over all maps, for the student's body; then cross-entropy.

    The first stage takes 30 of 240 epochs (CRD benchmark). Raises NotApplicable unless all maps have the
    teacher's channels.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.01, 100, log=True, source="CRD benchmark: plain sum")] = 1.0,
        share: Annotated[float, Range(0.05, 0.5, source="CRD benchmark, init_epochs 30 of 240")] = 0.125,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context)
        check_same_channels(context)
        self.weight, self.share = weight, share

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],)

    def first_stages(self) -> tuple[Stage, ...]:
        return (Stage("flow", self.share, self._flow, trains_student=True),)

    def _flow(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"fsp": self.weight * fsp_loss(student.maps, teacher.maps)}
