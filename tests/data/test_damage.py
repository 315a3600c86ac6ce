"""Damaged and hostile data of classification readers: splits taken for classes, labels, sizes, pipes."""

from __future__ import annotations

import io
import os
import pickle
import re
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, STL10

from benchmark import Data, Request, UserError
from benchmark.data import locating, pictures, readers
from benchmark.data.loading import Unusable
from tasks.compression import cards, transfer
from tests.data.test_readers import encoded, plain, write_parquet, write_tree

pytestmark = pytest.mark.timeout(30)
"""A named pipe that is opened after all waits for ever."""


def load(name: str, folder: Path, **options: object) -> Data:
    return cards.cards()[name].load(Request(folder, **options))


def line_of(caught: pytest.ExceptionInfo[UserError]) -> str:
    line = str(caught.value)
    assert line.isprintable(), line
    return line


@pytest.mark.parametrize(
    ("training", "testing"),
    [
        ("train", "validation"),
        ("Train", "Test"),
        ("TRAIN", "val"),
        ("train", "Valid"),
        ("training", "testing"),
        ("Training", "Validation"),
    ],
)
def test_folders_of_splits_are_splits_whatever_they_are_called(
    tmp_path: Path, training: str, testing: str
) -> None:
    write_tree(tmp_path / training, {"cat": 3, "dog": 2})
    write_tree(tmp_path / testing, {"cat": 1, "dog": 1})
    data = load("image_folder", tmp_path)
    assert data.classes == ("cat", "dog")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 0, 0, 1, 1], [0, 1])


def test_a_test_folder_goes_before_a_validation_folder_unless_it_has_no_classes(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", {"cat": 3, "dog": 2})
    write_tree(tmp_path / "val", {"cat": 1, "dog": 1})
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "unlabelled.png").write_bytes(encoded(np.zeros(3, np.uint8)))
    assert len(load("image_folder", tmp_path).test) == 2
    write_tree(tmp_path / "test", {"cat": 2, "dog": 1})
    assert len(load("image_folder", tmp_path).test) == 3


@pytest.mark.parametrize(
    "folders",
    [
        ("train/cat", "train/dog"),
        ("Validation/cat", "Validation/dog"),
        ("train/cat", "train/dog", "extra/cat"),
        ("test/cat", "val/cat"),
        ("train", "test"),
        ("train/cat", "train/dog", "test"),
    ],
    ids=" ".join,
)
def test_half_of_a_pair_of_splits_is_refused_and_no_class(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for folder in folders:
        write_tree(tmp_path, {folder: 6})
    with pytest.raises(UserError, match="train/<class>/") as caught:
        load("image_folder", tmp_path)
    line_of(caught)


def test_two_folders_for_one_split_are_both_named(tmp_path: Path) -> None:
    for folder in ("train/cat", "train/dog", "test/cat", "testing/cat", "data/Train/cat", "data/train/cat"):
        write_tree(tmp_path, {folder: 3})
    with pytest.raises(UserError, match="test and testing are both there"):
        load("image_folder", tmp_path)
    with pytest.raises(UserError, match="Train and train are both there"):
        load("image_folder", tmp_path / "data")


def test_a_test_class_that_the_training_images_lack_is_refused_in_flat_folders_too(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 6, "train2/cat": 6, "test/cat": 6})
    with pytest.raises(UserError, match=r"test has the class 'cat', which .*train lacks"):
        load("image_folder", tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_tree(tmp_path, {"bus": 5, "car": 5, "train": 5})
    assert load("image_folder", tmp_path).classes == ("bus", "car", "train")


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cifar10": 10})
    with pytest.raises(UserError, match="two classes or more"):
        load("image_folder", tmp_path)


WRONG_LABELS = {
    "fraction": ([0.0, 1.0, 1.7], "1.7"),
    "too high": ([0, 1, 10], "10"),
    "negative": ([0, 1, -5], "-5"),
    "null": ([0, 1, None], "nan|None"),
    "text": (["0", "1", "cat\n"], "'0'"),
    "truth": ([False, True, True], "False"),
    "list": ([[0], [1], [2]], r"\[0\]"),
    "infinite": ([0.0, 1.0, float("inf")], "inf"),
}


@pytest.mark.parametrize("wrong", WRONG_LABELS)
def test_a_wrong_label_is_a_bad_sample_with_file_row_and_value(tmp_path: Path, wrong: str) -> None:
    labels, shown = WRONG_LABELS[wrong]
    images, right = plain(12)
    write_parquet(tmp_path / "test.parquet", images, right)
    write_parquet(tmp_path / "train.parquet", images[:3], labels)  # pyright: ignore[reportArgumentType]
    row = 0 if wrong in ("text", "truth", "list") else 2
    with pytest.raises(
        UserError, match=rf"train\.parquet: the label of row {row} is ({shown}), no whole"
    ) as caught:
        load("cifar10", tmp_path)
    assert "--bad-samples skip" in line_of(caught)
    said: list[str] = []
    if row:
        data = load("cifar10", tmp_path, bad_samples="skip", say=said.append)
        assert data.train.labels.tolist() == [0, 1]
        assert len(said) == 1
        assert said[0].startswith("cifar10: 1 bad samples skipped: ")
    else:
        with pytest.raises(UserError, match="no training image that can be used"):
            load("cifar10", tmp_path, bad_samples="skip", say=said.append)


def test_whole_numbers_kept_as_fractions_are_labels(tmp_path: Path) -> None:
    images, labels = plain(12)
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", images, [float(each) for each in labels])  # pyright: ignore
    assert load("cifar10", tmp_path).train.labels.tolist() == labels


def test_skipping_leaves_bad_rows_of_a_table_out_and_counts_them(tmp_path: Path) -> None:
    images, labels = plain(12)
    bad: list[bytes | None] = [*images]
    bad[2], bad[5], bad[7], bad[9] = b"broken", None, encoded(np.zeros(3, np.uint8), 16), images[9][:40]
    write_parquet(tmp_path / "train.parquet", bad, labels)
    write_parquet(tmp_path / "test.parquet", images, labels)
    with pytest.raises(UserError, match=r"train\.parquet: the image of row 2 can't be decoded"):
        load("cifar10", tmp_path)
    said: list[str] = []
    data = load("cifar10", tmp_path, bad_samples="skip", say=said.append)
    assert data.train.labels.tolist() == [each for row, each in enumerate(labels) if row not in (2, 5, 7, 9)]
    assert len(data.test) == 12
    (line,) = said
    assert line.startswith("cifar10: 4 bad samples skipped: ")
    assert line.endswith(" and 1 more")


def test_skipping_leaves_bad_files_of_a_folder_out_and_counts_them(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "cat" / "003.png").write_bytes(b"nothing")
    (tmp_path / "dog" / "001.png").write_bytes(b"")
    (tmp_path / "dog" / "004.png").unlink()
    (tmp_path / "dog" / "004.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"003\.png: can't be decoded.*--bad-samples skip"):
        load("image_folder", tmp_path)
    said: list[str] = []
    data = load("image_folder", tmp_path, bad_samples="skip", say=said.append)
    assert data.train.labels.bincount().tolist() == [7, 7]
    assert data.test.labels.bincount().tolist() == [2, 1]
    (line,) = said
    assert "image_folder: 3 bad samples skipped" in line
    assert "004.png: is a link to nothing" in line


def stating(columns: int, rows: int) -> bytes:
    """A small PNG whose header states another size."""
    content = encoded(np.zeros(3, np.uint8))
    header = b"IHDR" + struct.pack(">II", columns, rows) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def huge_webp() -> bytes:
    """16,000 x 16,000 pixels of one colour in a lossless WebP of a few bytes."""
    header = b"\x2f" + (15999 | 15999 << 14).to_bytes(4, "little") + bytes(20)
    chunk = b"VP8L" + struct.pack("<I", len(header)) + header + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize(
    "content",
    [
        stating(20000, 20000),
        stating(8193, 8192),
        stating(2**31 - 1, 2**31 - 1),
        b"P6 20000 20000 255\n" + bytes(100),
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 154, 0, 54, 40, 20000, 20000, 1, 24, 0, 100, 0, 0, 0, 0),
        huge_webp(),
    ],
    ids=["png", "png a little above", "png at the limit of its format", "ppm", "bmp", "webp"],
)
def test_a_picture_above_the_bound_is_refused_before_it_is_decoded(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*arguments: object) -> None:
        raise AssertionError("decoded")

    write_tree(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "cat" / "000.png").write_bytes(content)
    with pytest.raises(
        UserError, match=r"000\.png: is too large.*67,108,864 pixels are decoded.*skip"
    ) as caught:
        load("image_folder", tmp_path)
    line_of(caught)
    monkeypatch.setattr(cv2, "imdecode", decoded)
    with pytest.raises(Unusable, match="is too large"):
        pictures.decode_picture("picture", content)
    with pytest.raises(AssertionError, match="decoded"):
        pictures.decode_picture("picture", stating(8192, 8192))


def test_of_an_animated_png_only_the_first_frame_reaches_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV 5 frees memory twice over some damaged animations: no exception, the process ends."""
    first, second = (Image.new("RGB", (40, 33), colour) for colour in ((200, 10, 20), (0, 0, 0)))
    stream = io.BytesIO()
    first.save(stream, "PNG", save_all=True, append_images=[second])
    content, seen = stream.getvalue(), []
    decode = cv2.imdecode
    assert b"acTL" in content

    def spied(encoded: np.ndarray, flags: int) -> np.ndarray:
        seen.append(encoded.tobytes())
        return decode(encoded, flags)

    monkeypatch.setattr(cv2, "imdecode", spied)
    assert pictures.decode_picture("picture", content)[5, 5].tolist() == [20, 10, 200]
    damaged = content.replace(b"fcTL", b"fcTL\x01\x02", 1)[: len(content)]
    with pytest.raises(Unusable):
        pictures.decode_picture("picture", damaged)
    assert not [each for each in seen if any(name in each for name in (b"acTL", b"fcTL", b"fdAT"))]


@pytest.mark.parametrize("kind", ["GIF", "ICO", "JPEG2000"])
def test_kinds_that_no_dataset_comes_in_never_reach_the_decoder(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, kind)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(Unusable, match="can't be decoded"):
        pictures.decode_picture("picture", stream.getvalue())


@pytest.mark.parametrize("length", [0x80000005, 0x7FFFFFFF, 200])
def test_a_chunk_that_is_longer_than_its_file_takes_no_memory(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(np.zeros(3, np.uint8))
    place = content.index(b"IDAT") - 4
    content = content[:place] + struct.pack(">I", length) + content[place + 4 :]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(Unusable, match="can't be decoded"):
        pictures.decode_picture("picture", content)


def test_an_oversized_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    with file.open("wb") as stream:
        stream.write(encoded(np.zeros(3, np.uint8)))
        stream.truncate(2**40)
    with pytest.raises(Unusable, match="is too large, 1,099,511,627,776 bytes"):
        pictures.read_picture(file)


def test_decoding_in_threads_is_the_same_as_one_by_one(tmp_path: Path) -> None:
    content = [encoded(colour) for colour in np.arange(60, dtype=np.uint8).reshape(20, 3)]
    together = list(pictures.in_threads(lambda each: pictures.decode_picture("", each), content))
    for each, one in zip(content, together, strict=True):
        assert isinstance(one, np.ndarray)
        assert np.array_equal(one, pictures.decode_picture("", each))


def make_pipe(file: Path) -> None:
    os.mkfifo(file)


def make_folder(file: Path) -> None:
    file.mkdir()


def make_socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # a socket's path has room for a hundred letters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


def make_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def make_broken_link(file: Path) -> None:
    file.symlink_to(file.parent / "gone")


IRREGULAR: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (make_pipe, "is a named pipe"),
    "folder": (make_folder, "is a folder"),
    "socket": (make_socket, "is a socket"),
    "device": (make_device, "is a device"),
    "broken link": (make_broken_link, "is a link to nothing"),
}


@pytest.mark.parametrize("kind", IRREGULAR)
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    make, words = IRREGULAR[kind]
    write_parquet(tmp_path / "test.parquet", *plain(12))
    make(tmp_path / "train.parquet")
    with pytest.raises(UserError, match=rf"train\.parquet {words}"):
        load("cifar10", tmp_path)
    pickles = tmp_path / "pickles" / CIFAR10.base_folder
    pickles.mkdir(parents=True)
    make(pickles / "data_batch_2")
    with pytest.raises(UserError, match=f"data_batch_2 {words}"):
        load("cifar10", tmp_path / "pickles")
    (tmp_path / "archive" / "cifar10").mkdir(parents=True)
    make(tmp_path / "archive" / "cifar10" / CIFAR10.filename)
    with pytest.raises(UserError, match=f"{CIFAR10.filename} {words}"):
        load("cifar10", tmp_path / "archive", download=True)
    stl10 = tmp_path / "stl" / STL10.base_folder
    stl10.mkdir(parents=True)
    make(stl10 / STL10.train_list[0][0])
    with pytest.raises(UserError, match=f"{STL10.train_list[0][0]} {words}"):
        transfer._stl10(Request(tmp_path / "stl"))
    write_tree(tmp_path / "tree", {"cat": 10, "dog": 10})
    (tmp_path / "tree" / "cat" / "002.png").unlink()
    make(tmp_path / "tree" / "cat" / "002.png")
    if kind == "folder":
        assert len(load("image_folder", tmp_path / "tree").train) == 16
    else:
        with pytest.raises(UserError, match=rf"002\.png: {words}"):
            load("image_folder", tmp_path / "tree")


def test_what_only_looks_like_a_folder_to_download_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar10").write_bytes(b"")
    with pytest.raises(UserError, match="cifar10 can't be made"):
        load("cifar10", tmp_path, download=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "cat" / "002.png").chmod(0)
    with pytest.raises(UserError, match=r"002\.png: can't be read"):
        load("image_folder", tmp_path)


def test_names_that_would_break_a_line_are_escaped(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "cat" / "a\nb.png").write_bytes(b"")
    (tmp_path / os.fsdecode(b"dog/\xff.png")).write_bytes(b"")
    said: list[str] = []
    with pytest.raises(UserError, match=re.escape(r"a\nb.png")) as caught:
        load("image_folder", tmp_path)
    line_of(caught)
    load("image_folder", tmp_path, bad_samples="skip", say=said.append)
    assert len(said) == 1
    assert said[0].isprintable()


class Intruder:
    """What leaves a trace where it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.trace,)


def test_no_pickle_is_loaded_whose_checksum_is_not_the_published_one(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()
    content = pickle.dumps(Intruder(trace))
    pickle.loads(content)
    assert trace.exists()  # it would show
    trace.unlink()
    for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list):
        (base / name).write_bytes(content)
    (base / str(CIFAR10.meta["filename"])).write_bytes(content)
    with pytest.raises(UserError, match="checksum is not the published one"):
        load("cifar10", tmp_path)
    assert not trace.exists()


def test_no_pickle_is_loaded_from_the_types_of_a_parquet_file(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    images, labels = plain(12)
    hidden = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Intruder(trace)),
    }
    fields = [
        pa.field("img", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("label", pa.int64(), metadata=hidden),
    ]
    rows = [{"bytes": each, "path": "../../escape.png"} for each in images]
    table = pa.table([pa.array(rows, fields[0].type), pa.array(labels)], schema=pa.schema(fields))
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert load("cifar10", tmp_path).train.labels.tolist() == labels
    assert not trace.exists()


def test_no_reader_asks_a_library_to_load_pickles() -> None:
    root = Path(locating.__file__).parents[2]
    sources = [*(root / "benchmark" / "data").rglob("*.py"), *(root / "tasks").rglob("*.py")]
    assert len(sources) > 30
    forbidden = re.compile(
        r"allow_pickle=True|pickle\.loads?\(|torch\.load\(|read_pickle\(|joblib|eval\(|shelve"
    )
    found = [f"{file}: {match[0]}" for file in sources for match in forbidden.finditer(file.read_text())]
    assert found == []


def test_an_image_column_without_bytes_is_refused(tmp_path: Path) -> None:
    for kind in (pa.string(), pa.int64()):
        rows = pa.array([{"bytes": None}], pa.struct([("bytes", kind)]))
        pq.write_table(pa.table({"img": rows, "label": [1]}), tmp_path / "train.parquet")
        with pytest.raises(UserError, match="structs with a binary field 'bytes'"):
            readers.read_parquet([tmp_path / "train.parquet"], ("label",), 10, (32, 32), lambda *_: None)
