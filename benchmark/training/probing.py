"""Extracts the frozen features of a cohort's networks, each once, and has them probed."""

from __future__ import annotations

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmark.cohorts import Cohort
from benchmark.contracts import IGNORE, Samples, Target
from benchmark.data.batches import in_order
from benchmark.data.splits import open_test, stratified_order
from benchmark.evaluation.probes import Features, probe
from benchmark.models.network import Network, look

MOST_SAMPLES = 2000
"""A probe's training samples at most: a stratified part of the train split, the same for every network."""

OWN = "own"
"""The name of the dataset's own question, with the labels of all training samples."""

Scores = dict[str, dict[str, float]]
"""Question -> probe -> test accuracy."""


class Probing:
    """Probes networks of one cohort on its own dataset and on the transfer targets.

    `memory` outlives the cohort: what several cohorts share (targets, the teacher, the untrained student of a
    seed) is loaded and probed once. Raises UserError for a target that can't be read.
    """

    def __init__(self, cohort: Cohort, fabric: Fabric, memory: dict[object, object]):
        self._cohort, self._fabric, self._memory = cohort, fabric, memory
        self._place = (cohort.data.fingerprint, cohort.splits.train.numpy().tobytes())
        # Loaded before anything is trained: a damaged target is told while nothing can be lost.
        self._questions()

    def scores(self, network: Network, modalities: tuple[str, ...]) -> Scores:
        """Every question's probes of a network that sees `modalities`; a question that lacks one is left out.

        The network is in eval mode meanwhile and gets no gradient. Empty where the cohort wants no probes.
        """
        found: Scores = {}
        for name, question in self._questions().items():
            if set(modalities) <= question.train.modalities.keys() & question.test.modalities.keys():
                train, test = (
                    self._embeddings(network, modalities, part) for part in (question.train, question.test)
                )
                labels = question.train.labels.numpy(), question.test.labels.numpy()
                found[name] = probe(Features(train, labels[0], test, labels[1]))
        return found

    def shared_scores(self, name: object, network: Network, modalities: tuple[str, ...]) -> Scores:
        """The same for a network that other cohorts of this dataset and split have too, under its `name`."""
        key = (*self._place, name)
        if key not in self._memory:
            self._memory[key] = self.scores(network, modalities)
        return self._memory[key]

    def _questions(self) -> dict[str, Target]:
        """The dataset's own question and the transfer targets, where samples have one label each."""
        cohort = self._cohort
        if cohort.targets is None:
            return {}
        if self._place not in self._memory:
            own = Target(cohort.data.train.subset(cohort.splits.train), open_test(cohort.data))
            asked = {OWN: own} | {name: load() for name, load in cohort.targets.items()}
            ready = {name: _ready(target) for name, target in asked.items() if target.train.labels.ndim == 1}
            self._memory[self._place] = {
                name: target for name, target in ready.items() if len(target.train.labels.unique()) > 1
            }
        return self._memory[self._place]

    @torch.no_grad()
    def _embeddings(self, network: Network, modalities: tuple[str, ...], samples: Samples) -> np.ndarray:
        was_training = network.training
        network.eval()
        parts: list[Tensor] = []
        with self._fabric.autocast():
            for batch in in_order(self._cohort.data, samples, modalities, self._fabric.device):
                parts.append(look(network, batch, modalities).embedding.flatten(1).float().cpu())
        network.train(was_training)
        return torch.cat(parts).numpy()


def _ready(target: Target) -> Target:
    """The target without unlabelled samples, and with no more training samples than a probe may have."""
    train, test = (
        part.subset((part.labels != IGNORE).nonzero().flatten()) for part in (target.train, target.test)
    )
    return Target(train.subset(stratified_order(train.labels, 0)[:MOST_SAMPLES].sort().values), test)
