"""What evaluation asks of whatever it evaluates: a plain network, or a student with a head of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch
from benchmark.ranks import ALONE, Fabric, Ranks


class Predictor(Protocol):
    """A module that predicts: `models.Network` is one, `training.Learner` another.

    modalities   what it sees of a batch
    head         its classifier, from embedding to logits, where a single module is that
    """

    training: bool

    @property
    def modalities(self) -> tuple[str, ...]: ...

    @property
    def head(self) -> nn.Module | None: ...

    def predict(self, batch: Batch) -> tuple[Tensor, Activations]:
        """The logits [B, K, ...] that it is judged by, and the activations of its network."""
        ...

    def train(self, mode: bool = True) -> Any: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


class NotFinite(ArithmeticError):
    """Predictions that are not numbers: what made them has diverged, and has no score."""


@dataclass(frozen=True)
class Predictions:
    """What a predictor says of a split: logits [N, K, ...] and its first embeddings [M, D] (float32, CPU)."""

    logits: Tensor
    embeddings: Tensor


ROWS = 100_000
"""Rows of logits (samples, or pixels of dense tasks) of which something is computed at once."""


def in_parts(logits: Tensor, others: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of logits [N, K, ...], and of what else each sample has [N, ...], of some ROWS rows each.

    What is computed of a row takes several times its memory, and the logits of dense tasks fill much of it.
    """
    samples = max(1, ROWS // math.prod(logits.shape[2:]))
    return zip(logits.split(samples), others.split(samples), strict=True)


@contextmanager
def evaluating(predictor: Predictor) -> Iterator[None]:
    """Eval mode for the body; the mode of before is back afterwards."""
    was_training = predictor.training
    predictor.train(False)
    try:
        yield
    finally:
        predictor.train(was_training)


@torch.no_grad()
def predict(
    predictor: Predictor, batches: Iterable[Batch], fabric: Fabric, keep: int = 0, ranks: Ranks = ALONE
) -> Predictions:
    """The predictions in eval mode, with the embeddings of the first `keep` samples.

    ranks   to whom the batches were dealt in turn: each has its own, and all get the predictions of all

    Raises NotFinite where one is NaN or infinite: its likeliest class would be a class like any other.
    """
    logits: list[Tensor] = []
    embeddings: list[Tensor] = []
    with ranks.together(), evaluating(predictor), fabric.autocast():
        for batch in batches:
            predicted, seen = predictor.predict(batch)
            logits.append(predicted.float().cpu())
            if sum(map(len, embeddings)) < keep:
                embeddings.append(seen.embedding[:keep].float().cpu())
    answers, first = torch.cat([*ranks.in_turn(logits)]), ranks.in_turn(embeddings)
    if not bool(torch.isfinite(answers).all()):
        raise NotFinite("its predictions are not finite")
    return Predictions(answers, torch.cat([*first])[:keep] if first else torch.empty(0))
