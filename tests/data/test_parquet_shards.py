"""Parquet shards: the same samples from memory and from disk, and what is said of shards that are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmark import Data, Request, Stored, UserError
from benchmark.data import parquet_shards
from benchmark.data.batches import TrainStream
from benchmark.data.feed import read_all
from benchmark.data.parquet_shards import labelled_cells
from tasks.compression.cards import cards
from tests.data.test_image_files import NOTHING, picture
from tests.data.test_tar_shards import jpeg

CPU = torch.device("cpu")


def shard(file: Path, first: int, labels: list, *, plain: bool = False, group: int = 3) -> Path:
    """A shard of pictures of numbers from `first` on, as bytes or as structs of bytes and a path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pictures = [cv2.imencode(".png", picture(first + i))[1].tobytes() for i in range(len(labels))]
    images = pictures if plain else [{"bytes": each, "path": f"{i}.png"} for i, each in enumerate(pictures)]
    table = pa.table({"image": images, "label": labels, "more": ["text"] * len(labels)})
    pq.write_table(table, file, row_group_size=group)
    return file


def write(folder: Path, test: str = "validation", **options: bool) -> Path:
    """Two shards to train on, twenty images of the classes 0, 2, 10 in turn, and one to test on."""
    labels = [(0, 2, 10)[i % 3] for i in range(20)]
    shard(folder / "data" / "train-00000-of-00002.parquet", 0, labels[:8], **options)
    shard(folder / "data" / "train-00001-of-00002.parquet", 8, labels[8:], **options)
    shard(folder / "data" / f"{test}-00000-of-00001.parquet", 100, [0, 2, 10, 0], **options)
    return folder


def load(name: str, folder: Path, **options) -> Data:
    return cards()[name].load(Request(folder, **options))


@pytest.mark.parametrize("plain", [False, True], ids=["structs", "bytes"])
def test_from_disk_they_are_the_samples_of_those_in_memory(plain: bool, tmp_path: Path) -> None:
    write(tmp_path / "image_folder", test="test", plain=plain)
    memory = load("image_folder", tmp_path)
    assert not isinstance(memory.train.modalities, Stored)
    assert memory.classes == ("00000", "00002", "00010")
    expected = [cv2.resize(picture(i), (32, 32), interpolation=cv2.INTER_AREA) for i in range(20)]
    pixels = torch.stack([torch.from_numpy(each[..., ::-1].copy()).permute(2, 0, 1) for each in expected])
    assert torch.equal(memory.train.modalities["rgb"], pixels), "in the order of the rows"
    assert memory.train.labels.tolist() == [i % 3 for i in range(20)]
    for workers in (0, 2):
        disk = load("image_folder", tmp_path, memory_gb=NOTHING, num_workers=workers, cache=tmp_path / "c")
        assert isinstance(disk.train.modalities, Stored)
        assert disk.fingerprint == memory.fingerprint
        for ours, theirs in ((disk.train, memory.train), (disk.test, memory.test)):
            assert torch.equal(ours.labels, theirs.labels)
            assert torch.equal(read_all(ours)["rgb"], read_all(theirs)["rgb"])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_gives_the_batches_of_images_in_memory(workers: int, tmp_path: Path) -> None:
    write(tmp_path / "image_folder", test="test")
    memory = load("image_folder", tmp_path)
    disk = load("image_folder", tmp_path, memory_gb=NOTHING, num_workers=workers)
    every = torch.ones(20, dtype=torch.bool)
    ours, theirs = (
        TrainStream(each, each.train, every, 6, 5, CPU, ["rgb"]).steps(1, first=1) for each in (disk, memory)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.batch["rgb"], other.batch["rgb"])
        assert torch.equal(one.batch["index"], other.batch["index"])


def test_imagenet_takes_them_and_evaluation_reads_each_row_group_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "imagenet")
    read: list[tuple[str, int]] = []
    original = pq.ParquetFile.read_row_group

    def watched(self, group: int, **options):
        read.append((options["columns"][0], group))
        return original(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    data = load("imagenet", tmp_path, cache=tmp_path / "cache")
    assert {column for column, _ in read} == {"image.bytes"}
    looked_at = len(read)
    again = load("imagenet", tmp_path, cache=tmp_path / "cache")
    assert len(read) == looked_at, "what was found is kept"
    assert again.fingerprint == data.fingerprint
    assert data.modalities["rgb"].shape == (3, 224, 224)
    files = cards()["imagenet"].files
    assert files is not None
    assert len(list(files(Request(tmp_path)))) == 3
    read_all(again.train)
    assert len(read) == looked_at + 3 + 4, "it goes through them in their order"


def test_labels_that_are_none_and_images_that_are_none_are_bad_samples(tmp_path: Path) -> None:
    folder = tmp_path / "image_folder"
    file = shard(folder / "train.parquet", 0, [0, 1, -1, None, 0, 1])
    shard(folder / "test.parquet", 9, [0, 1])
    with pytest.raises(UserError, match=r"train\.parquet: the label of row 2 is -1, no whole number from 0"):
        labelled_cells(Request(), "images", [file])
    table = pq.read_table(file).to_pydict()
    table["image"][0] = None
    table["image"][4] = {"bytes": jpeg(0)[:20], "path": ""}
    pq.write_table(pa.table(table), file)
    said: list[str] = []
    options = {"bad_samples": "skip", "say": said.append}
    memory, disk = (load("image_folder", tmp_path, **options, memory_gb=each) for each in (1, NOTHING))
    assert memory.train.labels.tolist() == disk.train.labels.tolist() == [1, 1]
    assert memory.fingerprint == disk.fingerprint
    assert "2 bad samples skipped" in said[0]
    assert "the image of row 0: is empty" in said[1]


def test_a_shard_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    file = shard(tmp_path / "train.parquet", 0, [0, 1])
    first = labelled_cells(Request(), "images", [file])["00000"][0]
    before = first.read()
    shard(file, 5, [0, 1])
    os.utime(file, ns=(1, 1))
    assert first.read() != before


def test_large_row_groups_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    file = shard(tmp_path / "train.parquet", 0, [0, 1])
    labelled_cells(Request(say=said.append), "images", [file])
    assert said == []
    monkeypatch.setattr(parquet_shards, "LARGE_GROUP", 100)
    labelled_cells(Request(say=said.append), "images", [file])
    assert "row_group_size=100" in said[0]


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "pipe", "column", "numbers"])
def test_what_is_no_parquet_file_of_images_is_one_line(damage: str, tmp_path: Path) -> None:
    file = shard(tmp_path / "train.parquet", 0, [0, 1])
    content = {"empty": b"", "text": b"no parquet" * 99, "truncated": file.read_bytes()[:-30]}
    if damage in content:
        file.write_bytes(content[damage])
    elif damage == "pipe":
        file.unlink()
        os.mkfifo(file)
    else:
        images = {"image": [1, 2]} if damage == "numbers" else {"photo": [b"a", b"b"]}
        pq.write_table(pa.table({**images, "label": [0, 1]}), file)
    with pytest.raises(UserError) as caught:
        labelled_cells(Request(bad_samples="skip"), "images", [file])
    assert "train.parquet" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_row_group_costs_its_own_images(tmp_path: Path) -> None:
    file = shard(tmp_path / "train.parquet", 0, [0, 1, 0, 1], group=2)
    cells = labelled_cells(Request(), "images", [file])
    column = next(
        c
        for i in range(9)
        if (c := pq.read_metadata(file).row_group(1).column(i)).path_in_schema == "image.bytes"
    )
    content = bytearray(file.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    file.write_bytes(content)
    whole, damaged = cells["00000"]
    assert whole.read() == cv2.imencode(".png", picture(0))[1].tobytes()
    with pytest.raises(parquet_shards.Unusable, match="row 2: can't be read"):
        damaged.read()
