"""Supervision transfer: the teacher's map from paired data first, then the labels (Gupta et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from baselines._hints import Hint
from benchmark import Activations, Batch, Choice, Context, Distiller, Progress, Range, Stage, baseline


def transfer_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference over all elements of two maps of one shape (eq. 1 with the squared L2 loss).

    Maps [B, C, *space].
    """
    return F.mse_loss(student_map, teacher_map)


@baseline(
    "supervision_transfer",
    title="Supervision transfer",
    paper="Gupta et al., CVPR 2016",
    arxiv="1507.00448",
)
class SupervisionTransfer(Distiller):
    """First stage: transfer_loss alone on the last map, for the student's body; then cross-entropy.

    The first stage reads no label and so learns from every paired sample. Its length (half of the epochs, on
    top of them) is ours: the paper trains both stages until they stop improving. Where channels differ, a 1x1
    convolution with batch norm takes the student's map to the teacher's.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.01, 100, log=True, source="ours: plain mean")] = 1.0,
        layer: Annotated[int, Choice((-1, -2, -3), source="paper: a late layer works best")] = -1,
        share: Annotated[float, Range(0.1, 2, source="ours: half of the training")] = 0.5,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.share = weight, share
        self.hint = Hint(context, layer)

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],)

    def first_stages(self) -> tuple[Stage, ...]:
        trained = tuple(self.hint.parameters())
        return (Stage("transfer", self.share, self._transfer, trained, trains_student=True),)

    def _transfer(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {"transfer": self.weight * transfer_loss(*self.hint(teacher, student))}
