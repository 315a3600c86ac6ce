"""Neuron selectivity transfer: where each channel is active, as a set of patterns (Huang & Wang, 2017)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._maps import check_same_stages, pool_match
from benchmark import Activations, Batch, Context, Distiller, Progress, Range, baseline


def mmd(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of the channels' patterns under the kernel (a . b)^2, float32.

    Maps [B, C, *space] on one grid; a pattern is a channel's map of unit length (eq. 4, 5; polynomial kernel
    with d = 2 and c = 0). Mean over the batch.
    """
    with torch.autocast(student_map.device.type, enabled=False):
        ours, theirs = (F.normalize(each.float().flatten(2), dim=2) for each in (student_map, teacher_map))

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return torch.bmm(a, b.transpose(1, 2)).square().mean()

        return kernel(theirs, theirs) + kernel(ours, ours) - 2 * kernel(ours, theirs)


def nst_loss(student_maps: Iterable[Tensor], teacher_maps: Iterable[Tensor]) -> Tensor:
    """Sum over layers of `mmd`, on the smaller of both grids.

    Maps [B, C, *space] in pairs, whose channels may differ. Source: eq. 5, summed as in the CRD benchmark.
    """
    pairs = zip(student_maps, teacher_maps, strict=True)
    return torch.stack([mmd(*pool_match(*pair)) for pair in pairs]).sum()


@baseline("nst", title="NST", paper="Huang & Wang, arXiv 2017", arxiv="1707.01219")
class NST(Distiller):
    """loss = cross-entropy + 50 * sum over stages of the squared discrepancy (CRD benchmark)."""

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.5, 5000, log=True, source="CRD benchmark, nst: beta")] = 50.0,
        **options: float,
    ):
        super().__init__(context, **options)
        check_same_stages(context)
        self.weight = weight

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"nst": self.weight * nst_loss(student.maps[1:], teacher.maps[1:])}
