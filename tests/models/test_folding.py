"""Folded networks: the same function with fewer norms, and left alone where that would not hold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.contracts import Activations
from benchmark.models import Network, build
from benchmark.models.folding import folded
from tests.models.test_cifar import FAMILIES

IMAGE, SIGNAL, CLIP = (3, 32, 32), (6, 64), (1, 8, 32, 32)
SHAPES = dict.fromkeys((*FAMILIES, "conv2d_8", "unet2d_8", "torchvision:resnet18"), IMAGE) | {
    "conv1d_8": SIGNAL,
    "conv3d_4": CLIP,
}


def trained(network: Network, *shape: int) -> tuple[Network, dict[str, Tensor]]:
    """In eval mode, with statistics and affine weights as a training leaves them; and a batch."""
    torch.manual_seed(0)
    network.modalities = ("x",)
    batch = {"x": torch.randn(8, *shape), "index": torch.arange(8)}
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            module.momentum = 0.9
    with torch.no_grad():
        network(batch)
    return network.eval().requires_grad_(False), batch


def norms(network: Network) -> int:
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_a_folded_network_shows_the_same_with_fewer_norms(name: str) -> None:
    network, batch = trained(build(name, [SHAPES[name]], 10), *SHAPES[name])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    quick, other = folded(network, batch), {**batch, "x": torch.randn_like(batch["x"])}
    assert norms(quick) < norms(network)
    one, two = network(other), quick(other)
    for a, b in zip(
        (one.logits, one.embedding, *one.maps, *one.preactivations),
        (two.logits, two.embedding, *two.maps, *two.preactivations),
        strict=True,
    ):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= 1e-3 * float(a.abs().max())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in quick.parameters())


class Forked(Network):
    """One convolution whose output a norm sees, and somebody else."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.classifier = nn.Linear(4, 10)

    def show(self, x: Tensor) -> Activations:
        output = self.convolution(x)
        if self.kind == "changed":
            output += 1
        normal = self.norm(output)
        if self.kind == "added":
            normal = normal + output
        if self.kind == "called again":
            normal = self.norm(normal)
        embedding = normal.mean((2, 3))
        maps = (output, normal) if self.kind == "shown" else (x, normal)
        return Activations(self.classifier(embedding), embedding, maps)


@pytest.mark.parametrize("kind", ["added", "changed", "called again", "shown", "hooked"])
def test_an_output_that_others_see_is_not_folded(kind: str) -> None:
    network, batch = trained(Forked(kind), *IMAGE)
    if kind == "hooked":
        network.norm.register_forward_hook(lambda module, inputs, output: output + 1)
    assert folded(network, batch) is network


def test_nothing_else_keeps_the_pair_apart() -> None:
    network, batch = trained(Forked("plain"), *IMAGE)
    assert norms(folded(network, batch)) == 0
