"""Checkpoints into networks: every wrapper of the field, and one line for what does not fit."""

import argparse
import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from benchmark.errors import UserError
from benchmark.models import build, load_checkpoint

IMAGE = (3, 32, 32)


def weights_of(name="resnet8", seed=5):
    torch.manual_seed(seed)
    return build(name, [IMAGE], 10).state_dict()


def assert_loads(path, weights, name="resnet8"):
    torch.manual_seed(6)
    network = build(name, [IMAGE], 10)
    assert not torch.equal(network.state_dict()["conv1.weight"], weights["conv1.weight"])
    load_checkpoint(network, path)
    for key, value in network.state_dict().items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state_dict", "net"])
def test_checkpoints_load_bare_and_from_each_wrapper(tmp_path, wrapper):
    weights = weights_of()
    torch.save(weights if wrapper is None else {"epoch": 240, wrapper: weights}, tmp_path / "teacher.pth")
    assert_loads(tmp_path / "teacher.pth", weights)


def test_checkpoints_load_from_safetensors(tmp_path):
    weights = weights_of()
    save_file(weights, tmp_path / "teacher.safetensors")
    assert_loads(tmp_path / "teacher.safetensors", weights)


def test_the_prefix_of_data_parallel_training_is_dropped(tmp_path):
    weights = weights_of()
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "teacher.pth")
    assert_loads(tmp_path / "teacher.pth", weights)


def test_options_and_an_accuracy_beside_the_weights_do_no_harm(tmp_path):
    weights = weights_of()
    beside = {"opt": argparse.Namespace(lr=0.05), "accuracy": np.float32(0.72), "best_acc": np.float64(0.73)}
    torch.save({**beside, "model": weights}, tmp_path / "teacher.pth")
    assert_loads(tmp_path / "teacher.pth", weights)


def test_weights_without_batch_counters_load(tmp_path):
    weights = weights_of()
    old = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "teacher.pth")
    assert_loads(tmp_path / "teacher.pth", weights)


@pytest.mark.parametrize(
    ("saved", "built", "classes", "message"),
    [
        ("resnet8", "resnet8", 100, r"fc.weight is (10, 64) in the file, expected (100, 64)"),
        ("resnet8", "resnet14", 10, r"layer1.1.conv1.weight is missing in the file, expected (16, 16, 3, 3)"),
        (
            "resnet14",
            "resnet8",
            10,
            r"layer1.1.conv1.weight is (16, 16, 3, 3) in the file, expected no such key",
        ),
    ],
)
def test_the_first_mismatch_is_named_and_the_network_is_left_alone(tmp_path, saved, built, classes, message):
    torch.save(weights_of(saved), tmp_path / "teacher.pth")
    network = build(built, [IMAGE], classes)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(UserError) as caught:
        load_checkpoint(network, tmp_path / "teacher.pth")
    text = str(caught.value)
    assert message in text
    assert str(tmp_path / "teacher.pth") in text
    assert "choose the architecture" in text
    assert "\n" not in text
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_missing_and_unreadable_files_are_user_errors(tmp_path):
    network = build("resnet8", [IMAGE], 10)
    for name in ("noise.pth", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(UserError, match=name):
            load_checkpoint(network, tmp_path / name)
    (tmp_path / "empty.pth").touch()
    torch.save(weights_of(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    torch.save({"epoch": 3}, tmp_path / "weightless.pth")
    torch.save({"model": network}, tmp_path / "object.pth")
    for name in ("absent.pth", "empty.pth", "cut.pth", "weightless.pth", "object.pth"):
        with pytest.raises(UserError, match=name) as caught:
            load_checkpoint(network, tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no checkpoint at"):
        load_checkpoint(network, tmp_path)
