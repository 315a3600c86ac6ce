"""Passes over networks as CUDA graphs: each is launched as one, where small networks wait for launches.

One graph serves all networks that are alike: their weights are copied to where the graph reads them, and
gradients and batch statistics from where it writes them. What it shows is copied, too, so that it can be kept
beyond the step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from benchmark.contracts import Activations, Batch
from benchmark.errors import reason_of
from benchmark.graphs import captured
from benchmark.models import Network
from benchmark.training.fused import AGREEMENT, kind_of

Capture = Callable[[Callable[..., Any], tuple[Tensor, ...]], Callable[..., Any]]


class Graphs:
    """The graphs of a training, each made when it is first asked for.

    capture   makes a graph of a function and the tensors that it reads
    """

    def __init__(self, capture: Capture = captured):
        self._capture = capture
        self._kinds: WeakKeyDictionary[Network, object] = WeakKeyDictionary()
        self._passes: dict[object, _Pass | None] = {}
        self._served: WeakSet[Network] = WeakSet()
        self._untold: list[str] = []

    def __call__(self, network: Network, batch: Batch) -> Activations:
        """What a network shows of a batch. Call it again only when gradients of the last call are taken."""
        if network not in self._kinds:
            self._kinds[network] = kind_of(network)
        inputs = [batch[name] for name in network.modalities]
        key = (
            self._kinds[network],
            network.training,
            torch.is_grad_enabled(),
            torch.is_autocast_enabled(inputs[0].device.type),
            *((tuple(x.shape), x.dtype) for x in inputs),
        )
        if key not in self._passes:
            self._passes[key] = self._made(network, inputs)
        found = self._passes[key]
        if found is None:
            return network(batch)
        self._served.add(network)
        return found(network, inputs)

    def serves(self, network: Network) -> bool:
        """Whether passes over it were launched as graphs."""
        return network in self._served

    def refused(self) -> list[str]:
        """Which networks are computed kernel by kernel, and why: each reason once."""
        told, self._untold = self._untold, []
        return told

    def _made(self, network: Network, inputs: Sequence[Tensor]) -> _Pass | None:
        devices = [inputs[0].device] if inputs[0].is_cuda else []
        with torch.random.fork_rng(devices=devices):
            try:
                made = _Pass(network, inputs, self._capture)
                reason = "" if made.agrees(network, inputs) else "a graph of it shows other logits"
            except RuntimeError as error:
                reason = reason_of(error)
        if reason:
            self._untold.append(f"{type(network).__name__}: {reason}")
            return None
        return made


class _Pass:
    """A pass over networks that are like this one, on inputs like these."""

    def __init__(self, network: Network, inputs: Sequence[Tensor], capture: Capture):
        # Whatever hooks and caches a network has are this copy's; its weights are never used.
        self._example = copy.deepcopy(network)
        self._names = [name for name, _ in network.named_parameters()]
        self._buffer_names = [name for name, _ in network.named_buffers()]
        self._inputs = [x.clone() for x in inputs]
        self._weights = [x.detach().clone().requires_grad_(x.requires_grad) for x in network.parameters()]
        self._buffers = [x.clone() for x in network.buffers()]
        self._layout: Activations | None = None
        self._reached = self._found_reached()
        self._graph = capture(self._show, (*self._inputs, *self._weights, *self._buffers))

    def __call__(self, network: Network, inputs: Sequence[Tensor]) -> Activations:
        """What the network shows; its statistics move on, and gradients reach its weights."""
        buffers = list(network.buffers())
        with torch.no_grad():
            _copy(self._inputs, inputs)
            _copy(self._weights, list(network.parameters()))
            _copy(self._buffers, buffers)
        shown: Any = _Replay.apply(self, *network.parameters())
        if network.training:
            with torch.no_grad():
                _copy(buffers, self._buffers)
        assert self._layout is not None
        each = iter(shown)
        return replace(self._layout.map(lambda _: next(each)), classify=network.head)

    @torch.no_grad()
    def agrees(self, network: Network, inputs: Sequence[Tensor]) -> bool:
        """Whether it shows a copy of the network as that shows itself."""
        batch = dict(zip(network.modalities, inputs, strict=True))
        expected = copy.deepcopy(network)(batch).logits
        logits = self(copy.deepcopy(network), inputs).logits
        return bool((logits - expected).abs().max() <= AGREEMENT * expected.abs().max())

    def replayed(self) -> list[Tensor]:
        """What is shown by the weights that are in place."""
        return list(self._graph(*self._inputs, *self._weights, *self._buffers))

    def gradients(self, shown: list[Tensor], wanted: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Those of the weights, given those of what they show: None where no gradient reaches, as in a plain
        pass. (The graph has zeros there, and an optimiser would let such a weight decay.)"""
        given = [number for number, gradient in enumerate(wanted) if gradient is not None]
        learning = [x for x in self._weights if x.requires_grad]
        found = iter(
            torch.autograd.grad(
                [shown[n] for n in given], learning, [wanted[n] for n in given], allow_unused=True
            )
        )
        each = [next(found) if x.requires_grad else None for x in self._weights]
        reached = set().union(*(self._reached[number] for number in given))
        return [x if number in reached else None for number, x in enumerate(each)]

    def _found_reached(self) -> list[set[int]]:
        """Of each tensor that is shown: the numbers of the weights that have a gradient of it."""
        learning = [number for number, x in enumerate(self._weights) if x.requires_grad]
        found = []
        for x in self._show(*self._inputs, *self._weights, *(each.clone() for each in self._buffers)):
            weights = [self._weights[number] for number in learning]
            gradients = [None] * len(weights)
            if x.requires_grad:
                gradients = torch.autograd.grad(x.sum(), weights, retain_graph=True, allow_unused=True)
            found.append({n for n, gradient in zip(learning, gradients, strict=True) if gradient is not None})
        return found

    def _show(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        first, second = len(self._inputs), len(self._inputs) + len(self._weights)
        batch = dict(zip(self._example.modalities, tensors[:first], strict=True))
        weights = dict(zip(self._names, tensors[first:second], strict=True))
        buffers = dict(zip(self._buffer_names, tensors[second:], strict=True))
        shown = functional_call(self._example, (weights, buffers), (batch,))
        self._layout = shown.map(lambda x: x.new_empty(0))
        return tuple(shown.tensors())


class _Replay(torch.autograd.Function):
    """Hands a network's own weights the gradients of those that its graph reads."""

    @staticmethod
    def forward(ctx: Any, graph: _Pass, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.graph = graph
        with torch.enable_grad():
            ctx.shown = graph.replayed()
        return tuple(x.detach().clone() for x in ctx.shown)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return None, *ctx.graph.gradients(ctx.shown, gradients)


def _copy(places: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Writes values in their places, those of one type at once."""
    pairs = sorted(zip(places, values, strict=True), key=lambda pair: str(pair[0].dtype))
    for _, alike in groupby(pairs, key=lambda pair: pair[0].dtype):
        here, there = zip(*alike, strict=True)
        torch._foreach_copy_(list(here), list(there))  # pyright: ignore[reportPrivateImportUsage]
