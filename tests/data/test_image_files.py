"""Trees of images: the same samples from memory and from disk, and crops as ImageNet is trained with."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from multiprocessing.context import BaseContext
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from benchmark import Data, Request, Stored, UserError
from benchmark.cli import main
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.feed import read_all
from benchmark.records import read_record
from tasks.compression.cards import cards
from tests.command import forked

CPU = torch.device("cpu")
NOTHING = 1e-9
"""Gigabytes: no image fits."""


def picture(seed: int, height: int = 60, width: int = 48) -> np.ndarray:
    """A smooth picture [H, W, 3]: one that JPEG keeps."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_tree(folder: Path, train: int = 10, test: int = 4, kind: str = ".png") -> Path:
    for split, count in (("train", train), ("val", test)):
        for number, name in enumerate(("ant", "bee", "cow")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                file = folder / split / name / f"{i:03d}{kind}"
                file.write_bytes(
                    cv2.imencode(kind, picture(1000 * number + 10 * i + (split == "val")))[1].tobytes()
                )
    return folder


def load(name: str, folder: Path, **options) -> Data:
    return cards()[name].load(Request(folder, **options))


def test_from_disk_they_are_the_samples_and_the_content_of_those_in_memory(tmp_path: Path) -> None:
    write_tree(tmp_path / "image_folder")
    (tmp_path / "image_folder" / "train" / "bee" / "004.png").write_bytes(b"no picture")
    said: list[str] = []
    options = {"bad_samples": "skip", "say": said.append}
    memory = load("image_folder", tmp_path, **options)
    disk = load("image_folder", tmp_path, **options, memory_gb=NOTHING, num_workers=2)
    assert said[0] == said[1]
    assert "1 bad samples skipped" in said[0]
    assert not isinstance(memory.train.modalities, Stored)
    assert isinstance(disk.train.modalities, Stored)
    assert memory.fingerprint == disk.fingerprint
    assert memory.classes == disk.classes == ("ant", "bee", "cow")
    for ours, theirs in ((disk.train, memory.train), (disk.test, memory.test)):
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(read_all(ours)["rgb"], read_all(theirs)["rgb"])


@pytest.mark.parametrize("name", ["image_folder", "imagenet"])
def test_the_data_folder_may_be_a_relative_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / name, train=2, test=1)
    absolute = load(name, tmp_path, memory_gb=NOTHING, cache=tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    assert load(name, Path("."), memory_gb=NOTHING, cache=Path("cache")).fingerprint == absolute.fingerprint


def test_the_content_is_that_of_files_and_of_how_they_are_seen(tmp_path: Path) -> None:
    write_tree(tmp_path / "image_folder")
    first = load("image_folder", tmp_path).fingerprint
    assert load("image_folder_64", tmp_path).fingerprint != first
    file = tmp_path / "image_folder" / "val" / "cow" / "000.png"
    file.write_bytes(cv2.imencode(".png", picture(9999))[1].tobytes())
    second = load("image_folder", tmp_path, memory_gb=NOTHING, cache=tmp_path / "cache").fingerprint
    assert second not in (first, "")
    file.rename(file.with_name("100.png"))
    assert load("image_folder", tmp_path, memory_gb=NOTHING, cache=tmp_path / "cache").fingerprint != second


def test_without_bad_samples_to_skip_a_damaged_header_stops_before_anything_trains(tmp_path: Path) -> None:
    write_tree(tmp_path / "image_folder")
    (tmp_path / "image_folder" / "val" / "bee" / "002.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"002\.png: can't be decoded.*--bad-samples skip"):
        load("image_folder", tmp_path, memory_gb=NOTHING)


def test_to_skip_bad_samples_is_to_leave_out_on_disk_what_is_left_out_in_memory(tmp_path: Path) -> None:
    write_tree(tmp_path / "image_folder")
    broken = tmp_path / "image_folder" / "train" / "bee" / "004.png"
    broken.write_bytes(broken.read_bytes()[:60])  # its header is whole
    said: list[str] = []
    options = {"bad_samples": "skip", "say": said.append}
    memory = load("image_folder", tmp_path, **options)
    disk, again = (
        load("image_folder", tmp_path, **options, memory_gb=NOTHING, cache=tmp_path / "cache") for _ in "ab"
    )
    assert len(memory.train) == len(disk.train) == 29
    assert memory.fingerprint == disk.fingerprint == again.fingerprint
    assert torch.equal(memory.train.labels, again.train.labels)
    assert len(said) == 3
    assert {line.count("004.png: can't be decoded") for line in said} == {1}
    whole = load("image_folder", tmp_path, memory_gb=NOTHING, cache=tmp_path / "cache")
    assert len(whole.train) == 30, "what was left out to skip is not left out to stop"
    broken.write_bytes(cv2.imencode(".png", picture(1))[1].tobytes())
    mended = load("image_folder", tmp_path, **options, memory_gb=NOTHING, cache=tmp_path / "cache")
    assert len(mended.train) == 30


def arguments(tmp_path: Path, results: str, *more: str) -> list[str]:
    return [
        *("--data-dir", str(tmp_path), "--results-dir", str(tmp_path / results), "--name", "t"),
        *("--seeds", "0", "--epochs", "2", "--teacher-epochs", "1", "--batch-size", "8", "--no-probes"),
        *("--no-report", *more),
    ]


def command(tmp_path: Path, results: str, *more: str) -> int:
    return main(arguments(tmp_path, results, *more))


def same(results: Path, others: Path) -> None:
    """The same three records, to the byte of what they left."""
    found = sorted((results / "t" / "runs").glob("*/record.json"))
    assert len(found) == 3
    for file in found:
        ours, theirs = (read_record(each) for each in (file, others / file.relative_to(results)))
        assert ours is not None
        assert theirs is not None
        assert (ours.results, ours.files) == (theirs.results, theirs.files)


FOLDER = ("--datasets", "image_folder", "--pairs", "conv2d_8-conv2d_4", "--baselines", "kd", "crd", "mlkd")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_command_whose_images_stay_on_disk_leaves_the_records_of_one_in_memory(
    jobs: int, tmp_path: Path, quick_workers: None
) -> None:
    write_tree(tmp_path / "image_folder", train=20)
    on_disk = ("--memory-gb", str(NOTHING), "--num-workers", "2", "--jobs", str(jobs))
    assert command(tmp_path, "memory", *FOLDER) == 0
    assert command(tmp_path, "disk", *FOLDER, *on_disk) == 0
    same(tmp_path / "disk", tmp_path / "memory")


def test_a_signal_to_the_whole_group_ends_a_step_in_order_and_it_goes_on(
    tmp_path: Path, forks: BaseContext
) -> None:
    write_tree(tmp_path / "image_folder", train=60)
    # Less than the images take, 590 kB, and more than the learners keep: they train together.
    more = (*FOLDER, "--memory-gb", "0.0005", "--num-workers", "2", "--epochs", "8")
    line = arguments(tmp_path, "disk", *more, "--snapshot-minutes", "0")
    told, again = tmp_path / "told", tmp_path / "told again"
    process = forked(forks, told, main, line)
    while process.is_alive() and not (told.exists() and "epoch 2/8" in told.read_text()):
        time.sleep(0.02)
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGTERM)
    process.join(100)
    assert process.exitcode == 143, told.read_text()
    assert "Traceback" not in told.read_text()
    process = forked(forks, again, main, line)
    process.join(100)
    assert process.exitcode == 0, again.read_text()
    assert "epoch 1/8" not in again.read_text(), "it began anew"
    assert "epoch 8/8" in again.read_text()
    assert command(tmp_path, "memory", *FOLDER, "--epochs", "8") == 0
    same(tmp_path / "disk", tmp_path / "memory")


def test_a_picture_that_breaks_off_is_named_when_its_batch_is_due(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(tmp_path / "image_folder", train=20)
    file = tmp_path / "image_folder" / "train" / "ant" / "003.png"
    file.write_bytes(file.read_bytes()[:60])
    assert command(tmp_path, "disk", *FOLDER, "--memory-gb", str(NOTHING), "--num-workers", "2") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "003.png: can't be decoded: mend or remove it" in line


def test_evaluation_sees_the_central_square_and_training_a_crop_that_each_epoch_draws(tmp_path: Path) -> None:
    write_tree(tmp_path / "imagenet", kind=".jpg")
    data = load("imagenet", tmp_path)
    assert data.modalities["rgb"].shape == (3, 224, 224)
    (batch,) = in_order(data, data.test, ["rgb"], CPU)
    file = tmp_path / "imagenet" / "val" / "ant" / "000.jpg"
    image = torch.from_numpy(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
    expected = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])(image).float() / 255
    mean, std = (
        torch.tensor(each)[:, None, None]
        for each in (data.modalities["rgb"].mean, data.modalities["rgb"].std)
    )
    assert torch.allclose(batch["rgb"][0], (expected - mean) / std, atol=1e-4)

    def epoch(number: int, seed: int = 0) -> dict[int, torch.Tensor]:
        everything = torch.ones(len(data.train), dtype=torch.bool)
        stream = TrainStream(replace(data, flip=False), data.train, everything, 10, seed, CPU, ["rgb"])
        batches = list(stream.epoch(number))
        return {int(row): x for each in batches for row, x in zip(each["index"], each["rgb"], strict=True)}

    first, again, second, other = epoch(0), epoch(0), epoch(1), epoch(0, seed=1)
    assert first.keys() == again.keys() == second.keys() == other.keys()
    assert all(torch.equal(first[row], again[row]) for row in first)
    assert not any(torch.equal(first[row], each[row]) for each in (second, other) for row in first)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_pair_of_imagenet_trains_end_to_end(tmp_path: Path) -> None:
    write_tree(tmp_path / "imagenet", train=3, test=1, kind=".jpg")
    pair = ("--datasets", "imagenet", "--pairs", "resnet34-resnet18", "--num-workers", "1")
    assert command(tmp_path, "r", *pair, "--epochs", "1", "--baselines", "kd", "crd") == 0
    for file in (tmp_path / "r" / "t" / "runs").glob("*/record.json"):
        record = read_record(file)
        assert record is not None
        assert record.status == "finished", record.reason
        assert (record.recipe["batch_size"], record.recipe["learning_rate"]) == (8, 0.1)
        assert record.recipe["milestones"] == [0.3, 0.6, 0.9]
