"""Encoder-decoders for dense prediction: one label per pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.models import architecture
from benchmark.models.encoders import ConvNorm, ConvTrunk, initialise
from benchmark.models.network import Network, image_shape


class UNet(ConvTrunk):
    """A convolutional trunk, and a decoder that goes back to full resolution over skip connections.

    By name: `unet2d_{width}`, and with `_deep` behind it for two convolutions per stage of the encoder. One
    input [B, C, H, W]. Maps are those of the encoder, the embedding is the mean of its deepest one over
    space: methods that compare samples see one vector per image, logits are per pixel. After Ronneberger et
    al., MICCAI 2015, with additions of batch normalisation and nearest-neighbour upsampling.
    """

    dense = True

    def __init__(self, in_channels: int, num_classes: int, *, width: int = 16, depth: int = 1):
        super().__init__(in_channels, dimensions=2, width=width, depth=depth)
        steps = list(zip(self.widths[:0:-1], self.widths[-2::-1], strict=True))
        self.decoder = nn.ModuleList(ConvNorm(low + skip, skip, dimensions=2) for low, skip in steps)
        initialise(self.decoder)
        self.classifier = nn.Conv2d(self.widths[0], num_classes, 1)

    def show(self, inputs: Tensor) -> Activations:
        """inputs [B, C, H, W] -> Activations with logits [B, K, H, W] and 1 + stages maps."""
        maps, preactivations = self.features(inputs)
        x = maps[-1]
        for step, skip in zip(self.decoder, maps[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = F.relu(step(torch.cat([x, skip], dim=1)))
        embedding = maps[-1].flatten(2).mean(2)
        return Activations(self.classifier(x), embedding, tuple(maps), tuple(preactivations))


def _register(name: str, width: int, depth: int) -> None:
    @architecture(name)
    def build(shapes: Sequence[tuple[int, ...]], num_classes: int) -> Network:
        return UNet(image_shape(name, shapes)[0], num_classes, width=width, depth=depth)


for _width in (4, 8, 16, 32, 64):
    _register(f"unet2d_{_width}", _width, depth=1)
    _register(f"unet2d_{_width}_deep", _width, depth=2)
