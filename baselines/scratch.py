"""The student without a teacher: the row that every difference is taken to."""

from __future__ import annotations

from torch import Tensor

from benchmark import Activations, Batch, Distiller, Progress, baseline


@baseline("scratch", title="Scratch", role="reference", anchor=True, companion="all_labels")
class Scratch(Distiller):
    """loss = task_weight * cross-entropy; no distillation term."""

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        return {}
