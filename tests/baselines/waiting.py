"""Which operations make the host wait for a CUDA device, and which baselines can't do without them."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

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
    "wkd_l": "which samples of a batch its rings of features have room for",
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


def _masked(arguments: tuple) -> bool:
    """Whether a mask says which elements are meant: how many these are, is not known. A number in all of
    their places takes no count."""
    masks = [each for each in arguments[1] if each is not None and each.dtype == torch.bool]
    return bool(masks) and (len(arguments) < 3 or arguments[2].numel() > 1)
