"""CUDA graphs: many small kernels launched as one, where a training asks for it (--graphs)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor

_wanted: ContextVar[bool] = ContextVar("graphs", default=False)


@contextmanager
def wanted(yes: bool) -> Iterator[None]:
    """Whether the body asks for graphs."""
    before = _wanted.set(yes)
    try:
        yield
    finally:
        _wanted.reset(before)


def captured(function: Callable[..., Any], sample: tuple[Tensor, ...]) -> Callable[..., Any]:
    """A function of tensors as a graph: what it does on the device is launched at once, forth and back.

    Its tensors stand where those of `sample` stand, and so do all that it returns: each call overwrites them.
    """
    device = sample[0].device.type
    # A cache of cast weights would be read by the graph long after it was made.
    as_it_is = torch.autocast(
        device,
        dtype=torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    )
    with as_it_is:
        graphed: Any = torch.cuda.make_graphed_callables(function, sample, allow_unused_input=True)
    return graphed


def in_one_launch(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorates a function of one tensor, and plain values, that neither reads values back nor draws.

    On a CUDA device, in a training that asks for graphs, its kernels are launched as one, and no gradient
    flows through it. Everywhere else it is what it was.
    """
    graphs: dict[object, tuple[Tensor, Callable[[Tensor], Tensor]]] = {}

    @wraps(function)
    def call(x: Tensor, *arguments: Any, **more: Any) -> Tensor:
        if not (x.is_cuda and _wanted.get()):
            return function(x, *arguments, **more)
        autocast = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        key = (x.device, x.dtype, tuple(x.shape), autocast, arguments, tuple(sorted(more.items())))
        with torch.no_grad():
            if key not in graphs:
                place = x.detach().clone()
                graphs[key] = place, captured(partial(function, *arguments, **more), (place,))
            place, graph = graphs[key]
            return graph(place.copy_(x)).clone()

    return call
