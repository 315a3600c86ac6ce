"""Checkpoints that are damaged, hostile, or of a training that went wrong: one line, and no code is run."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmark.errors import LONGEST, UserError
from benchmark.models import build, load_checkpoint, outputs_of
from tests.test_bad_input import refused

IMAGE = (3, 8, 8)
Weights = dict[str, torch.Tensor]


@pytest.fixture
def weights() -> Weights:
    torch.manual_seed(1)
    return build("tiny_big", [IMAGE], 6).state_dict()


def refusal(file: Path) -> str:
    """The line with which a file is refused; the network stays as it was."""
    network = build("tiny_big", [IMAGE], 6)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_checkpoint(network, file)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    line = str(caught.value)
    assert str(file) in line
    assert line.isprintable()
    assert len(line) <= LONGEST
    return line


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_the_first_tensor_that_is_not_finite_is_named(
    number: float, suffix: str, weights: Weights, tmp_path: Path
) -> None:
    for key in ("norm.running_var", "deep.weight"):  # in the network's order the norm comes first
        weights[key].flatten()[-1] = number
    file = tmp_path / f"t{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(weights, file)  # pyright: ignore[reportCallIssue]
    assert "norm.running_var are not all finite" in refusal(file)


@pytest.mark.parametrize("mode", [["--dry-run"], []])
def test_a_checkpoint_that_can_not_be_used_is_told_while_planning(
    mode: list[str], weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--tasks", "tiny_task", "--baselines", "kd", "--results-dir", str(tmp_path), *mode]
    file = tmp_path / "t.pth"
    torch.save(weights | {"stem.bias": torch.full((12,), float("nan"))}, file)
    assert "stem.bias are not all finite" in refused(capsys, *command, "--teacher-checkpoint", str(file))
    torch.save(weights | {"stem.bias": torch.zeros(3)}, file)
    assert "stem.bias is (3,) in the file" in refused(capsys, *command, "--teacher-checkpoint", str(file))
    torch.save(weights, file)
    file.write_bytes(file.read_bytes()[:-100])
    assert str(file) in refused(capsys, *command, "--teacher-checkpoint", str(file))
    assert not list(tmp_path.glob("*/runs/*"))


class Attack:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("place", ["whole", "value", "beside", "key"])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_in_a_checkpoint_is_not_run(form: str, place: str, weights: Weights, tmp_path: Path) -> None:
    attack, file = Attack(tmp_path / "made"), tmp_path / "t.pth"
    content = {
        "whole": attack,
        "value": weights | {"stem.weight": attack},
        "beside": {"model": weights, "epoch": attack},
        "key": {"model": weights, attack: 1},
    }[place]
    if form == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    refusal(file)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (torch.zeros(12, dtype=torch.int64), "int64"),
        (torch.zeros(12, dtype=torch.bool), "bool"),
        (torch.zeros(12, dtype=torch.complex64), "complex"),
        (torch.zeros(12).to_sparse(), "sparse_coo"),
        (torch.zeros(12, device="meta"), "meta (without its numbers)"),
        (torch.zeros(1).expand(10**9), "larger than the file"),
        (torch.zeros(11), "(11,) in the file, expected (12,)"),
        (torch.tensor(0.0), "() in the file, expected (12,)"),
        (None, "holds no weights"),
        ({"stem.bias": torch.zeros(12)}, "holds no weights"),
        ([[[]]], "holds no weights"),
    ],
)
def test_a_tensor_of_another_kind_is_named(value: Any, word: str, weights: Weights, tmp_path: Path) -> None:
    torch.save(weights | {"stem.bias": value}, tmp_path / "t.pth")
    assert word in refusal(tmp_path / "t.pth")


@pytest.mark.parametrize("content", [{}, [], None, 3, {"model": {}}, {"model": {"net": {}}}, {1: 2}, "text"])
def test_content_without_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "t.pth")
    assert "holds no weights" in refusal(tmp_path / "t.pth")


def test_every_flipped_bit_of_a_torch_file_is_noticed_or_harmless(weights: Weights, tmp_path: Path) -> None:
    file, stream = tmp_path / "t.pth", io.BytesIO()
    torch.save(weights, stream)
    sound = stream.getvalue()
    network = build("tiny_big", [IMAGE], 6)
    for at in range(0, len(sound), len(sound) // 150):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        with contextlib.suppress(UserError):
            load_checkpoint(network, file)
            # Noticed by none: it lies between the parts of the archive.
            assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_a_file_cut_anywhere_is_refused(weights: Weights, tmp_path: Path) -> None:
    for name, save in (("t.pth", torch.save), ("t.safetensors", save_file)):
        save(weights, tmp_path / name)
        sound = (tmp_path / name).read_bytes()
        for share in (0, 0.001, 0.01, 0.3, 0.7, 0.95, 0.999):
            (tmp_path / name).write_bytes(sound[: int(share * len(sound))])
            refusal(tmp_path / name)


def test_an_archive_that_would_grow_is_refused_unopened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t/data.pkl", b"\0" * 50_000_000)
    assert (tmp_path / "t.pth").stat().st_size < 100_000
    assert "50,000,000 bytes, more than the file" in refusal(tmp_path / "t.pth")


def test_tensors_declared_larger_than_the_file_are_refused(weights: Weights, tmp_path: Path) -> None:
    torch.save({"stem.bias": torch.ones(12)}, tmp_path / "sound.pth")
    with zipfile.ZipFile(tmp_path / "sound.pth") as old, zipfile.ZipFile(tmp_path / "t.pth", "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert content.count(b"K\x0ctq") == 1  # the 12 numbers of the storage
                content = content.replace(b"K\x0ctq", b"J\x00\x00\x00\x3ctq")
            new.writestr(entry.filename, content)
    assert "can't read" in refusal(tmp_path / "t.pth")
    header = b'{"stem.bias":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'
    file = tmp_path / "t.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 48)
    refusal(file)
    file.write_bytes((2**62).to_bytes(8, "little") + header)
    refusal(file)


@pytest.mark.parametrize("value", [torch.tensor(1.0), torch.zeros(1, 24).expand(10**9, 24)])
def test_the_number_of_classes_is_not_taken_from_a_classifier_that_is_none(
    value: torch.Tensor, weights: Weights, tmp_path: Path
) -> None:
    torch.save(weights | {"classifier.weight": value, "classifier.bias": value}, tmp_path / "t.pth")
    with pytest.raises(UserError, match=r"t\.pth"):
        outputs_of(tmp_path / "t.pth", "tiny_big", [IMAGE])


def test_asking_for_the_number_of_classes_draws_nothing(weights: Weights, tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "t.pth")
    before = torch.get_rng_state()
    assert outputs_of(tmp_path / "t.pth", "tiny_big", [IMAGE]) == 6
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision_and_parameters_are_weights_too(weights: Weights, tmp_path: Path) -> None:
    network = build("tiny_big", [IMAGE], 6)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        cast = {key: x.to(kind) if x.is_floating_point() else x for key, x in weights.items()}
        torch.save(cast, tmp_path / "t.pth")
        load_checkpoint(network, tmp_path / "t.pth")
    torch.save(dict(network.named_parameters()) | dict(network.named_buffers()), tmp_path / "t.pth")
    load_checkpoint(network, tmp_path / "t.pth")
