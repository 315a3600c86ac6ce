"""The base class of every network: what the engine asks of it beyond its forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch
from benchmark.errors import UserError


class Network(nn.Module):
    """A network that shows its Activations.

    `forward(*inputs)` takes one tensor [B, C, *space] per modality that it sees, in the pair's order.
    """

    memory_format: torch.memory_format = torch.contiguous_format
    """The memory format that weights and batches are fastest in; measured, fixed per architecture."""

    dense: bool = False
    """Whether its logits are one row per pixel, [B, K, H, W], instead of one per sample."""

    def forward(self, *inputs: Tensor) -> Activations:
        raise NotImplementedError

    @property
    def head(self) -> nn.Module | None:
        """The classifier, from embedding [B, D] to logits [B, K]; None where no single module does that."""
        return None

    def norms(self) -> tuple[nn.Module | None, ...]:
        """Per preactivation the normalisation behind it (its affine parameters), or None."""
        return ()


def image_shape(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, int, int]:
    """The (C, H, W) of the one image that the network `name` sees; UserError for anything else."""
    if len(shapes) != 1:
        seen = ", ".join(str(tuple(shape)) for shape in shapes) or "none"
        raise UserError(
            f"{name} takes one input, got {len(shapes)} ({seen}): name one modality for it in the pair"
        )
    shape = tuple(shapes[0])
    if len(shape) != 3:
        raise UserError(
            f"{name} takes images (C, H, W), got an input of shape {shape}: choose an encoder of that rank"
        )
    return shape


def look(network: Network, batch: Batch, modalities: tuple[str, ...]) -> Activations:
    """One forward pass over the modalities that a network sees, in its own memory format."""
    return network(*(_in_format(batch[name], network.memory_format) for name in modalities))


def _in_format(x: Tensor, memory_format: torch.memory_format) -> Tensor:
    # A format for four axes says nothing about a tensor of three or five: that one goes in contiguous.
    axes = {torch.channels_last: 4, torch.channels_last_3d: 5}.get(memory_format, x.ndim)
    return x.contiguous(memory_format=memory_format if axes == x.ndim else torch.contiguous_format)
