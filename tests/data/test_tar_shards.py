"""Tar shards: every image with its label, wherever it lies, and what is said of shards that are damaged."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import Data, Request, Stored, UserError
from benchmark.data.feed import read_all
from benchmark.data.tar_shards import labelled_members
from tasks.compression.cards import cards
from tests.data.test_image_files import picture


def jpeg(seed: int) -> bytes:
    return cv2.imencode(".jpg", picture(seed))[1].tobytes()


def shard(file: Path, content: Mapping[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file


def write(folder: Path, labels: tuple[int, ...] = (0, 2, 10, 2)) -> None:
    """Two shards to train on and one to test on, with an entry that is neither image nor label."""
    number = 0
    for name, count in (("train-000000", 3), ("train-000001", 4), ("val-000000", 2)):
        content: dict[str, bytes] = {}
        for _ in range(count):
            for label in labels:
                content |= {f"{number:06d}.jpg": jpeg(number), f"{number:06d}.cls": f"{label}\n".encode()}
                content[f"{number:06d}.json"] = b"{}"
                number += 1
        shard(folder / "imagenet" / f"{name}.tar", content)


def load(folder: Path, **options) -> Data:
    return cards()["imagenet"].load(Request(folder, **options))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_is_there_with_its_label_in_the_order_of_the_numbers(
    workers: int, tmp_path: Path
) -> None:
    write(tmp_path)
    data = load(tmp_path, num_workers=workers, cache=tmp_path / "cache")
    assert data.classes == ("00000", "00002", "00010")
    assert (len(data.train), len(data.test)) == (28, 8)
    assert isinstance(data.train.modalities, Stored)
    assert data.train.labels.bincount().tolist() == [7, 14, 7]
    assert cards()["imagenet"].files is not None
    assert len(list(cards()["imagenet"].files(Request(tmp_path)))) == 3
    # Sample number 4 of the first shard has the second label of four.
    seen = read_all(data.train)["rgb"]
    image = torch.from_numpy(
        cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg(5), np.uint8), 1), cv2.COLOR_BGR2RGB)
    )
    centre = image.permute(2, 0, 1).float().mean((1, 2))
    nearest = (seen.float().mean((2, 3)) - centre).abs().sum(1).argmin()
    assert data.train.labels[nearest] == 1
    again = load(tmp_path, cache=tmp_path / "cache")
    assert again.fingerprint == data.fingerprint
    assert torch.equal(read_all(again.test)["rgb"], read_all(data.test)["rgb"])


def test_shards_may_lie_in_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert len(load(Path(), cache=Path("cache")).train) == 28


def test_another_image_is_another_content(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", labels=(0, 2, 10, 10))
    assert load(tmp_path / "a").fingerprint != load(tmp_path / "b").fingerprint


def test_images_without_labels_and_labels_without_images_are_bad_samples(tmp_path: Path) -> None:
    file = shard(
        tmp_path / "train.tar",
        {"a.jpg": jpeg(0), "b.cls": b"1", "c.jpg": jpeg(1), "c.cls": b"x", "d.jpg": jpeg(2), "d.cls": b"3"},
    )
    with pytest.raises(UserError, match=r"train\.tar: a: has no label"):
        labelled_members(Request(), "images", [file])
    said: list[str] = []
    found = labelled_members(Request(bad_samples="skip", say=said.append), "images", [file])
    assert {name: [member.key for member in each] for name, each in found.items()} == {"00003": ["d"]}
    assert "images: 3 bad samples skipped" in said[0]


@pytest.mark.parametrize(
    "damage",
    [b"", b"no tar file" * 100, "pipe", "folder", "gzip"],
    ids=["empty", "text", "pipe", "folder", "gzip"],
)
def test_what_is_no_tar_file_is_one_line(damage: bytes | str, tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "imagenet" / "train-000001.tar"
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage == "pipe":
        os.mkfifo(file)
    elif damage == "gzip":
        file.write_bytes(gzip.compress(content))
    else:
        file.write_bytes(damage)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert "train-000001.tar" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_shard_that_breaks_off_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "imagenet" / "train-000001.tar"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"train-000001\.tar"):
        load(tmp_path)


def flipped(content: bytes, header: int) -> bytes:
    return content[: header + 3] + bytes([content[header + 3] ^ 1]) + content[header + 4 :]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda content, header: content[:header],
        lambda content, header: content[: header + 100],
        lambda content, header: content[:header] + bytes(tarfile.BLOCKSIZE) + content[header + 512 :],
        lambda content, header: content + content,
    ],
    ids=["one bit of a header", "cut before a header", "cut within one", "zeros for a header", "two in one"],
)
def test_a_shard_of_which_a_part_would_not_be_seen_is_damaged(
    damage: Callable[[bytes, int], bytes], tmp_path: Path
) -> None:
    write(tmp_path)
    file = tmp_path / "imagenet" / "train-000001.tar"
    with tarfile.open(file) as archive:
        header = archive.getmembers()[20].offset
    file.write_bytes(damage(file.read_bytes(), header))
    for policy in ("stop", "skip"):
        with pytest.raises(UserError, match=r"train-000001\.tar is damaged, .* at byte \d+"):
            load(tmp_path, bad_samples=policy)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30_000), st.binary(min_size=1, max_size=600))
def test_any_damage_is_an_error_of_one_line_or_a_sample_less(
    tmp_path_factory: pytest.TempPathFactory, place: int, bytes_: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = {f"{i}.jpg": jpeg(i) for i in range(4)} | {f"{i}.cls": str(i % 2).encode() for i in range(4)}
    file = shard(folder / "train.tar", content)
    whole = bytearray(file.read_bytes())
    place %= len(whole)
    whole[place : place + len(bytes_)] = bytes_
    file.write_bytes(whole)
    told, count = "", 0
    try:
        found = labelled_members(Request(bad_samples="skip", say=lambda line: None), "images", [file])
        count = sum(map(len, found.values()))
    except UserError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
    assert count <= 4
