"""Extracts the frozen features of networks, each once, and has them probed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from benchmark.contracts import IGNORE, Data, Samples, Target
from benchmark.data.batches import in_order
from benchmark.data.splits import open_test, stratified_order
from benchmark.errors import reason_of
from benchmark.evaluation.predictor import evaluating
from benchmark.models import Network
from benchmark.ranks import Fabric
from benchmark.records import Probes

MOST_SAMPLES = 2000
"""A probe's training samples at most: a stratified part of the train split, the same for every network."""

OWN = "own"
"""The name of the dataset's own question, with the labels of all training samples."""


class Probing:
    """Probes networks on their own dataset and on the transfer targets.

    train     indices of the training samples
    targets   name -> loader of a transfer target; None: no probes at all
    say       is told of a target that can't be read; it is left out, as nobody asked for it by name
    memory    outlives the cohort: what several cohorts share (targets, the teacher, the untrained student of
              a seed) is loaded and probed once

    """

    def __init__(
        self,
        data: Data,
        train: Tensor,
        targets: Mapping[str, Callable[[], Target]] | None,
        fabric: Fabric,
        memory: dict[object, object],
        say: Callable[[str], None] | None = None,
    ):
        self._say = say
        self._data, self._train, self._targets, self._fabric = data, train, targets, fabric
        self._memory = memory
        self._place = (data.fingerprint, train.numpy().tobytes())
        # Loaded before students train: a damaged target is told while there is time to mend it.
        self._questions()

    def scores(self, network: Network) -> Probes:
        """Every question's probes of a network; a question that lacks one of its modalities is left out, and
        so is one without two classes to fit or without a labelled sample to test on.

        The network is in eval mode meanwhile and gets no gradient. Empty where no probes are wanted.
        """
        from benchmark.evaluation.probes import Features, probe  # scikit-learn, which not every command needs

        found: Probes = {}
        for name, question in self._questions().items():
            known = question.train.names & question.test.names
            if set(network.modalities) <= known:
                train, test = (self._embeddings(network, part) for part in (question.train, question.test))
                labels = question.train.labels.numpy(), question.test.labels.numpy()
                found[name] = {**probe(Features(train, labels[0], test, labels[1]))}
        return found

    def shared_scores(self, name: object, network: Network) -> Probes:
        """The same for a network that other cohorts of this dataset and split have too, under its `name`."""
        key = (*self._place, name)
        if key not in self._memory:
            self._memory[key] = self.scores(network)
        return self._memory[key]  # pyright: ignore[reportReturnType]

    def _questions(self) -> dict[str, Target]:
        """The dataset's own question and the transfer targets, where samples have one label each."""
        if self._targets is None:
            return {}
        if self._place not in self._memory:
            own = Target(self._data.train.subset(self._train), open_test(self._data))
            asked = {OWN: own} | self._loaded(self._targets)
            ready = {name: _ready(target) for name, target in asked.items() if target.train.labels.ndim == 1}
            self._memory[self._place] = {
                name: target
                for name, target in ready.items()
                if len(target.train.labels.unique()) > 1 and len(target.test)
            }
        return self._memory[self._place]  # pyright: ignore[reportReturnType]

    def _loaded(self, targets: Mapping[str, Callable[[], Target]]) -> dict[str, Target]:
        """The targets that can be read; the others are told."""
        found = {}
        for name, load in targets.items():
            try:
                found[name] = load()
            except Exception as error:  # a reader's code, and files that others wrote
                if self._say is not None:
                    self._say(f"warning: the probes of {name} are left out: {reason_of(error)}")
        return found

    @torch.no_grad()
    def _embeddings(self, network: Network, samples: Samples) -> np.ndarray:
        parts: list[Tensor] = []
        with evaluating(network), self._fabric.autocast():
            for batch in in_order(self._data, samples, network.modalities, self._fabric.device):
                parts.append(network(batch).embedding.flatten(1).float().cpu())
        return torch.cat(parts).numpy()


def _ready(target: Target) -> Target:
    """The target without unlabelled samples, and with no more training samples than a probe may have."""
    train, test = (
        part.subset((part.labels != IGNORE).nonzero().flatten()) for part in (target.train, target.test)
    )
    return Target(train.subset(stratified_order(train.labels, 0)[:MOST_SAMPLES].sort().values), test)
