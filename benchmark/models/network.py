"""The base class of every network: what the engine asks of it beyond its forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmark.contracts import Activations
from benchmark.errors import UserError


class Network(nn.Module):
    """A network that shows its Activations of a batch. A subclass says in `show` how.

    modalities      what it sees of a batch, in the order in which `show` takes them; set by `build`
    memory_format   the format that weights and batches are fastest in; measured, fixed per architecture
    dense           whether its logits are one row per pixel, [B, K, H, W], instead of one per sample
    """

    modalities: tuple[str, ...] = ()
    memory_format: torch.memory_format = torch.contiguous_format
    dense: bool = False

    def forward(self, batch: Mapping[str, Tensor]) -> Activations:
        """What it shows of the modalities that it sees, in its own memory format."""
        shown = self.show(*(_in_format(batch[name], self.memory_format) for name in self.modalities))
        return replace(shown, classify=self.head)

    def show(self, *inputs: Tensor) -> Activations:
        """The activations of one tensor [B, C, *space] per modality."""
        raise NotImplementedError

    def predict(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Activations]:
        """The logits [B, K, ...] that it is judged by, and everything that it shows."""
        shown = self(batch)
        return shown.logits, shown

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


def place(module: nn.Module, device: torch.device, memory_format: torch.memory_format) -> None:
    """Moves a module to the device; its tensors with as many axes as the format is for go into the format."""
    module.to(device)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = _in_format(tensor.data, memory_format)


def _in_format(x: Tensor, memory_format: torch.memory_format) -> Tensor:
    # A format for four axes says nothing about a tensor of three or five: that one goes in contiguous.
    axes = {torch.channels_last: 4, torch.channels_last_3d: 5}.get(memory_format, x.ndim)
    return x.contiguous(memory_format=memory_format if axes == x.ndim else torch.contiguous_format)
