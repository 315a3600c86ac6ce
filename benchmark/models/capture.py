"""Activations of named modules inside any network, captured by forward hooks of one instance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


class _Tap:
    """A forward hook that keeps what passes a module.

    It is an object, not a closure, so that a deep copy of the network gets taps writing to its own store.
    """

    def __init__(self, store: dict[str, Any], path: str):
        self.store = store
        self.path = path


class _OutputTap(_Tap):
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # Removed first, so that the store is in the order of the last calls.
        self.store.pop(self.path, None)
        self.store[self.path] = output


class _InputTap(_Tap):
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.store.pop(self.path, None)
        self.store[self.path] = inputs[0]


class Capture:
    """Keeps the outputs and inputs of modules during a forward pass, until `pop` hands them over.

    outputs, inputs   module paths as in `named_modules`; the first positional input is kept

    A module called several times in one pass shows its last call. `pop` after each pass leaves nothing
    behind. A deep copy of the network and of its capture together works on its own; `remove` takes all
    hooks off.

    Raises KeyError for a path that the network has not.
    """

    def __init__(self, network: nn.Module, outputs: Iterable[str] = (), inputs: Iterable[str] = ()):
        self._outputs: dict[str, Any] = {}
        self._inputs: dict[str, Any] = {}
        self._handles: list[RemovableHandle] = []
        modules = dict(network.named_modules())
        for path in outputs:
            self._handles.append(modules[path].register_forward_hook(_OutputTap(self._outputs, path)))
        for path in inputs:
            self._handles.append(modules[path].register_forward_pre_hook(_InputTap(self._inputs, path)))

    def pop(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(path -> output, path -> input) of the last pass, in the order of execution; then forgets them."""
        outputs, inputs = dict(self._outputs), dict(self._inputs)
        self._outputs.clear()
        self._inputs.clear()
        return outputs, inputs

    def remove(self) -> None:
        """Takes the hooks off the network."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
