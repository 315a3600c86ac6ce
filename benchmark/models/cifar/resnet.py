"""CIFAR residual networks with basic blocks: resnet8 to resnet110, resnet8x4 and resnet32x4."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models.cifar.shared import CifarNetwork, initialise, pool, register_image_network, run_stage


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; returns the sum, [B, C, H, W], before the block's last ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return out.add_(x if self.downsample is None else self.downsample(x))


class ResNet(CifarNetwork):
    """A residual network of depth 6n + 2: a 3x3 stem and three stages of n basic blocks, strides 1, 2 and 2.

    maps: the stem [B, widths[0], H, W] and the stages [B, widths[i], H / 2^(i-1), ...], all after their ReLU.
    preactivations: the stem as it is, and the stages before their last ReLU.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016; the x4 widths: Tian et al.,
    "Contrastive representation distillation", ICLR 2020.
    """

    def __init__(self, depth: int, widths: tuple[int, int, int, int], channels: int, num_classes: int):
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest:
            raise ValueError(f"a CIFAR ResNet has depth 6n + 2, not {depth}")
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = self._stage(widths[0], widths[1], blocks, stride=1)
        self.layer2 = self._stage(widths[1], widths[2], blocks, stride=2)
        self.layer3 = self._stage(widths[2], widths[3], blocks, stride=2)
        self.fc = nn.Linear(widths[3], num_classes)
        initialise(self)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        rest = [BasicBlock(channels, channels, 1) for _ in range(blocks - 1)]
        return nn.Sequential(BasicBlock(in_channels, channels, stride), *rest)

    @property
    def head(self) -> nn.Module:
        return self.fc

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (None, *(stage[-1].get_submodule("bn2") for stage in (self.layer1, self.layer2, self.layer3)))

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with four maps and four preactivations."""
        x = F.relu(self.bn1(self.conv1(image)), inplace=True)
        maps, preactivations = [x], [x]
        for stage in (self.layer1, self.layer2, self.layer3):
            x, preactivation = run_stage(stage, x)
            maps.append(x)
            preactivations.append(preactivation)
        embedding = pool(x)
        return Activations(self.fc(embedding), embedding, tuple(maps), tuple(preactivations))


for _depth in (8, 14, 20, 32, 44, 56, 110):
    register_image_network(f"resnet{_depth}", partial(ResNet, _depth, (16, 16, 32, 64)))
for _depth in (8, 32):
    register_image_network(f"resnet{_depth}x4", partial(ResNet, _depth, (32, 64, 128, 256)))
