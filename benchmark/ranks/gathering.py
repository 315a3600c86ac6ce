"""What all ranks show of a batch, as if one process had shown it: gathered when somebody takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, cast, overload

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.contracts import Activations, Batch

Gather = Callable[[Tensor], Tensor]
"""This rank's rows -> those of all ranks."""


class Gathered(Activations):
    """Activations of a whole batch. Each tensor is gathered when it is first asked for: what a loss does not
    look at is not sent. All ranks ask in the same order, as they compute the same loss.
    """

    _own: Activations
    _gather: Gather

    @classmethod
    def of(cls, own: Activations, gather: Gather, classify: Callable[[Tensor], Tensor] | None) -> Gathered:
        """Of what this rank shows of its rows."""
        shown = cls.__new__(cls)
        shown.__dict__.update(_own=own, _gather=gather, classify=classify)
        return shown

    # Whatever is given to the constructor (by dataclasses.replace, say) stands in the way of these.
    @cached_property
    def logits(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._gather(self._own.logits)

    @cached_property
    def embedding(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._gather(self._own.embedding)

    @cached_property
    def maps(self) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return cast(tuple[Tensor, ...], _Several(self._own.maps, self._gather))

    @cached_property
    def preactivations(self) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return cast(tuple[Tensor, ...], _Several(self._own.preactivations, self._gather))

    @cached_property
    def second(self) -> Activations | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        own = self._own.second
        return None if own is None else Gathered.of(own, self._gather, self.classify)

    def tensors(self) -> Iterator[Tensor]:
        """Those that were gathered so far."""
        for value in self.__dict__.values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, _Several):
                yield from value.found.values()
        second = self.__dict__.get("second")
        if second is not None:
            yield from second.tensors()


class _Several(Sequence[Tensor]):
    """A tuple whose tensors are gathered one by one."""

    def __init__(self, own: tuple[Tensor, ...], gather: Gather):
        self._own, self._gather = own, gather
        self.found: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._own)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tensor, ...]: ...
    def __getitem__(self, index: int | slice) -> Tensor | tuple[Tensor, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]
        if number not in self.found:
            self.found[number] = self._gather(self._own[number])
        return self.found[number]


class WholeBatch(dict[str, Tensor]):
    """A batch of all ranks' rows; modalities, which few losses look at, are gathered when one is taken."""

    def __init__(self, facts: Batch, own: Batch, gather: Gather):
        super().__init__(facts)
        self._own, self._gather = own, gather

    def __missing__(self, name: str) -> Tensor:
        self[name] = self._gather(self._own[name])
        return self[name]


class OwnRows(torch.autograd.Function):
    """Rows of all ranks; backwards each takes the gradient of its own, without a word to the others: all
    compute the same loss of the same rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, gather: Gather, begin: int) -> Tensor:
        ctx.rows = slice(begin, begin + len(own))
        return gather(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0][ctx.rows], None, None


class _Divided(torch.autograd.Function):
    """The same tensor; of its gradient 1/count."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int) -> Tensor:
        ctx.count = count
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0] / ctx.count, None


def classify_once(head: Callable[[Tensor], Tensor] | None, count: int) -> Callable[[Tensor], Tensor] | None:
    """A student's classifier for features of the whole batch, which every rank of `count` puts through it.

    Each has the whole gradient of its weights, and the sum over ranks is to be that: each gives its part.
    """
    if not isinstance(head, nn.Module):
        return head

    def classify(features: Tensor) -> Tensor:
        divided = {name: _Divided.apply(weight, count) for name, weight in head.named_parameters()}
        return functional_call(head, divided, features)

    return classify
