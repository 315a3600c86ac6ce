"""Networks of torchvision and timm, and the capture of activations they rest on."""

import copy
import sys

import pytest
import torch
import torchvision
from torch import nn

from benchmark.errors import UserError
from benchmark.models import build, load_checkpoint
from benchmark.models.adapters import AdaptedNetwork
from benchmark.models.capture import Capture

IMAGE = (3, 32, 32)


def images(batch=2, shape=IMAGE, seed=1):
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))


def hooks(network):
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in network.modules())


@pytest.mark.parametrize(
    ("name", "embedding", "maps"),
    [
        ("resnet18", 512, [(64, 16, 16), (64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)]),
        ("mobilenet_v3_small", 1024, [(16, 16, 16), (16, 8, 8), (24, 4, 4), (48, 2, 2), (576, 1, 1)]),
        ("vgg11_bn", 4096, [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]),
        ("shufflenet_v2_x0_5", 1024, [(24, 16, 16), (48, 4, 4), (96, 2, 2), (1024, 1, 1)]),
    ],
)
def test_torchvision_networks_show_stem_stages_and_embedding(name, embedding, maps):
    network = build(f"torchvision:{name}", [IMAGE], 10).eval()
    shown = network.show(images())
    assert shown.logits.shape == (2, 10)
    assert shown.embedding.shape == (2, embedding)
    assert [tuple(each.shape[1:]) for each in shown.maps] == maps
    assert shown.preactivations == network.norms() == ()
    assert torch.equal(network.head(shown.embedding), shown.logits)
    assert torch.equal(network.model(images()), shown.logits)


def test_the_maps_of_resnet18_are_its_layers():
    network = build("torchvision:resnet18", [IMAGE], 10).eval()
    model = network.model
    x = model.maxpool(model.relu(model.bn1(model.conv1(images()))))
    shown = network.show(images())
    for layer, features in zip(
        (model.layer1, model.layer2, model.layer3, model.layer4), shown.maps[1:], strict=True
    ):
        x = layer(x)
        assert torch.equal(x, features)


def test_tokens_are_put_back_on_the_patch_grid():
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=8, num_heads=2, hidden_dim=12, mlp_dim=24, num_classes=10
    )
    network = AdaptedNetwork(vit, IMAGE).eval()
    tokens = {}
    for depth, layer in enumerate(vit.encoder.layers):
        layer.register_forward_hook(lambda _, __, output, depth=depth: tokens.update({depth: output}))
    shown = network.show(images())
    assert torch.equal(shown.maps[0], vit.conv_proj(images()))
    for features, depth in zip(shown.maps[1:], (1, 3, 5, 7), strict=True):
        assert features.shape == (2, 12, 2, 2)
        # Token 0 is the class token; token 1 + 2 * row + column is the patch at (row, column).
        assert torch.equal(features[:, :, 1, 0], tokens[depth][:, 3])


def test_maps_with_channels_on_the_last_axis_are_turned():
    swin = torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=[4, 4], num_classes=10
    )
    network = AdaptedNetwork(swin, (3, 32, 64)).eval()
    outputs = {}
    swin.features[1].register_forward_hook(lambda _, __, output: outputs.update(stage=output))
    shown = network.show(images(2, (3, 32, 64)))
    assert [tuple(each.shape[1:]) for each in shown.maps] == [(8, 8, 16), (16, 4, 8)]
    assert torch.equal(shown.maps[0][:, :, 2, 5], outputs["stage"][:, 2, 5])


def test_a_network_without_a_linear_classifier_shows_its_pooled_last_map():
    network = build("torchvision:squeezenet1_1", [(3, 64, 64)], 10).eval()
    shown = network.show(images(2, (3, 64, 64)))
    assert network.head is None
    assert shown.embedding.shape == (2, 512)
    assert torch.equal(shown.embedding, shown.maps[-1].mean((2, 3)))


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channel_counts_are_taken_and_the_weights_keep_their_scale(channels):
    torch.manual_seed(0)
    usual = build("torchvision:resnet18", [IMAGE], 10).model.conv1.weight.std()
    network = build("torchvision:resnet18", [(channels, 32, 32)], 10)
    assert network.show(images(2, (channels, 32, 32))).logits.shape == (2, 10)
    assert network.model.conv1.weight.shape == (64, channels, 7, 7)
    assert network.model.conv1.weight.std().item() == pytest.approx(usual.item(), rel=0.1)


def test_gradients_reach_every_parameter_through_what_is_shown():
    network = build("torchvision:resnet18", [IMAGE], 10)
    shown = network.show(images(4))
    (shown.logits.sum() + shown.embedding.sum() + sum(each.sum() for each in shown.maps)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_two_instances_and_deep_copies_do_not_disturb_each_other():
    first = build("torchvision:mobilenet_v3_small", [IMAGE], 10).eval()
    second = build("torchvision:mobilenet_v3_small", [IMAGE], 10).eval()
    twin = copy.deepcopy(first)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    expected = first.show(images())
    second.show(images(seed=2))
    altered = twin.show(images())
    again = first.show(images())
    assert hooks(first) == hooks(second) == hooks(twin) > 0
    for before, after, other in zip(expected.maps, again.maps, altered.maps, strict=True):
        assert torch.equal(before, after)
        assert not torch.equal(before, other)
    assert torch.equal(altered.embedding @ twin.head.weight.T + twin.head.bias, altered.logits)


def test_state_dict_has_the_names_of_the_library_behind_one_prefix(tmp_path):
    network = build("torchvision:resnet18", [IMAGE], 10)
    published = torchvision.models.resnet18(num_classes=10)
    assert list(network.state_dict()) == [f"model.{key}" for key in published.state_dict()]
    torch.save(published.state_dict(), tmp_path / "published.pth")
    load_checkpoint(network, tmp_path / "published.pth")
    assert torch.equal(network.model.conv1.weight, published.conv1.weight)
    torch.save(network.state_dict(), tmp_path / "ours.pth")
    other = build("torchvision:resnet18", [IMAGE], 10)
    load_checkpoint(other, tmp_path / "ours.pth")
    assert torch.equal(other.model.fc.weight, published.fc.weight)


def test_building_draws_nothing_but_the_weights():
    torch.manual_seed(0)
    torchvision.models.shufflenet_v2_x0_5(num_classes=10)
    expected = torch.rand(1)
    torch.manual_seed(0)
    network = build("torchvision:shufflenet_v2_x0_5", [IMAGE], 10)
    assert torch.equal(torch.rand(1), expected)
    assert network.training
    assert all(int(v) == 0 for k, v in network.state_dict().items() if k.endswith("num_batches_tracked"))


def test_unknown_models_name_the_near_ones():
    with pytest.raises(UserError, match=r"unknown torchvision model 'resnet19': did you mean .*resnet18"):
        build("torchvision:resnet19", [IMAGE], 10)
    with pytest.raises(UserError, match=r"unknown torchvision model 'zzzzz'.*list_models"):
        build("torchvision:zzzzz", [IMAGE], 10)


def test_images_too_small_for_a_network_are_a_user_error():
    with pytest.raises(UserError, match=r"torchvision:inception_v3 can't take images of shape \(3, 32, 32\)"):
        build("torchvision:inception_v3", [IMAGE], 10)
    with pytest.raises(UserError, match="takes square images only"):
        build("torchvision:vit_b_16", [(3, 32, 64)], 10)
    with pytest.raises(UserError, match="takes one input, got 2"):
        build("torchvision:resnet18", [IMAGE, IMAGE], 10)


def test_timm_networks_show_what_timm_says_are_their_stages():
    pytest.importorskip("timm")
    for name in ("resnet10t", "mobilenetv3_small_050", "convnext_atto"):
        network = build(f"timm:{name}", [(2, 32, 32)], 10).eval()
        shown = network.show(images(2, (2, 32, 32)))
        published = network.model.feature_info
        described = [(each["num_chs"], 32 // each["reduction"]) for each in published]
        assert [(each.shape[1], each.shape[2]) for each in shown.maps] == described, name
        assert torch.equal(network.head(shown.embedding), shown.logits)


def test_timm_transformers_show_the_patch_embedding_and_four_depths():
    pytest.importorskip("timm")
    network = build("timm:vit_tiny_patch16_224", [IMAGE], 10).eval()
    shown = network.show(images())
    assert [tuple(each.shape[1:]) for each in shown.maps] == [(192, 8, 8)] * 5
    assert torch.equal(network.model.forward_features(images())[:, 0], shown.embedding)
    assert network.memory_format == torch.contiguous_format


def test_patches_of_a_timm_transformer_shrink_with_small_images_and_with_no_others():
    pytest.importorskip("timm")
    sides = {
        side: build("timm:vit_tiny_patch16_224", [(3, side, side)], 10).model.patch_embed.patch_size[0]
        for side in (32, 64, 96, 128, 224)
    }
    assert sides == {32: 4, 64: 8, 96: 12, 128: 16, 224: 16}


def test_a_timm_model_that_is_unknown_names_the_near_ones():
    pytest.importorskip("timm")
    with pytest.raises(UserError, match="unknown timm model 'resnet10x': did you mean"):
        build("timm:resnet10x", [IMAGE], 10)


def test_missing_timm_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r'pip install "wcord-bench\[timm\]"'):
        build("timm:resnet18", [IMAGE], 10)


def test_capture_is_popped_and_removed():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    capture = Capture(network, outputs=["0", "1"], inputs=["2"])
    x = torch.randn(5, 3)
    network(x)
    outputs, inputs = capture.pop()
    assert list(outputs) == ["0", "1"]
    assert torch.equal(outputs["0"], network[0](x))
    assert inputs["2"] is outputs["1"]
    capture.pop()
    assert capture.pop() == ({}, {})
    network(x)
    capture.remove()
    capture.pop()
    network(x)
    assert capture.pop() == ({}, {})
    assert hooks(network) == 0


def test_a_deep_copied_capture_is_removed_without_touching_the_original():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    network_copy, capture_copy = copy.deepcopy((network, Capture(network, outputs=["1"])))
    capture_copy.remove()
    assert hooks(network_copy) == 0
    assert hooks(network) == 1


def test_capture_of_an_unknown_path_is_refused():
    with pytest.raises(KeyError, match="layer9"):
        Capture(nn.Sequential(nn.Linear(2, 2)), outputs=["layer9"])
