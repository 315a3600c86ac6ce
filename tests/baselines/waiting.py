"""What makes the host wait for a CUDA device, told without one, and which baselines can't do without it."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten

READ = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten._unique2,
    aten.unique_dim,
    aten.bincount,
    aten.index_fill,  # of a trace's gradient, which is a tensor
    aten.index_fill_,
    aten.repeat_interleave,
    aten.lift_fresh,
    aten._linalg_eigh,
    aten._linalg_svd,
}
"""What needs a value, or a shape that values decide; what checks on the host that it came to an end
(decompositions); and numbers of Python's that become a tensor, which is sent to the device."""

WAITS = {
    "kdsvd": "singular vectors",
    "wkd_l": "which samples of a batch its rings of features have room for, and how many batches there were",
}
"""Baseline -> what it asks of the device at every step."""


class Waits(TorchDispatchMode):
    """Notes the operations that would make the host wait, on whatever device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket
        if packet in READ or (packet in (aten.index, aten.index_put, aten.index_put_) and _masked(args)):
            self.found.append(str(packet))
        return function(*args, **(kwargs or {}))


class Sent(TorchDispatchMode):
    """Notes the tensors of the CPU that a computation on torch's meta device takes along.

    To a CUDA device they would be sent, or refused; a tensor of one number beside others is neither.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        taken = [x for x in (*given, *tree_leaves(result)) if isinstance(x, torch.Tensor) and x.is_meta]
        copied = function.overloadpacket in (aten._to_copy, aten.copy_)
        if taken and any(not x.is_meta and (copied or x.ndim) for x in given):
            self.found.append(str(function))
        return result


def _masked(arguments: tuple) -> bool:
    """Whether a mask says which elements are meant: how many these are, is not known. A number in all of
    their places takes no count."""
    masks = [each for each in arguments[1] if each is not None and each.dtype == torch.bool]
    return bool(masks) and (len(arguments) < 3 or arguments[2].numel() > 1)
