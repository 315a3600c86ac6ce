"""The small encoders: what they show, for sequences, images and volumes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import UserError
from benchmark.models import build
from benchmark.models.network import place

INPUTS = {1: (6, 40), 2: (3, 32, 32), 3: (1, 8, 16, 16)}


@pytest.mark.parametrize("suffix", ["", "_deep"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_an_encoder_shows_a_stem_and_stages_of_half_the_size_each(dimensions: int, suffix: str) -> None:
    shape = INPUTS[dimensions]
    network = build(f"conv{dimensions}d_8{suffix}", [shape], 5)
    shown = network.show(torch.randn(2, *shape))
    assert shown.logits.shape == (2, 5)
    assert shown.embedding.shape == (2, 32)
    assert [each.shape[1] for each in shown.maps] == [8, 8, 16, 32]
    for depth, each in enumerate(shown.maps):
        assert each.shape[2:] == tuple(size // 2**depth for size in shape[1:])


@pytest.mark.parametrize("suffix", ["", "_deep"])
def test_maps_are_rectified_preactivations_and_the_embedding_is_the_last_map_s_mean(suffix: str) -> None:
    shown = build(f"conv2d_8{suffix}", [(3, 32, 32)], 5).show(torch.randn(2, 3, 32, 32))
    for map_, preactivation in zip(shown.maps, shown.preactivations, strict=True):
        assert torch.equal(map_, F.relu(preactivation))
        assert preactivation.min() < 0
    torch.testing.assert_close(shown.embedding, shown.maps[-1].mean((2, 3)))


def test_the_head_maps_the_embedding_to_the_logits() -> None:
    network = build("conv2d_8", [(3, 32, 32)], 5)
    shown = network.show(torch.randn(2, 3, 32, 32))
    assert network.head is not None
    torch.testing.assert_close(network.head(shown.embedding), shown.logits)


def test_norms_are_those_that_make_the_preactivations() -> None:
    network = build("conv2d_8", [(3, 32, 32)], 5).train()
    norms = network.norms()
    shown = network.show(torch.randn(64, 3, 32, 32))
    with torch.no_grad():
        for norm, preactivation in zip(norms, shown.preactivations, strict=True):
            assert isinstance(norm, nn.BatchNorm2d)
            torch.testing.assert_close(preactivation.mean((0, 2, 3)), norm.bias, atol=1e-4, rtol=0)


def test_a_residual_stage_has_no_norm_of_its_own() -> None:
    network = build("conv2d_8_deep", [(3, 32, 32)], 5)
    assert [norm is None for norm in network.norms()] == [False, True, True, True]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_memory_format_changes_no_result(dimensions: int) -> None:
    shape = INPUTS[dimensions]
    network = build(f"conv{dimensions}d_8", [shape], 5).eval()
    inputs = torch.randn(2, *shape)
    expected = network.show(inputs).logits
    network.to(memory_format=network.memory_format)
    shown = network.show(inputs.contiguous(memory_format=network.memory_format))
    torch.testing.assert_close(shown.logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shapes", [[(3, 32)], [(3, 32, 32), (1, 32, 32)], []])
def test_inputs_of_another_rank_or_number_are_refused_by_name(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(UserError, match=r"conv2d_8 takes one input of shape \(channels, height, width\)"):
        build("conv2d_8", shapes, 5)


def test_what_has_other_axes_than_the_format_is_moved_as_it_is() -> None:
    module = torch.nn.ModuleList([torch.nn.Conv2d(2, 3, 3), torch.nn.Conv3d(2, 3, 3)])
    expected = [parameter.detach().clone() for parameter in module.parameters()]
    place(module, torch.device("cpu"), torch.channels_last_3d)
    flat, deep = (layer.weight for layer in module)
    assert flat.is_contiguous()
    assert deep.is_contiguous(memory_format=torch.channels_last_3d)
    assert not deep.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(expected, module.parameters(), strict=True))
