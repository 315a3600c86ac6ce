"""Wide residual networks for CIFAR: wrn_16_1, wrn_16_2, wrn_40_1 and wrn_40_2."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models.cifar.shared import CifarNetwork, initialise, pool, register_image_network


class WideBlock(nn.Module):
    """A pre-activation block: norm, ReLU, 3x3 convolution, norm, ReLU, 3x3 convolution, plus a shortcut.

    The caller applies `bn1`, so that the norm's output can be shown as a preactivation and is computed once.
    """

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.convShortcut: nn.Module | None = None
        if in_channels != channels:
            self.convShortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor, normalised: Tensor) -> Tensor:
        """x [B, C, H, W] and normalised = bn1(x) -> the raw sum [B, C', H', W']."""
        active = F.relu(normalised)
        out = F.relu(self.bn2(self.conv1(active)), inplace=True)
        # Where the width changes the shortcut starts behind norm and ReLU, as in the paper's code.
        return self.conv2(out).add_(x if self.convShortcut is None else self.convShortcut(active))


class WideStage(nn.Module):
    """The blocks of one resolution, under the name `layer`."""

    def __init__(self, in_channels: int, channels: int, blocks: int, stride: int):
        super().__init__()
        rest = [WideBlock(channels, channels, 1) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(WideBlock(in_channels, channels, stride), *rest)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, C, H, W] -> (the raw sum after the last block, the first block's norm output)."""
        normalised = []
        for block in self.layer:
            normalised.append(block.get_submodule("bn1")(x))
            x = block(x, normalised[-1])
        return x, normalised[0]


class WideResNet(CifarNetwork):
    """A wide residual network of depth 6n + 4 whose stages are 16w, 32w and 64w channels wide.

    maps: the stem [B, 16, H, W] and the stages, raw sums before any norm (they have negative values).
    preactivations: the stem as it is; each stage behind the norm that follows it, the next stage's first
    one or the network's last, taken from the same forward pass, so that running statistics move once per
    batch.

    Source: Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016.
    """

    def __init__(self, depth: int, widen: int, channels: int, num_classes: int):
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest:
            raise ValueError(f"a wide ResNet has depth 6n + 4, not {depth}")
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.block1 = WideStage(16, 16 * widen, blocks, stride=1)
        self.block2 = WideStage(16 * widen, 32 * widen, blocks, stride=2)
        self.block3 = WideStage(32 * widen, 64 * widen, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * widen)
        self.fc = nn.Linear(64 * widen, num_classes)
        initialise(self)
        nn.init.zeros_(self.fc.bias)

    @property
    def head(self) -> nn.Module:
        return self.fc

    def norms(self) -> tuple[nn.Module | None, ...]:
        later = (each.layer[0].get_submodule("bn1") for each in (self.block2, self.block3))
        return (None, *later, self.bn1)

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with four maps and four preactivations."""
        stem = self.conv1(image)
        first, _ = self.block1(stem)
        second, first_normalised = self.block2(first)
        third, second_normalised = self.block3(second)
        third_normalised = self.bn1(third)
        embedding = pool(F.relu(third_normalised))
        return Activations(
            self.fc(embedding),
            embedding,
            (stem, first, second, third),
            (stem, first_normalised, second_normalised, third_normalised),
        )


for _depth, _widen in ((16, 1), (16, 2), (40, 1), (40, 2)):
    register_image_network(f"wrn_{_depth}_{_widen}", partial(WideResNet, _depth, _widen))
