"""Factor transfer: the student's maps, translated, against the teacher's, paraphrased (Kim et al., 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._maps import check_same_axes, pool_match
from baselines._projection import BATCH_NORMS, CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS
from baselines.at import attention
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, Stage, baseline

SLOPE = 0.1


def ft_loss(student_factor: Tensor, teacher_factor: Tensor) -> Tensor:
    """Mean absolute difference of the factors' attentions, [B, C, *space] on the smaller of both grids.

    The CRD benchmark's form (p1 = 2, p2 = 1); eq. 4 normalises the whole factor and keeps its channels.
    """
    ours, theirs = pool_match(student_factor, teacher_factor)
    return (attention(ours) - attention(theirs)).abs().mean()


def encoder(axes: int, widths: tuple[int, ...], *, norm: bool) -> nn.Sequential:
    """3x3 convolutions through `widths`, each with batch norm if asked for and a leaky ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [CONVOLUTIONS[axes](before, after, 3, padding=1)]
        layers += [BATCH_NORMS[axes](after)] if norm else []
        layers += [nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class Paraphraser(nn.Module):
    """An autoencoder of the teacher's map [B, C, *space]; its code, the factor, has `width` channels."""

    def __init__(self, axes: int, channels: int, width: int):
        super().__init__()
        self.encoder = encoder(axes, (channels, channels, width, width), norm=False)
        layers: list[nn.Module] = []
        for before, after in ((width, width), (width, channels), (channels, channels)):
            layers += [TRANSPOSED_CONVOLUTIONS[axes](before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
        self.decoder = nn.Sequential(*layers)

    def reconstruction_loss(self, teacher_map: Tensor) -> Tensor:
        """Mean squared error of the decoded factor (section 3.1)."""
        return F.mse_loss(self.decoder(self.encoder(teacher_map)).float(), teacher_map.float())


@baseline("ft", title="FT", paper="Kim et al., NeurIPS 2018", arxiv="1802.04977")
class FT(Distiller):
    """loss = cross-entropy + 200 * ft_loss of the translated and the paraphrased last map.

    A first stage of 30 of 240 epochs trains the paraphraser, which is fixed afterwards. Weight, widths (half
    of the teacher's channels) and form are the CRD benchmark's.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(2, 20000, log=True, source="CRD benchmark, factor: beta")] = 200.0,
        compression: Annotated[float, Range(0.25, 1, source="CRD benchmark, k")] = 0.5,
        share: Annotated[float, Range(0.05, 0.5, source="CRD benchmark, init_epochs 30 of 240")] = 0.125,
        **options: float,
    ):
        super().__init__(context, **options)
        ours, theirs = context.student.maps[-1], context.teacher.maps[-1]
        check_same_axes(ours, theirs)
        self.weight, self.share = weight, share
        axes, width = len(theirs) - 1, max(1, int(theirs[0] * compression))
        self.translator = encoder(axes, (ours[0], ours[0], width, width), norm=True)
        self.paraphraser = Paraphraser(axes, theirs[0], width)

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],)

    def first_stages(self) -> tuple[Stage, ...]:
        return (Stage("paraphraser", self.share, self._reconstruct, tuple(self.paraphraser.parameters())),)

    def _reconstruct(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"reconstruction": self.paraphraser.reconstruction_loss(teacher.maps[-1])}

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            factor = self.paraphraser.encoder(teacher.maps[-1])
        return {"ft": self.weight * ft_loss(self.translator(student.maps[-1]), factor)}
