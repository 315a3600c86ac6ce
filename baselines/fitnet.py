"""FitNet: a regressor takes the student's hint layer to the teacher's (Romero et al., ICLR 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor

from baselines._projection import ConvReg
from benchmark import (
    Activations,
    Batch,
    Choice,
    Context,
    Distiller,
    NotApplicable,
    Progress,
    Range,
    Stage,
    baseline,
)


def fitnet_loss(regressed: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference over all elements of two maps [B, C, *space], float32 (eq. 3)."""
    return (regressed.float() - teacher_map.float()).square().mean()


@baseline("fitnet", title="FitNet", paper="Romero et al., ICLR 2015", arxiv="1412.6550")
class FitNet(Distiller):
    """loss = cross-entropy + 100 * mean (r(F_s) - F_t)^2, with r = convolution, batch norm, ReLU.

    Weight and hint layer (the second stage) are those of the CRD benchmark, which trains hint and task
    jointly. `stages=2` is nearer to the paper: a first stage of the hint alone, for regressor and body, and
    then the task alone (the paper's KD term in it is `fitnet+kd`; it trains the body up to the hint layer,
    which is what the hint's gradient reaches). Raises NotApplicable where no regressor is defined between
    the two maps.
    """

    needs = frozenset({"maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(1, 1000, log=True, source="CRD benchmark, hint: beta 100")] = 100.0,
        hint_layer: Annotated[int, Choice((0, 1, 2, 3), source="CRD benchmark, hint_layer 2")] = 2,
        stages: Annotated[int, Choice((1, 2), source="1: CRD benchmark; 2: paper, algorithm 1")] = 1,
        share: Annotated[float, Range(0.05, 1, source="with two stages; AB's 30 of 240 epochs")] = 0.125,
        **options: float,
    ):
        super().__init__(context, **options)
        shortest = min(len(context.student.maps), len(context.teacher.maps))
        if not 0 <= hint_layer < shortest:
            raise NotApplicable(
                f"hint layer {hint_layer} isn't there: the shallower network has {shortest} maps"
            )
        self.weight, self.hint_layer = weight, hint_layer
        self.two_stages, self.share = stages == 2, share
        self.regressor = ConvReg(context.student.maps[hint_layer], context.teacher.maps[hint_layer])

    @classmethod
    def stage_shares(cls, hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
        return (hyperparameters["share"],) if hyperparameters["stages"] == 2 else ()

    def first_stages(self) -> tuple[Stage, ...]:
        trained = tuple(self.regressor.parameters())
        hint = Stage("hint", self.share, self._hint, trained, trains_student=True)
        return (hint,) if self.two_stages else ()

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {} if self.two_stages else self._hint(teacher, student, batch, progress)

    def _hint(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        regressed = self.regressor(student.maps[self.hint_layer])
        return {"fitnet": self.weight * fitnet_loss(regressed, teacher.maps[self.hint_layer])}
