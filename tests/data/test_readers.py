"""Readers: the layouts that users have, and what is said when they are damaged."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.datasets import CIFAR10

from benchmark import Request, Samples, UserError
from benchmark.contracts.data import BadSamples
from benchmark.data import image_files, locating, readers
from benchmark.data.feed import read_all
from benchmark.data.loading import LeftOut

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 3), dtype=np.uint8)


def encoded(colour: np.ndarray, size: int = 32, kind: str = ".png") -> bytes:
    """A plain image of one RGB colour."""
    return cv2.imencode(kind, np.full((size, size, 3), colour[::-1], np.uint8))[1].tobytes()


def write_parquet(
    file: Path,
    images: list[bytes | None],
    labels: list[int],
    image_column: str = "img",
    label_column: str = "label",
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": image, "path": None} for image in images]
    pq.write_table(pa.table({image_column: rows, label_column: labels}), file)


def left_out(policy: BadSamples = "stop", said: list[str] | None = None) -> LeftOut:
    return LeftOut(Request(bad_samples=policy, say=[].append if said is None else said.append), "pictures")


def read(*files: Path, columns: tuple[str, ...] = ("label",), bad: LeftOut | None = None) -> readers.Table:
    report = (bad or left_out()).report
    return readers.read_parquet(files, columns, 10, (32, 32), report)


def plain(count: int) -> tuple[list[bytes], list[int]]:
    return [encoded(COLOURS[i]) for i in range(count)], [i % 3 for i in range(count)]


@pytest.mark.parametrize("place", [".", "data", "plain_text"])
def test_parquet_is_read_in_one_file_and_in_shards(tmp_path: Path, place: str) -> None:
    images, labels = plain(12)
    folder = tmp_path / place
    if place == ".":
        write_parquet(folder / "train.parquet", images, labels)
    else:
        write_parquet(folder / "train-00000-of-00002.parquet", images[:7], labels[:7], "image", "fine_label")
        write_parquet(folder / "train-00001-of-00002.parquet", images[7:], labels[7:], "image", "fine_label")
    files = locating.split_files(tmp_path, "train")
    pixels, found = read(*files, columns=("label", "fine_label"))
    assert found.tolist() == labels
    assert pixels.shape == (12, 3, 32, 32)
    assert pixels[:, :, 5, 5].equal(torch.from_numpy(COLOURS))


@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["train-00000-of-00002"], "train-* are 1 of 2 shards: fetch the others"),
        (["train-00000-of-00001", "train"], "train{} and train-00000-of-00001{} are both there"),
        (["train-0", "train"], "train{} and train-0{} are both there"),
        (["train-0-of-1", "train-0-of-2", "train-1-of-2"], "train-* are shards of more than one set"),
        (["train-0-of-1-a1", "train-0-of-1-b2"], "train-* are shards of more than one set"),
        (["train-0-of-2-a1", "train-1-of-2-b2", "test-0-of-9"], ""),
        (["train-0", "train-7", "train-more-0-of-1", "train-0-of-1"], ""),
        (["train"], ""),
    ],
)
def test_a_split_is_neither_read_twice_nor_in_part(
    tmp_path: Path, suffix: str, names: list[str], problem: str
) -> None:
    for name in names:
        (tmp_path / f"{name}{suffix}").touch()
    if not problem:
        expected = sorted(f"{name}{suffix}" for name in names if name.startswith("train"))
        assert [each.name for each in locating.split_files(tmp_path, "train", suffix)] == expected
    else:
        with pytest.raises(UserError, match=re.escape(problem.format(suffix, suffix))):
            locating.split_files(tmp_path, "train", suffix)


def test_a_truncated_parquet_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    write_parquet(file, *plain(12))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"train\.parquet is truncated"):
        read(file)


@pytest.mark.parametrize("bad", [b"no image", b"", None])
def test_an_image_that_cannot_be_decoded_is_named_by_row(tmp_path: Path, bad: bytes | None) -> None:
    images, labels = plain(12)
    write_parquet(tmp_path / "train.parquet", [*images[:4], bad, *images[5:]], labels)
    with pytest.raises(UserError, match=r"train\.parquet: the image of row 4 can't be decoded"):
        read(tmp_path / "train.parquet")


def test_an_image_of_another_size_is_named_by_row(tmp_path: Path) -> None:
    images, labels = plain(12)
    write_parquet(tmp_path / "train.parquet", [*images[:9], encoded(COLOURS[9], 16), *images[10:]], labels)
    with pytest.raises(UserError, match="the image of row 9 is 16 x 16 pixels, not 32 x 32"):
        read(tmp_path / "train.parquet")


def test_a_missing_column_is_named_with_those_there(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", *plain(3), label_column="coarse_label")
    with pytest.raises(UserError, match=r"no column label; its columns: img, coarse_label"):
        read(tmp_path / "train.parquet")


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR-10 of 12 images in torchvision's pickles; torchvision's checksums can't hold for them."""
    monkeypatch.setattr(
        CIFAR10, "_check_integrity", lambda self: (Path(self.root) / self.base_folder).is_dir()
    )
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    base = folder / CIFAR10.base_folder
    base.mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    names = [name for name, _ in CIFAR10.train_list]
    for number, name in enumerate([*names, "test_batch"]):
        rows = pixels[2 * number : 2 * number + 2]
        (base / name).write_bytes(pickle.dumps({"data": rows.reshape(2, -1), "labels": [number % 10, 1]}))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return pixels


def test_torchvision_pickles_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = write_cifar10(tmp_path, monkeypatch)
    train, test = readers.read_pickled_cifar(tmp_path, CIFAR10, download=False)
    assert train[0].equal(torch.from_numpy(pixels[:10]))
    assert test[0].equal(torch.from_numpy(pixels[10:]))
    assert train[1].tolist() == [0, 1, 1, 1, 2, 1, 3, 1, 4, 1]


def test_a_damaged_pickle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    (tmp_path / CIFAR10.base_folder / "data_batch_3").write_bytes(b"\x80")
    with pytest.raises(UserError, match="CIFAR10 is damaged"):
        readers.read_pickled_cifar(tmp_path, CIFAR10, download=False)


def test_a_folder_without_pickles_holds_none(tmp_path: Path) -> None:
    assert readers.read_pickled_cifar(tmp_path, CIFAR10, download=False) is None


def write_tree(folder: Path, counts: dict[str, int]) -> None:
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i:03d}.png").write_bytes(encoded(COLOURS[number], 40))


def read_class_folders(folder: Path, size: int) -> tuple[readers.Table, readers.Table, tuple[str, ...]]:
    found = locating.class_folders(folder, locating.IMAGE_SUFFIXES, nested=True)
    assert found is not None
    train, test, classes, _ = image_files.read_by_class(Request(), "images", found, size)
    tables = [(read_all(each)["rgb"], each.labels) for each in (train, test)]
    return tables[0], tables[1], classes


def test_class_folders_with_a_test_folder(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", {"cat": 4, "dog": 3})
    write_tree(tmp_path / "val", {"cat": 2, "dog": 1})
    (images, labels), (_, tested), classes = read_class_folders(tmp_path, 32)
    assert classes == ("cat", "dog")
    assert labels.tolist() == [0] * 4 + [1] * 3
    assert tested.tolist() == [0, 0, 1]
    assert images.shape == (7, 3, 32, 32)
    assert images[5, :, 3, 3].equal(torch.from_numpy(COLOURS[1]))


def test_class_folders_alone_give_every_fifth_image_to_the_test_split(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 10, "dog": 5})
    (_, labels), (_, tested), _ = read_class_folders(tmp_path, 16)
    assert torch.bincount(labels).tolist() == [8, 4]
    assert torch.bincount(tested).tolist() == [2, 1]


def test_files_below_a_class_have_the_order_of_paths(tmp_path: Path) -> None:
    names = (
        "a/2.png",
        "a/b/1.PNG",
        "a.x/3.png",
        "a-b.png",
        ".hidden/4.png",
        "a/.5.png",
        "a/6.txt",
        "z.png/7.png",
    )
    for name in names:
        file = tmp_path / "cat" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "cat" / "lost.png").symlink_to("nothing")
    (tmp_path / "cat" / "loop.png").symlink_to(tmp_path / "cat")
    for i in range(5):
        (tmp_path / "cat" / f"y{i}.png").touch()
    found = locating.class_folders(tmp_path, locating.IMAGE_SUFFIXES, nested=True)
    assert found is not None
    listed = sorted([*found[0]["cat"], *found[1]["cat"]])
    assert [str(each.relative_to(tmp_path / "cat")) for each in listed] == [
        ".hidden/4.png", "a/2.png", "a/b/1.PNG", "a-b.png", "a.x/3.png", "lost.png",
        *(f"y{i}.png" for i in range(5)), "z.png/7.png",
    ]  # fmt: skip
    assert found[1]["cat"] == listed[4::5]


def test_a_class_that_only_the_test_folder_has_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", {"cat": 2})
    write_tree(tmp_path / "test", {"cat": 1, "emu": 1})
    with pytest.raises(UserError, match="'emu'"):
        read_class_folders(tmp_path, 32)


def test_an_undecodable_file_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 10})
    (tmp_path / "cat" / "003.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"003\.png: can't be decoded"):
        read_class_folders(tmp_path, 32)


def test_the_fingerprint_changes_with_any_pixel_label_and_shape() -> None:
    images, labels = torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4)

    def of(images: torch.Tensor, labels: torch.Tensor) -> str:
        return readers.fingerprint({"train": Samples({"rgb": images}, labels)})

    changed = images.clone()
    changed[3, 2, 1, 1] = 1
    assert (
        len(
            {
                of(images, labels),
                of(changed, labels),
                of(images, labels.flip(0)),
                of(images.view(4, 3, 4, 1), labels),
            }
        )
        == 4
    )
    assert of(images, labels) == of(images.clone(), labels.clone())
