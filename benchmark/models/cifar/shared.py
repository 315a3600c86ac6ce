"""What the CIFAR networks share: registration, initialisation, and stages that show their preactivation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.models import architecture
from benchmark.models.network import Network, image_shape


class CifarNetwork(Network):
    """The base class of the CIFAR networks."""

    memory_format = torch.channels_last
    """Measured on CPU, batch 64 of 3x32x32: 1.1 to 1.8 times the contiguous speed in each family."""


def register_image_network(name: str, make: Callable[[int, int], CifarNetwork]) -> None:
    """Registers `make(channels, num_classes)` under `name`, as a network of one image input.

    Building it raises UserError unless it is given exactly one shape (C, H, W).
    """

    @architecture(name)
    def build(shapes: Sequence[tuple[int, ...]], num_classes: int) -> Network:
        channels, _, _ = image_shape(name, shapes)
        return make(channels, num_classes)


def initialise(network: nn.Module, linear_std: float | None = None) -> None:
    """Draws convolutions from the Kaiming normal (fan out), makes norms the identity, sets biases to zero.

    linear_std   the standard deviation of classifier weights (bias zero); None leaves torch's default

    Source: He et al., "Delving deep into rectifiers", ICCV 2015.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, 0.0, linear_std)
            nn.init.zeros_(module.bias)


def last(module: nn.Module) -> nn.Module:
    """The last child of a module."""
    return list(module.children())[-1]


def run_stage(blocks: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """Runs blocks that end before their last ReLU and returns (map, preactivation), both [B, C, H, W].

    The last ReLU is out of place: the preactivation of a stage is handed on as it is.
    """
    *first, last = blocks
    for block in first:
        x = F.relu(block(x), inplace=True)
    preactivation = last(x)
    return F.relu(preactivation), preactivation


def pool(x: Tensor) -> Tensor:
    """Global average pooling, [B, C, H, W] to [B, C]."""
    return x.mean((2, 3))
