"""The small arrays that a run leaves for figures, beside its scalars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from benchmark.contracts import Batch, Samples
from benchmark.contracts.distiller import SecondView
from benchmark.data.batches import in_order, second_view
from benchmark.data.feed import feed_of
from benchmark.data.splits import open_test
from benchmark.evaluation.fidelity import class_correlation
from benchmark.evaluation.predictor import Predictions, evaluating
from benchmark.ranks import Fabric
from benchmark.seeds import RandomStream, derive, generator
from benchmark.training.composition import has_diagnostics
from benchmark.training.materials import Materials
from benchmark.training.run_state import RunState
from benchmark.training.teacher import Teacher

KEPT_EMBEDDINGS = 256
KEPT_LOGITS = 2_000_000
KEPT_MASKS = 64
KEPT_CLASSES = 200
"""More classes than this leave no matrix of correlations."""
SHOWN = 64
"""Diagnostics are those of this many training samples, the first ones."""


@dataclass
class Artifacts:
    """What the runs of one cohort leave for figures.

    train   the training samples in use
    seen    the modalities that teacher and student need
    """

    materials: Materials
    train: Samples
    teacher: Teacher
    fabric: Fabric
    seen: tuple[str, ...]

    def arrays(self, state: RunState, predictions: Predictions) -> dict[str, np.ndarray]:
        """What arrays.npz and outputs.npz hold, bounded whatever the data (N test samples, K classes).

        test_prediction, test_label     int16 [N] (of masks the first 64)
        test_group                      int32 [N], the subject or scene of each, where the data has groups
        test_logits                     float16 [N, K], of at most two million numbers
        test_embedding                  float16 [256, D] of the first test samples, and teacher_embedding
        test_class_correlation          float16 [K, K] over the test samples, and teacher_class_correlation
        diagnostics.*                   the baseline's own arrays of one axis or more, at the end;
                                        diagnostics_first.* after one epoch
        """
        logits, data = predictions.logits, self.materials.data
        kept = KEPT_MASKS if data.dense else len(logits)
        arrays = {
            "test_prediction": logits.argmax(1)[:kept].to(torch.int16),
            "test_label": open_test(data).labels[:kept].to(torch.int16),
            "test_embedding": predictions.embeddings.half(),
            "teacher_embedding": self._teacher_embedding.half(),
        }
        groups = open_test(data).groups
        if groups is not None:
            arrays["test_group"] = groups.unique(return_inverse=True)[1][:kept].to(torch.int32)
        if logits.numel() <= KEPT_LOGITS and not data.dense:
            arrays["test_logits"] = logits.half()
        if logits.shape[1] <= KEPT_CLASSES and not data.dense:
            arrays["test_class_correlation"] = class_correlation(logits).half()
            arrays["teacher_class_correlation"] = class_correlation(self.teacher.test_logits).half()
        shown = self.diagnostics(state) if has_diagnostics(state.learner.distiller) else {}
        arrays |= {f"diagnostics.{name}": array for name, array in shown.items() if array.ndim}
        arrays |= {f"diagnostics_first.{name}": array for name, array in state.early_arrays.items()}
        return {name: array.numpy() for name, array in arrays.items()}

    @torch.no_grad()
    def diagnostics(self, state: RunState) -> dict[str, Tensor]:
        """The baseline's diagnostics on unaugmented training samples; its own random stream rests."""
        learner, device = state.learner, self.fabric.device
        with evaluating(learner):
            batch = next(in_order(self.materials.data, self.train, self.seen, device, SHOWN))
            teacher, student = self.teacher.network(batch), learner.network(batch)
            if learner.second_view:
                second = self._second_view(learner.second_view, batch)
                teacher, student = (
                    replace(shown, second=network(second))
                    for shown, network in ((teacher, self.teacher.network), (student, learner.network))
                )
            with RandomStream(derive(self.materials.spec.seed, "diagnostics"), device).active():
                shown = learner.distiller.diagnostics(teacher, student, batch)
        return {name: torch.from_numpy(np.array(array)) for name, array in shown.items()}

    def _second_view(self, view: SecondView, batch: Batch) -> Batch:
        """That of the first training samples as they are, the same at every call."""
        modalities = {name: self.materials.data.modalities[name] for name in self.seen}
        draw = generator(self.materials.spec.seed, "diagnostics", view)

        feed = feed_of(self.train, self.seen, self.fabric.device)
        (raw,) = feed.batches([torch.arange(len(batch["index"]))])
        return second_view(view, batch, raw, modalities, draw, len(batch["index"]))

    @cached_property
    @torch.no_grad()
    def _teacher_embedding(self) -> Tensor:
        data, network = self.materials.data, self.teacher.network
        batch = next(in_order(data, open_test(data), network.modalities, self.fabric.device, KEPT_EMBEDDINGS))
        return network(batch).embedding.float().cpu()
