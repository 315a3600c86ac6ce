"""ShuffleV1 and ShuffleV2: the shuffle networks of the CRD benchmark for CIFAR."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models.cifar.shared import CifarNetwork, pool, register_image_network, run_stage


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleaves `groups` equal groups of channels, [B, C, H, W] to the same shape."""
    # With channels as the last axis the result stays in channels_last, which the convolutions are fastest in.
    x = x.permute(0, 2, 3, 1).unflatten(3, (groups, -1))
    return x.transpose(3, 4).flatten(3, 4).permute(0, 3, 1, 2)


class GroupedBottleneck(nn.Module):
    """The ShuffleNet unit: grouped 1x1 convolution, shuffle, depthwise 3x3, grouped 1x1.

    At stride 2 the average-pooled input is appended to its output, else the input is added. Returns [B, C,
    H, W] before the last ReLU.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, groups: int, first: bool = False):
        super().__init__()
        self.stride = stride
        self.first_groups = 1 if first else groups
        produced = channels - in_channels if stride == 2 else channels
        width = produced // 4
        self.conv1 = nn.Conv2d(in_channels, width, 1, groups=self.first_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, produced, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(produced)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.first_groups > 1:
            out = shuffle(out, self.first_groups)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        if self.stride == 2:
            return torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1)
        return out.add_(x)


class ShuffleNetV1(CifarNetwork):
    """Three stages of ShuffleNet units with three groups, behind a 1x1 stem.

    maps: the stem [B, 24, H, W] and the stages, [B, 240, H / 2, W / 2] to [B, 960, H / 8, W / 8], after their
    ReLU. preactivations: the stem as it is, and the stages before their last ReLU; no norm is named for them,
    as in the benchmark. Weights keep torch's default initialisation, as there.

    Source: Zhang et al., "ShuffleNet", CVPR 2018.
    """

    def __init__(self, channels: int, num_classes: int, groups: int = 3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 24, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        # The stem is too narrow for a grouped convolution: the very first unit has none.
        self.layer1 = self._stage(24, 240, 4, groups, first=True)
        self.layer2 = self._stage(240, 480, 8, groups)
        self.layer3 = self._stage(480, 960, 4, groups)
        self.linear = nn.Linear(960, num_classes)

    @staticmethod
    def _stage(
        in_channels: int, channels: int, blocks: int, groups: int, first: bool = False
    ) -> nn.Sequential:
        rest = [GroupedBottleneck(channels, channels, 1, groups) for _ in range(blocks - 1)]
        return nn.Sequential(GroupedBottleneck(in_channels, channels, 2, groups, first), *rest)

    @property
    def head(self) -> nn.Module:
        return self.linear

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (None,) * 4

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with four maps and four preactivations."""
        x = F.relu(self.bn1(self.conv1(image)), inplace=True)
        maps, preactivations = [x], [x]
        for stage in (self.layer1, self.layer2, self.layer3):
            x, preactivation = run_stage(stage, x)
            maps.append(x)
            preactivations.append(preactivation)
        embedding = pool(x)
        return Activations(self.linear(embedding), embedding, tuple(maps), tuple(preactivations))


class SplitBlock(nn.Module):
    """The ShuffleNetV2 unit: half of the channels pass, half see 1x1, depthwise 3x3 and 1x1 convolutions.

    Returns both halves joined, [B, C, H, W], before the last ReLU and unshuffled. The passing half is the
    output of a ReLU already, so that one ReLU over both changes the other half only.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, 1, 1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        passing, working = x.chunk(2, 1)
        out = F.relu(self.bn1(self.conv1(working)), inplace=True)
        out = self.bn2(self.conv2(out))
        return torch.cat([passing, self.bn3(self.conv3(out))], 1)


class DownBlock(nn.Module):
    """The ShuffleNetV2 unit of stride 2: two convolutional branches, joined, before the last ReLU."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 2, 1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = nn.Conv2d(half, half, 3, 2, 1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        right = F.relu(self.bn3(self.conv3(x)), inplace=True)
        right = self.bn5(self.conv5(self.bn4(self.conv4(right))))
        return torch.cat([left, right], 1)


class ShuffleNetV2(CifarNetwork):
    """Three stages of ShuffleNetV2 units, 116, 232, 464 wide, behind a 1x1 stem; then 1x1 to 1024 channels.

    maps: the stem [B, 24, H, W] and the stages after ReLU and shuffle; preactivations: the stem as it is,
    and the stages before their last ReLU and unshuffled, as in the benchmark. Half of each is no norm's
    output, so that no norm is named for them. Weights keep torch's default initialisation, as in the
    benchmark.

    Source: Ma et al., "ShuffleNet V2", ECCV 2018.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 24, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.layer1 = nn.Sequential(DownBlock(24, 116), *(SplitBlock(116) for _ in range(3)))
        self.layer2 = nn.Sequential(DownBlock(116, 232), *(SplitBlock(232) for _ in range(7)))
        self.layer3 = nn.Sequential(DownBlock(232, 464), *(SplitBlock(464) for _ in range(3)))
        self.conv2 = nn.Conv2d(464, 1024, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1024)
        self.linear = nn.Linear(1024, num_classes)

    @property
    def head(self) -> nn.Module:
        return self.linear

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (None,) * 4

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with four maps and four preactivations."""
        x = F.relu(self.bn1(self.conv1(image)), inplace=True)
        maps, preactivations = [x], [x]
        for stage in (self.layer1, self.layer2, self.layer3):
            preactivation = x
            for block in stage:
                preactivation = block(x)
                x = shuffle(F.relu(preactivation), 2)
            maps.append(x)
            preactivations.append(preactivation)
        embedding = pool(F.relu(self.bn2(self.conv2(x)), inplace=True))
        return Activations(self.linear(embedding), embedding, tuple(maps), tuple(preactivations))


register_image_network("ShuffleV1", ShuffleNetV1)
register_image_network("ShuffleV2", ShuffleNetV2)
