"""The small arrays that a run leaves for figures, beside its scalars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmark.cohorts import Cohort
from benchmark.contracts import Samples
from benchmark.data.batches import in_order
from benchmark.data.splits import open_test
from benchmark.evaluation.accuracy import Predictions
from benchmark.evaluation.fidelity import class_correlation
from benchmark.models.network import look
from benchmark.seeds import RandomStream, derive
from benchmark.training.loop import Track
from benchmark.training.teacher import Teacher

KEPT_EMBEDDINGS = 256
KEPT_LOGITS = 2_000_000
KEPT_MASKS = 64
KEPT_CLASSES = 200
"""More classes than this leave no matrix of correlations."""
SHOWN = 64
"""Diagnostics are those of this many training samples, the first ones."""


@dataclass
class Evidence:
    """What the runs of one cohort leave.

    train   the training samples in use
    seen    the modalities that teacher and student need
    """

    cohort: Cohort
    train: Samples
    teacher: Teacher
    fabric: Fabric
    seen: tuple[str, ...]

    def arrays(self, track: Track, predictions: Predictions) -> dict[str, np.ndarray]:
        """The content of arrays.npz, bounded in size whatever the data (N test samples, K classes).

        test_prediction, test_label     int16 [N] (of masks the first 64)
        test_logits                     float16 [N, K], of at most two million numbers
        test_embedding                  float16 [256, D] of the first test samples, and teacher_embedding
        test_class_correlation          float16 [K, K] over the test samples, and teacher_class_correlation
        diagnostics.*                   the baseline's own, at the end; diagnostics_first.* after one epoch
        """
        logits, dense = predictions.logits, self.cohort.data.dense
        kept = KEPT_MASKS if dense else len(logits)
        arrays = {
            "test_prediction": logits.argmax(1)[:kept].to(torch.int16),
            "test_label": open_test(self.cohort.data).labels[:kept].to(torch.int16),
            "test_embedding": predictions.embeddings.half(),
            "teacher_embedding": self._teacher_embedding.half(),
        }
        if logits.numel() <= KEPT_LOGITS and not dense:
            arrays["test_logits"] = logits.half()
        if logits.shape[1] <= KEPT_CLASSES and not dense:
            arrays["test_class_correlation"] = class_correlation(logits).half()
            arrays["teacher_class_correlation"] = class_correlation(self.teacher.test_logits).half()
        arrays |= {f"diagnostics.{name}": array for name, array in self.diagnostics(track).items()}
        arrays |= {f"diagnostics_first.{name}": array for name, array in track.early_arrays.items()}
        return {name: array.numpy() for name, array in arrays.items()}

    @torch.no_grad()
    def diagnostics(self, track: Track) -> dict[str, Tensor]:
        """The baseline's diagnostics on unaugmented training samples; its own random stream rests."""
        learner, device = track.learner, self.fabric.device
        was_training = learner.training
        learner.eval()
        batch = next(in_order(self.cohort.data, self.train, self.seen, device, SHOWN))
        teacher = look(self.teacher.network, batch, self.teacher.spec.modalities)
        student = look(learner.network, batch, learner.modalities)
        with RandomStream(derive(self.cohort.seed, "diagnostics"), device).active():
            shown = learner.distiller.diagnostics(teacher, student, batch)
        learner.train(was_training)
        return {name: torch.from_numpy(np.array(array)) for name, array in shown.items()}

    @cached_property
    @torch.no_grad()
    def _teacher_embedding(self) -> Tensor:
        data, seen = self.cohort.data, self.teacher.spec.modalities
        batch = next(in_order(data, open_test(data), seen, self.fabric.device, KEPT_EMBEDDINGS))
        return look(self.teacher.network, batch, seen).embedding.float().cpu()
