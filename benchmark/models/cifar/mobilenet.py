"""MobileNetV2 at half width for CIFAR."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.contracts import Activations
from benchmark.models.cifar.shared import CifarNetwork, initialise, last, pool, register_image_network

STAGES = (
    (1, 8, 1, 1),
    (6, 12, 2, 1),
    (6, 16, 3, 2),
    (6, 32, 4, 2),
    (6, 48, 3, 1),
    (6, 80, 3, 2),
    (6, 160, 1, 1),
)
"""Per stage: expansion, channels (half of the paper's), blocks, stride of the first block."""

SHOWN = (1, 2, 4, 6)
"""The stages whose outputs are maps: the last ones at their resolution."""


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a 3x3 depthwise convolution and a linear 1x1 projection; a shortcut if it fits."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int):
        super().__init__()
        width = in_channels * expansion
        self.residual = stride == 1 and in_channels == channels
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', H', W'] without a non-linearity at the end."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(CifarNetwork):
    """MobileNetV2 at half width with a stem of stride 2.

    maps: the stem [B, 16, H / 2, W / 2] after its ReLU and four bottleneck outputs, which are linear and have
    negative values; preactivations: the same tensors, since no non-linearity follows them.

    Source: Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018; ReLU in
    place of ReLU6 as in Tian et al., ICLR 2020.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        width, last_width = 16, 1280
        self.conv1 = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.blocks = nn.ModuleList()
        for expansion, out_channels, blocks, stride in STAGES:
            stage = nn.Sequential(InvertedResidual(width, out_channels, stride, expansion))
            stage.extend(
                InvertedResidual(out_channels, out_channels, 1, expansion) for _ in range(blocks - 1)
            )
            self.blocks.append(stage)
            width = out_channels
        self.conv2 = nn.Sequential(
            nn.Conv2d(width, last_width, 1, bias=False), nn.BatchNorm2d(last_width), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Sequential(nn.Linear(last_width, num_classes))
        initialise(self, linear_std=0.01)

    @property
    def head(self) -> nn.Module:
        return self.classifier

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (None, *(last(last(self.blocks[stage]).get_submodule("conv")) for stage in SHOWN))

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with five maps and the same five preactivations."""
        x = self.conv1(image)
        maps = [x]
        for position, stage in enumerate(self.blocks):
            x = stage(x)
            if position in SHOWN:
                maps.append(x)
        embedding = pool(self.conv2(x))
        return Activations(self.classifier(embedding), embedding, tuple(maps), tuple(maps))


register_image_network("MobileNetV2", MobileNetV2)
