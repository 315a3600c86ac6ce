"""Small convolutional encoders for sequences, images and volumes, light enough to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models import architecture
from benchmark.models.network import Network, image_shape

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class ConvNorm(nn.Sequential):
    """A 3-wide convolution without bias and its batch normalisation; the rectifier is the caller's."""

    def __init__(self, in_channels: int, out_channels: int, *, dimensions: int, stride: int = 1):
        super().__init__(
            CONVOLUTIONS[dimensions](in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            NORMS[dimensions](out_channels),
        )


class Stage(nn.Module):
    """Convolutions of one width, the first with stride 2; each further one adds to its input (residual)."""

    def __init__(self, in_channels: int, out_channels: int, *, dimensions: int, depth: int):
        super().__init__()
        self.entry = ConvNorm(in_channels, out_channels, dimensions=dimensions, stride=2)
        self.residuals = nn.ModuleList(
            ConvNorm(out_channels, out_channels, dimensions=dimensions) for _ in range(depth - 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C_in, *space] -> [B, C_out, *space / 2], before the last rectifier."""
        preactivation = self.entry(inputs)
        for residual in self.residuals:
            rectified = F.relu(preactivation)
            preactivation = rectified + residual(rectified)
        return preactivation


class ConvEncoder(Network):
    """A stem, then stages that halve the resolution and double the width, then the mean over space.

    One input [B, in_channels, *space] of `dimensions` spatial axes. Stage i has width * 2**i channels and
    `depth` convolutions; the embedding has as many entries as the last stage has channels.
    """

    memory_format = torch.channels_last

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
        super().__init__()
        self.stem = ConvNorm(in_channels, width, dimensions=dimensions)
        widths = [width, *(width * 2**stage for stage in range(stages))]
        self.stages = nn.ModuleList(
            Stage(widths[stage], widths[stage + 1], dimensions=dimensions, depth=depth)
            for stage in range(stages)
        )
        self.classifier = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, tuple(CONVOLUTIONS.values())):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Activations:
        preactivations = [self.stem(inputs)]
        maps = [F.relu(preactivations[0])]
        for stage in self.stages:
            preactivations.append(stage(maps[-1]))
            maps.append(F.relu(preactivations[-1]))
        embedding = maps[-1].flatten(2).mean(2)
        return Activations(self.classifier(embedding), embedding, tuple(maps), tuple(preactivations))


def _register(width: int) -> None:
    name = f"conv2d_{width}"

    @architecture(name)
    def build(shapes: Sequence[tuple[int, ...]], num_classes: int) -> ConvEncoder:
        channels, _, _ = image_shape(name, shapes)
        return ConvEncoder(channels, num_classes, dimensions=2, width=width)


for _width in (8, 16, 32, 64):
    _register(_width)
