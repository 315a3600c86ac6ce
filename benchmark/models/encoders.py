"""Small convolutional encoders for sequences, images and volumes, light enough to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.errors import UserError
from benchmark.models import architecture
from benchmark.models.network import Network

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
MEMORY_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d}
"""The faster ones on a CPU, by a fifth to a third of a training step."""

KERNELS = {1: 7, 2: 3, 3: 3}
"""How wide convolutions are along each axis: a sequence has one axis to see its surroundings along."""

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class ConvNorm(nn.Sequential):
    """A convolution without bias and its batch normalisation; the rectifier is the caller's."""

    def __init__(self, in_channels: int, out_channels: int, *, dimensions: int, stride: int = 1):
        kernel = KERNELS[dimensions]
        super().__init__(
            CONVOLUTIONS[dimensions](
                in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
            ),
            NORMS[dimensions](out_channels),
        )


class ConvStage(nn.Module):
    """Convolutions of one width, the first with stride 2; each further one adds to its input (residual)."""

    def __init__(self, in_channels: int, out_channels: int, *, dimensions: int, depth: int):
        super().__init__()
        self.entry = ConvNorm(in_channels, out_channels, dimensions=dimensions, stride=2)
        self.residuals = nn.ModuleList(
            ConvNorm(out_channels, out_channels, dimensions=dimensions) for _ in range(depth - 1)
        )

    @property
    def norm(self) -> nn.Module | None:
        """The norm whose output is the stage's preactivation; None where a residual is added to it."""
        return None if len(self.residuals) else self.entry[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C_in, *space] -> [B, C_out, *space / 2], before the last rectifier."""
        preactivation = self.entry(inputs)
        for residual in self.residuals:
            rectified = F.relu(preactivation)
            preactivation = rectified + residual(rectified)
        return preactivation


class ConvTrunk(Network):
    """A stem, then stages that halve the resolution and double the width: what the encoders here are made of.

    The stem has `width` channels, stage i (from 0) has width * 2**i.
    """

    def __init__(self, in_channels: int, *, dimensions: int, width: int, stages: int = 3, depth: int = 1):
        super().__init__()
        self.stem = ConvNorm(in_channels, width, dimensions=dimensions)
        self.widths = [width, *(width * 2**stage for stage in range(stages))]
        self.stages = nn.ModuleList(
            ConvStage(self.widths[stage], self.widths[stage + 1], dimensions=dimensions, depth=depth)
            for stage in range(stages)
        )
        self.memory_format = MEMORY_FORMATS[dimensions]
        initialise(self)

    def norms(self) -> tuple[nn.Module | None, ...]:
        """A stage that adds to its input has no single norm behind its preactivation."""
        return (self.stem[1], *(stage.norm for stage in self.stages if isinstance(stage, ConvStage)))

    def features(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """inputs [B, C, *space] -> 1 + stages maps and as many preactivations."""
        preactivations = [self.stem(inputs)]
        maps = [F.relu(preactivations[0])]
        for stage in self.stages:
            preactivations.append(stage(maps[-1]))
            maps.append(F.relu(preactivations[-1]))
        return maps, preactivations


def initialise(module: nn.Module) -> None:
    """Draws all convolutions as He et al. (2015) do for rectifiers."""
    for each in module.modules():
        if isinstance(each, tuple(CONVOLUTIONS.values())):
            nn.init.kaiming_normal_(each.get_parameter("weight"), mode="fan_out", nonlinearity="relu")


class ConvEncoder(ConvTrunk):
    """A trunk and the mean over space; the embedding has as many entries as the last stage has channels.

    By name: `conv{1,2,3}d_{width}`, and with `_deep` behind it for two convolutions per stage. One input
    [B, in_channels, *space] of `dimensions` spatial axes.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        dimensions: int = 2,
        width: int = 16,
        stages: int = 3,
        depth: int = 1,
    ):
        super().__init__(in_channels, dimensions=dimensions, width=width, stages=stages, depth=depth)
        self.classifier = nn.Linear(self.widths[-1], num_classes)

    @property
    def head(self) -> nn.Module:
        return self.classifier

    def show(self, inputs: Tensor) -> Activations:
        """inputs [B, C, *space] -> Activations with 1 + stages maps and as many preactivations."""
        maps, preactivations = self.features(inputs)
        embedding = maps[-1].flatten(2).mean(2)
        return Activations(self.classifier(embedding), embedding, tuple(maps), tuple(preactivations))


def _register(name: str, dimensions: int, width: int, depth: int) -> None:
    @architecture(name)
    def build(shapes: Sequence[tuple[int, ...]], num_classes: int) -> Network:
        if len(shapes) != 1 or len(shapes[0]) != 1 + dimensions:
            seen = ", ".join(str(tuple(shape)) for shape in shapes) or "none"
            axes = ("length", "height, width", "frames, height, width")[dimensions - 1]
            raise UserError(f"{name} takes one input of shape (channels, {axes}), got {seen}")
        return ConvEncoder(shapes[0][0], num_classes, dimensions=dimensions, width=width, depth=depth)


for _dimensions in CONVOLUTIONS:
    for _width in (4, 8, 16, 32, 64):
        _register(f"conv{_dimensions}d_{_width}", _dimensions, _width, depth=1)
        _register(f"conv{_dimensions}d_{_width}_deep", _dimensions, _width, depth=2)
