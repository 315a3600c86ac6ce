"""Modality hallucination: the student imitates what the other modality would show (Hoffman et al., 2016)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from baselines._hints import Hint
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, baseline


def hallucination_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference of the maps' sigmoids over all elements (eq. 1, there the squared norm).

    Maps [B, C, *space] of one shape.
    """
    return (torch.sigmoid(student_map) - torch.sigmoid(teacher_map)).square().mean()


@baseline(
    "modality_hallucination",
    title="Modality hallucination (single stream)",
    paper="Hoffman et al., CVPR 2016",
)
class ModalityHallucination(Distiller):
    """loss = cross-entropy + 10 * hallucination_loss of the last maps.

    The single student is the hallucination stream; the paper averages its answers with those of a second,
    ordinary one at test time, which is no part of this. The paper sets the weight so that the term outweighs
    the largest other one tenfold at the start; the constant 10 is ours.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.1, 1000, log=True, source="ours, after the paper's rule")] = 10.0,
        layer: Annotated[int, Choice((-1, -2, -3), source="paper: the last pooling works best")] = -1,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight = weight
        self.hint = Hint(context, layer)

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"hallucination": self.weight * hallucination_loss(*self.hint(teacher, student))}
