"""What a frozen teacher shows of samples that look the same in each epoch: computed once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmark.contracts import Activations, Batch
from benchmark.models import Network
from benchmark.ranks.gathering import Gathered

MOST = 2**30
"""Bytes that are kept at most; a teacher that shows more is asked anew for each batch."""


class Remembered:
    """A teacher in eval mode that shows each sample once. Called like the network itself, under no_grad.

    It knows samples by their index: batches without, those of second views, it is asked for each time.

    batches   makes those of all samples in the order of their index, as evaluation sees them
    count     how many samples there are
    """

    def __init__(self, network: Network, batches: Callable[[], Iterable[Batch]], count: int):
        self._network, self._batches, self._count = network, batches, count
        self._asked = False
        self._kept: Activations | None = None

    def __call__(self, batch: Batch) -> Activations:
        """What it shows of the batch; of what was kept each tensor is made when it is first taken."""
        if not self._asked:
            self._asked, self._kept = True, self._all()
        if self._kept is None or "index" not in batch:
            return self._network(batch)
        return Gathered.of(self._kept, partial(_rows, batch["index"]), self._network.head)

    def _all(self) -> Activations | None:
        """What it shows of all samples; None where that is too much."""
        shown: list[Activations] = []
        for batch in self._batches():
            shown.append(self._network(batch))
            if bytes_of(shown[0]) / len(shown[0].logits) * self._count > MOST:
                return None
        return _joined(shown)


def bytes_of(shown: Activations) -> int:
    """What the tensors of activations take in memory."""
    return sum(x.nbytes for x in shown.tensors())


def _rows(index: Tensor, kept: Tensor) -> Tensor:
    return kept[index]


def _joined(shown: Sequence[Activations]) -> Activations:
    parts = [list(each.tensors()) for each in shown]
    whole = iter([torch.cat(each) for each in zip(*parts, strict=True)])
    return shown[0].map(lambda _: next(whole))
