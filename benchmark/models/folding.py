"""A frozen network whose batch norms are part of the convolutions before them: the same with less to do."""

from __future__ import annotations

import copy
from collections import Counter
from functools import partial
from typing import cast
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmark.contracts import Activations, Batch
from benchmark.models.network import Network, place

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TOLERANCE = 1e-3
"""How far a tensor may be from the unfolded network's, relative to its largest number."""


@torch.no_grad()
def folded(network: Network, batch: Batch) -> Network:
    """A copy with each batch norm that sees nothing but a convolution's output folded into that.

    Outputs are those of the network to rounding. What the batch shows not to be the same stays as it is: then
    this is the network itself.

    Args:
        network: in eval mode, without gradients.
        batch: what it is tried on.

    Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", CVPR 2018, section 3.2.
    """
    copied = copy.deepcopy(network)
    pairs = _norms_of_convolutions(copied, batch)
    for convolution, norm in pairs:
        joined = fuse_conv_bn_eval(
            cast(nn.Conv2d, copied.get_submodule(convolution)), cast(_BatchNorm, copied.get_submodule(norm))
        )
        copied.set_submodule(convolution, joined)
        copied.set_submodule(norm, nn.Identity())
    if not pairs:
        return network
    place(copied, batch["index"].device, copied.memory_format)
    return copied if _alike(network(batch), copied(batch)) else network


def _norms_of_convolutions(network: Network, batch: Batch) -> list[tuple[str, str]]:
    """Names of convolutions, each with that of the norm that alone sees its output.

    Left out are modules that are called more than once or have hooks, and outputs that something else changes
    or shows.
    """
    outputs: dict[str, tuple[ref[Tensor], int]] = {}
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[name] += 1
        if isinstance(module, CONVOLUTIONS):
            outputs[name] = (ref(output), output._version)
            return
        (x,) = inputs
        pairs.extend((each, name) for each, (its, was) in outputs.items() if its() is x and x._version == was)

    modules = [
        (name, each)
        for name, each in network.named_modules()
        if isinstance(each, (*CONVOLUTIONS, _BatchNorm))
        and not (each._forward_hooks or each._forward_pre_hooks)
    ]
    handles = [each.register_forward_hook(partial(note, name)) for name, each in modules]
    shown = network(batch)
    for handle in handles:
        handle.remove()
    still_there = {name for name, (its, _) in outputs.items() if its() is not None}
    del shown
    return [pair for pair in pairs if pair[0] not in still_there and all(calls[name] == 1 for name in pair)]


def _alike(one: Activations, other: Activations) -> bool:
    pairs = zip(one.tensors(), other.tensors(), strict=True)
    return all(float((a - b).abs().max()) <= TOLERANCE * float(a.abs().max()) for a, b in pairs)
