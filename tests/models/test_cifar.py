"""The CIFAR networks against the CRD benchmark's own."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmark.contracts import Activations
from benchmark.errors import UserError
from benchmark.models import architectures, build

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "cifar_models.json").read_text())
IMAGE = (3, 32, 32)


FAMILIES = ("resnet14", "resnet8x4", "ResNet50", "wrn_16_2", "vgg13", "MobileNetV2", "ShuffleV1", "ShuffleV2")
"""A light network of every family and kind of block."""


@dataclass
class Seen:
    """A network, its golden description, and what it showed of one batch in train mode, then in eval mode."""

    network: nn.Module
    expected: dict
    training: Activations
    evaluation: Activations
    flops: int


@pytest.fixture(scope="module", params=GOLDEN)
def seen(request):
    torch.manual_seed(0)
    network = build(request.param, [IMAGE], 100)
    with torch.no_grad():
        training = network.show(images())
        with FlopCounterMode(display=False) as counter:
            evaluation = network.eval().show(images())
    return Seen(network, GOLDEN[request.param], training, evaluation, counter.get_total_flops())


def images(batch=2, shape=IMAGE, seed=1):
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))


def test_all_networks_of_the_benchmark_are_registered():
    assert len(GOLDEN) == 22
    assert set(GOLDEN) <= set(architectures())


def test_parameters_and_their_order_match_published_checkpoints(seen):
    weights = seen.network.state_dict()
    assert [[key, list(value.shape)] for key, value in weights.items()] == seen.expected["state_dict"]
    assert sum(parameter.numel() for parameter in seen.network.parameters()) == seen.expected["params"]


def test_shapes_and_cost_match(seen):
    shown, expected = seen.evaluation, seen.expected
    assert seen.flops == 2 * len(shown.logits) * expected["macs_3x32x32"]
    assert shapes(*shown.maps, shown.embedding) == expected["feature_shapes"]
    assert shapes(*shown.preactivations) == expected["preact_feature_shapes"][:-1]
    assert shapes(shown.logits) == [[100]]


def shapes(*tensors):
    return [list(each.shape[1:]) for each in tensors]


def test_signs_tell_where_the_last_non_linearity_is(seen):
    shown, expected = seen.training, seen.expected
    assert [bool((each < 0).any()) for each in shown.maps] == expected["feature_min_negative"][:-1]
    assert [bool((each < 0).any()) for each in shown.preactivations] == expected["preact_min_negative"][:-1]
    differs = [not torch.equal(*each) for each in zip(shown.maps, shown.preactivations, strict=True)]
    assert differs == expected["preact_differs"][:-1]


def test_norms_are_those_behind_the_preactivations(seen):
    norms = seen.network.norms()
    assert len(norms) == len(seen.training.preactivations)
    channels = [norm.num_features for norm in norms if norm is not None]
    published = seen.expected["bn_before_relu_channels"]
    assert channels == (published if isinstance(published, list) else [])


def test_head_leads_from_embedding_to_logits(seen):
    torch.testing.assert_close(seen.network.head(seen.evaluation.embedding), seen.evaluation.logits)
    weights = {id(parameter) for parameter in seen.network.head.parameters()}
    names = [name for name, parameter in seen.network.named_parameters() if id(parameter) in weights]
    assert names == seen.expected["classifier_keys"]


def test_statistics_move_once_per_training_batch_and_not_in_eval_mode(seen):
    weights = seen.network.state_dict()
    counters = {key: int(value) for key, value in weights.items() if key.endswith("num_batches_tracked")}
    assert counters
    assert set(counters.values()) == {1}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_gets_a_gradient_from_the_logits(name):
    network = build(name, [IMAGE], 10)
    network.show(images(4, (3, 16, 16))).logits.square().sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_shows_the_same_twice_and_in_its_memory_format(name):
    torch.manual_seed(0)
    network, batch = build(name, [IMAGE], 10), images(4, (3, 16, 16))
    assert network.memory_format == torch.channels_last
    with torch.no_grad():
        # Running statistics of this batch keep the activations of an untrained network in range.
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network.show(batch)
        network.eval()
        first, second = network.show(batch), network.show(batch)
        network.to(memory_format=network.memory_format)
        converted = network.show(batch.to(memory_format=network.memory_format))
    assert torch.equal(first.logits, second.logits)
    for before, after in zip(tensors(first), tensors(converted), strict=True):
        torch.testing.assert_close(after, before, rtol=0.0, atol=1e-4 * before.abs().max().item())


def tensors(shown):
    return [shown.logits, shown.embedding, *shown.maps, *shown.preactivations]


@pytest.mark.parametrize("name", ["resnet20", "resnet8x4", "ResNet50", "vgg8", "ShuffleV1"])
def test_maps_are_the_rectified_preactivations(name):
    shown = build(name, [IMAGE], 10).show(images(2, (3, 16, 16)))
    for features, preactivation in zip(shown.maps[1:], shown.preactivations[1:], strict=True):
        assert torch.equal(F.relu(preactivation), features)


def test_the_maps_of_shufflev2_are_the_rectified_preactivations_with_channels_interleaved():
    shown = build("ShuffleV2", [IMAGE], 10).show(images())
    for features, preactivation in zip(shown.maps[1:], shown.preactivations[1:], strict=True):
        half = features.shape[1] // 2
        assert torch.equal(F.relu(preactivation[:, :half]), features[:, 0::2])
        assert torch.equal(F.relu(preactivation[:, half:]), features[:, 1::2])


def test_the_preactivations_of_a_wide_resnet_are_its_maps_behind_the_next_norm():
    network = build("wrn_16_2", [IMAGE], 10).eval()
    torch.manual_seed(0)
    for norm in network.norms()[1:]:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    shown = network.show(images())
    for norm, features, preactivation in list(
        zip(network.norms(), shown.maps, shown.preactivations, strict=True)
    )[1:]:
        assert torch.equal(norm(features), preactivation)
    torch.testing.assert_close(F.relu(shown.preactivations[-1]).mean((2, 3)), shown.embedding)


@pytest.mark.parametrize("name", ["resnet8", "ResNet50", "vgg8"])
def test_a_norm_scales_the_preactivation_it_stands_behind(name):
    network = build(name, [IMAGE], 10).eval()
    before = network.show(images()).preactivations[-1]
    norm = network.norms()[-1]
    norm.bias.data += 1.0
    after = network.show(images()).preactivations[-1]
    torch.testing.assert_close(after, before + 1.0)


def test_weights_are_drawn_from_the_fan_out():
    torch.manual_seed(0)
    weight = build("resnet8x4", [IMAGE], 10).layer3[0].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("shape", [(1, 24, 20), (5, 64, 64)])
def test_other_channels_and_sizes_are_taken(name, shape):
    network = build(name, [shape], 7).eval()
    with torch.no_grad():
        shown = network.show(images(1, shape))
    assert shown.logits.shape == (1, 7)
    assert shown.embedding.shape == (1, GOLDEN[name]["penultimate_dim"])


def test_large_images_are_pooled_before_the_last_block_of_vgg():
    network = build("vgg8", [(3, 64, 64)], 7)
    assert network.show(images(2, (3, 64, 64))).maps[-1].shape == (2, 512, 4, 4)


def test_a_network_of_one_input_refuses_two_and_other_ranks():
    with pytest.raises(UserError, match="resnet8 takes one input, got 2"):
        build("resnet8", [IMAGE, IMAGE], 10)
    with pytest.raises(UserError, match="resnet8 takes one input, got 0"):
        build("resnet8", [], 10)
    with pytest.raises(UserError, match=r"vgg8 takes images \(C, H, W\), got an input of shape \(6, 128\)"):
        build("vgg8", [(6, 128)], 10)


def test_an_unknown_architecture_names_the_near_ones():
    with pytest.raises(UserError, match="unknown architecture 'resnet9': did you mean resnet8"):
        build("resnet9", [IMAGE], 10)
