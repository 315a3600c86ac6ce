"""Evaluates predictors on the splits of one dataset: scores, fidelity, latency, probes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from benchmark.contracts import IGNORE, Batch, Data, Samples
from benchmark.data.batches import in_order
from benchmark.data.splits import open_test
from benchmark.evaluation.accuracy import score
from benchmark.evaluation.calibration import calibration
from benchmark.evaluation.cost import latency_ms
from benchmark.evaluation.fidelity import fidelity
from benchmark.evaluation.predictor import Predictions, Predictor, predict
from benchmark.ranks import ALONE, Fabric, Ranks

MOST_TRAINING = 2000
"""Training samples that a network is scored on at most; splits are in stratified order."""


class Evaluation:
    """How predictors are judged on one dataset.

    validation   samples that may be looked at while training goes on
    memory       what is measured once for all cohorts of a command: the latency of a network
    ranks        among whom the batches of a split are dealt out, so that all of them have its predictions
    """

    def __init__(
        self,
        data: Data,
        validation: Samples,
        metrics: MetricCollection,
        fabric: Fabric,
        memory: dict[object, object],
        ranks: Ranks = ALONE,
    ):
        self._data, self._validation, self._metrics, self._fabric = data, validation, metrics, fabric
        self._memory, self._ranks = memory, ranks

    @property
    def validates(self) -> bool:
        """Whether there is anything to validate with."""
        return bool(len(self._validation) and len(self._metrics))

    @property
    def validation_title(self) -> str:
        """The primary metric and its samples, in words."""
        metric, count = next(iter(self._metrics)), int((self._validation.labels != IGNORE).sum())
        return f"validation {metric}, {count} {'pixels' if self._data.dense else 'samples'}"

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the primary metric is better."""
        return bool(next(iter(self._metrics.values(copy_state=False))).higher_is_better)

    def validate(self, predictor: Predictor) -> tuple[dict[str, float], bool]:
        """Scores on the validation samples, the primary metric first, and whether more of that is better."""
        logits = self._predict(predictor, self._validation, 0).logits
        return score(self._metrics, logits, self._validation.labels), self.higher_is_better

    def test(
        self, predictor: Predictor, teacher_logits: Tensor | None = None, keep: int = 0
    ) -> tuple[dict[str, float], Predictions]:
        """Opens the test split: scores, calibration, fidelity to a teacher where there is one, predictions.

        keep   of how many samples, the first ones, the embeddings are kept
        """
        test = open_test(self._data)
        seen = self._predict(predictor, test, keep)
        scores = score(self._metrics, seen.logits, test.labels)
        if scores:
            scores |= calibration(seen.logits, test.labels)
        if teacher_logits is not None:
            scores |= fidelity(seen.logits, teacher_logits)
        return scores, seen

    def training_scores(self, predictor: Predictor, samples: Samples) -> dict[str, float]:
        """Scores on samples that it was trained on, unaugmented: the first `MOST_TRAINING` of them."""
        some = samples.subset(torch.arange(min(len(samples), MOST_TRAINING)))
        return score(self._metrics, self._predict(predictor, some, 0).logits, some.labels)

    def latency(self, name: object, predictor: Predictor, batch: Batch) -> float:
        """Milliseconds of one prediction, measured once for everything that predicts under one `name`."""
        key = ("latency", self._data.fingerprint, name)
        if key not in self._memory:
            self._memory[key] = latency_ms(predictor, batch)
        return self._memory[key]  # pyright: ignore[reportReturnType]

    def _predict(self, predictor: Predictor, samples: Samples, keep: int) -> Predictions:
        device, share = self._fabric.device, self._ranks.share
        batches = in_order(self._data, samples, predictor.modalities, device, share=share)
        return predict(predictor, batches, self._fabric, keep, self._ranks)
