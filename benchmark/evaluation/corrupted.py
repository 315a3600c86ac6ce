"""Scores networks on the corrupted test split: which of them, under which kinds, and each only once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from torchmetrics import MetricCollection

from benchmark.contracts import Data
from benchmark.data.batches import in_order
from benchmark.data.feed import in_pieces
from benchmark.data.splits import open_test
from benchmark.evaluation.accuracy import score
from benchmark.evaluation.corruptions import NOISE, STRENGTHS, Corruption, Values
from benchmark.evaluation.predictor import Predictor, predict
from benchmark.ranks import Fabric
from benchmark.records import Corrupted


class CorruptedTest:
    """The test split of a dataset under every kind that means something to a student.

    modalities   of the student: where none of them is an image, noise is all there is
    wanted       whether anything is corrupted at all
    memory       outlives the cohort: a teacher that several cohorts share is evaluated once
    """

    def __init__(
        self,
        data: Data,
        metrics: MetricCollection,
        modalities: Iterable[str],
        wanted: bool,
        fabric: Fabric,
        memory: dict[object, object],
    ):
        self._data, self._metrics, self._wanted = data, metrics, wanted
        self._fabric, self._memory = fabric, memory
        images = any(data.modalities[name].spatial for name in modalities)
        self._kinds = tuple(STRENGTHS) if images else (NOISE,)

    def scores(self, predictor: Predictor) -> Corrupted:
        """The primary metric of a finished network under every kind and strength.

        What it sees beside images is left alone by all but the noise. Empty where nothing is wanted, or no
        test sample has a label.
        """
        if not self._wanted or not len(self._metrics):
            return {}
        test = open_test(self._data)
        if not test.labelled:
            return {}
        values = {name: self._values(name) for name in predictor.modalities}
        found: Corrupted = {}
        for kind in self._kinds:
            for number, strength in enumerate(STRENGTHS[kind], start=1):
                corruption = Corruption(kind, strength, values)
                batches = in_order(
                    self._data, test, predictor.modalities, self._fabric.device, alter=corruption
                )
                logits = predict(predictor, batches, self._fabric).logits
                primary, value = next(iter(score(self._metrics, logits, test.labels).items()))
                found[f"{kind}/{number}"] = {primary: value}
        return found

    def shared_scores(self, name: object, predictor: Predictor) -> Corrupted:
        """The same for a network that other cohorts of this dataset have too, under its `name`."""
        key = ("corrupted", self._data.fingerprint, self._kinds, self._wanted, name)
        if key not in self._memory:
            self._memory[key] = self.scores(predictor)
        return self._memory[key]  # pyright: ignore[reportReturnType]

    def _values(self, name: str) -> Values:
        """Those of a modality over the train part, however it is split and wherever it is: the same for every
        run."""
        key = ("values", self._data.fingerprint, name)
        if key not in self._memory:
            one = self._data.train.subset(torch.arange(1))  # tells bytes, which need no other
            pieces = itertools.chain(in_pieces(one, name), in_pieces(self._data.train, name))
            self._memory[key] = Values.of(self._data.modalities[name], pieces)
        return self._memory[key]  # pyright: ignore[reportReturnType]
