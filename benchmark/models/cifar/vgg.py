"""VGG networks with batch normalisation for CIFAR: vgg8, vgg11, vgg13, vgg16 and vgg19."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models.cifar.shared import CifarNetwork, initialise, pool, register_image_network

WIDTHS = (64, 128, 256, 512, 512)

CONVOLUTIONS = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Depth -> 3x3 convolutions per block."""


def _block(in_channels: int, channels: int, convolutions: int) -> nn.Sequential:
    """Convolution, norm and ReLU, repeated, without the last ReLU: the block ends in its preactivation."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
        in_channels = channels
    return nn.Sequential(*layers[:-1])


class VGG(CifarNetwork):
    """Five blocks of 3x3 convolutions with max pooling between them, then global average pooling.

    The pooling before the last block is left out for images below 64 pixels: 4x4 maps remain of 32 pixels.
    maps: the five blocks after their ReLU, [B, 64, H, W] to [B, 512, H / 8, W / 8]; the first is the stem.
    preactivations: the first map as it is, and the other blocks before their last ReLU.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR
    2015; with batch normalisation and one linear layer, as in Tian et al., ICLR 2020.
    """

    def __init__(self, depth: int, channels: int, num_classes: int):
        super().__init__()
        inputs = (channels, *WIDTHS[:-1])
        blocks = [_block(*each) for each in zip(inputs, WIDTHS, CONVOLUTIONS[depth], strict=True)]
        self.block0, self.block1, self.block2, self.block3, self.block4 = blocks
        self.classifier = nn.Linear(WIDTHS[-1], num_classes)
        initialise(self, linear_std=0.01)

    @property
    def head(self) -> nn.Module:
        return self.classifier

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (None, *(block[-1] for block in (self.block1, self.block2, self.block3, self.block4)))

    def show(self, image: Tensor) -> Activations:
        """image [B, C, H, W] -> Activations with five maps and five preactivations."""
        x = F.relu(self.block0(image), inplace=True)
        maps, preactivations = [x], [x]
        for block in (self.block1, self.block2, self.block3, self.block4):
            if block is not self.block4 or min(image.shape[2:]) >= 64:
                x = F.max_pool2d(x, 2)
            preactivation = block(x)
            x = F.relu(preactivation)
            maps.append(x)
            preactivations.append(preactivation)
        embedding = pool(x)
        return Activations(self.classifier(embedding), embedding, tuple(maps), tuple(preactivations))


for _depth in CONVOLUTIONS:
    register_image_network(f"vgg{_depth}", partial(VGG, _depth))
