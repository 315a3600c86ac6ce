"""Processes that train one cohort together: each rank has a share of every batch.

Here is what the training asks of its ranks, and the answers of one process that is alone: nothing is divided,
nothing gathered, nothing sent. `several.Several` answers for more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import lightning_fabric
from torch import nn

from benchmark.contracts import Activations, Batch

Value = TypeVar("Value")


@dataclass(frozen=True)
class Share:
    """Which rank of how many has what: contiguous rows of each batch, in the order of the ranks."""

    rank: int = 0
    count: int = 1

    def rows(self, total: int) -> slice:
        """Its rows of `total`; the first ranks have one more where they can't be divided evenly."""
        size, more = divmod(total, self.count)
        begin = self.rank * size + min(self.rank, more)
        return slice(begin, begin + size + (self.rank < more))

    def of_each(self) -> list[Share]:
        """The shares of all ranks."""
        return [Share(rank, self.count) for rank in range(self.count)]


WHOLE = Share()


class Ranks:
    """What a training asks of the ranks that take part in it: here there is one.

    share   which of them this process is
    """

    share: Share = WHOLE

    @property
    def first(self) -> bool:
        """Whether this is the process that plans, keeps, records and displays."""
        return self.share.rank == 0

    def together(self) -> AbstractContextManager[None]:
        """An error of the body that other ranks don't have ends the training of all: RanksApart."""
        return nullcontext()

    def own_draws(self, seed: int, *names: object) -> AbstractContextManager[None]:
        """Random draws of the body are this rank's own, other than those of the other ranks."""
        return nullcontext()

    def prepared(self, network: nn.Module, name: str) -> None:
        """Makes a network, which a user calls `name`, ready to be trained by all ranks."""

    def shown(self, own: Activations, total: int) -> Activations:
        """What a network shows of a whole batch of `total` samples, where each rank shows its rows of it.

        Gradients flow back into this rank's rows; what is done with `classify` is counted once in all.
        """
        return own

    def whole(self, batch: Batch, facts: Batch) -> Batch:
        """The whole batch, of which `batch` has this rank's rows, and `facts` all but the modalities."""
        return batch

    def reduce(self, network: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
        """Makes the gradients those of the whole batch, and running statistics the mean over ranks.

        network      whose parameters have the gradients of this rank's rows; of others they are whole already
        parameters   those that are trained
        """

    def signal(self, heard: int | None) -> int | None:
        """The signal that any of the ranks has heard, after a step."""
        return heard

    def from_first(self, value: Value) -> Value:
        """What the first rank has for `value`."""
        return value

    def in_turn(self, own: Sequence[Value]) -> Sequence[Value]:
        """All of what was dealt to ranks in turn (the n-th to rank n modulo their count), in order."""
        return own

    def tell(self, *order: Any) -> None:
        """Has the other ranks, which wait for it, do something; nothing on ranks that were told so."""


ALONE = Ranks()


class Fabric(lightning_fabric.Fabric):
    """What a command computes on: device and precision, the ranks that it shares the work with, whether one
    pass may compute several students (`fuse`), whether passes are launched as CUDA graphs (`graphs`), and
    whether teachers are computed with their norms folded (`fold`)."""

    ranks: Ranks = ALONE
    fuse: bool = False
    graphs: bool = False
    fold: bool = False
