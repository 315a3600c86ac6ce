"""Students of one architecture as one network: each of their layers is computed once for all of them.

Source: Wang et al., "Horizontally fused training array", MLSys 2021. Weights are stacked for the pass and
each student keeps its own, so that optimisers, snapshots and distillers see what they see without it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmark.contracts import Activations, Batch
from benchmark.errors import reason_of
from benchmark.models import Network

AGREEMENT = 1e-3
"""Of fused and separate logits, relative to the largest: rounding is a hundredth of it."""


class Fused:
    """Networks that are alike but for their weights and statistics."""

    def __init__(self, networks: Sequence[Network]):
        self._networks = list(networks)
        # Whatever hooks and caches a network has are this copy's; its weights are never used.
        self._template = copy.deepcopy(self._networks[0])
        # On CUDA batch norms ask for the format of what vmap batches, and it knows of this one alone.
        self._template.memory_format = torch.contiguous_format

    def __call__(self, batch: Batch) -> list[Activations]:
        """What each network shows of a batch; their statistics move on, and gradients reach their weights.

        Raises RuntimeError where a layer draws numbers (dropout), or does what vmap can't batch.
        """
        parameters = _stacked(self._networks, "named_parameters")
        with torch.no_grad():
            buffers = _stacked(self._networks, "named_buffers")
        self._template.train(self._networks[0].training)
        shown = vmap(self._show, in_dims=(0, 0, None), randomness="error")(parameters, buffers, batch)
        with torch.no_grad():
            for name, values in buffers.items():
                own = [each.get_buffer(name) for each in self._networks]
                for each, value in zip(own, values.unbind(), strict=True):
                    each.copy_(value)
        logits, embedding, maps, preactivations = shown
        return [
            Activations(
                logits[number],
                embedding[number],
                tuple(x[number] for x in maps),
                tuple(x[number] for x in preactivations),
                network.head,
            )
            for number, network in enumerate(self._networks)
        ]

    def _show(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Batch) -> tuple:
        shown = functional_call(self._template, (parameters, buffers), (batch,))
        return shown.logits, shown.embedding, shown.maps, shown.preactivations


class Fusing:
    """Finds which networks can be fused, and remembers it."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], list[tuple[list[int], Fused]]] = {}
        self._refused: dict[object, str] = {}
        self._told: list[str] = []

    def find(self, networks: Sequence[Network], batch: Batch) -> list[tuple[list[int], Fused]]:
        """The numbers of networks that one pass serves, and the pass; `batch` is one to try it on.

        Networks that no other is like, and those for which one pass is not that of each, are left out.
        """
        asked = tuple(map(id, networks))
        if asked not in self._found:
            self._found[asked] = self._looked_for(networks, batch)
        return self._found[asked]

    def _looked_for(self, networks: Sequence[Network], batch: Batch) -> list[tuple[list[int], Fused]]:
        alike: dict[object, list[int]] = {}
        for number, network in enumerate(networks):
            alike.setdefault(kind_of(network), []).append(number)
        found = []
        for kind, numbers in alike.items():
            some = [networks[number] for number in numbers]
            if len(some) == 1 or kind in self._refused:
                continue
            if reason := disagreement(some[:2], batch):
                self._refused[kind] = reason
                continue
            found.append((numbers, Fused(some)))
        return found

    def refused(self) -> list[str]:
        """Why networks were left out, each reason once."""
        told, self._told = self._told, list(self._refused.values())
        return self._told[len(told) :]


@torch.no_grad()
def disagreement(networks: Sequence[Network], batch: Batch) -> str:
    """Why one pass over a batch would not be that of each network; empty where it is. Nothing changes."""
    try:
        together = Fused([copy.deepcopy(each) for each in networks])(batch)
    except RuntimeError as error:
        return reason_of(error)
    for network, shown in zip(networks, together, strict=True):
        expected = copy.deepcopy(network)(batch).logits
        if not (shown.logits - expected).abs().max() <= AGREEMENT * expected.abs().max():
            return "a pass for all of them shows other logits than theirs"
    return ""


def kind_of(network: Network) -> object:
    """Equal for networks that are alike but for their weights and statistics."""
    shapes = tuple((name, tuple(x.shape)) for name, x in network.state_dict().items())
    return type(network), network.modalities, shapes


def _stacked(networks: Sequence[nn.Module], members: str) -> dict[str, Tensor]:
    """Name -> the networks' parameters or buffers of that name, [S, ...]."""
    every = [dict(getattr(each, members)()) for each in networks]
    return {name: torch.stack([each[name].contiguous() for each in every]) for name in every[0]}
