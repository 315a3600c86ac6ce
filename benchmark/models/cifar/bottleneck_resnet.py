"""ResNet50 for small images: bottleneck blocks behind a 3x3 stem without pooling."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models.cifar.shared import CifarNetwork, initialise, pool, register_image_network, run_stage

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; returns [B, 4 * width, H, W] before the last ReLU."""

    def __init__(self, in_channels: int, width: int, stride: int):
        super().__init__()
        channels = EXPANSION * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        return self.bn3(self.conv3(out)).add_(self.shortcut(x))


class BottleneckResNet(CifarNetwork):
    """Four stages of bottleneck blocks at strides 1, 2, 2 and 2; ResNet50 has (3, 4, 6, 3) of them.

    maps: the stem [B, 64, H, W] and the stages [B, 256, H, W] to [B, 2048, H / 8, W / 8], after their ReLU.
    preactivations: the stem as it is, and the stages before their last ReLU.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    def __init__(self, blocks: tuple[int, int, int, int], channels: int, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._stage(64, 64, blocks[0], stride=1)
        self.layer2 = self._stage(256, 128, blocks[1], stride=2)
        self.layer3 = self._stage(512, 256, blocks[2], stride=2)
        self.layer4 = self._stage(1024, 512, blocks[3], stride=2)
        self.linear = nn.Linear(2048, num_classes)
        initialise(self)

    @staticmethod
    def _stage(in_channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        rest = [Bottleneck(EXPANSION * width, width, 1) for _ in range(blocks - 1)]
        return nn.Sequential(Bottleneck(in_channels, width, stride), *rest)

    @property
    def head(self) -> nn.Module:
        return self.linear

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (
            None,
            *(
                stage[-1].get_submodule("bn3")
                for stage in (self.layer1, self.layer2, self.layer3, self.layer4)
            ),
        )

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with five maps and five preactivations."""
        x = F.relu(self.bn1(self.conv1(image)), inplace=True)
        maps, preactivations = [x], [x]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x, preactivation = run_stage(stage, x)
            maps.append(x)
            preactivations.append(preactivation)
        embedding = pool(x)
        return Activations(self.linear(embedding), embedding, tuple(maps), tuple(preactivations))


register_image_network("ResNet50", partial(BottleneckResNet, (3, 4, 6, 3)))
