"""Folders of colour and depth images: labels, splits, units of depth, and what is said of bad files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark import Data, Request, Stored, UserError
from benchmark.contracts import IGNORE
from benchmark.data.batches import TrainStream
from benchmark.data.feed import read_all
from tasks.cross_modal import cards, rgbd_folder
from tests.data.test_image_files import command, same

NAMES = [f"{number:03d}" for number in range(10)]


def write_pair(folder: Path, name: str, number: int, colour: str = "color", size: int = 96) -> None:
    """A plain colour of red 20 `number`, and depth of 1000 + 100 `number` with a hole of a quarter."""
    for each in (colour, "depth"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    image = np.zeros((size, size, 3), np.uint8)
    image[..., 2] = 20 * number
    depth = np.full((size, size), 1000 + 100 * number, np.uint16)
    depth[: size // 2, : size // 2] = 0
    cv2.imwrite(str(folder / colour / f"{name}.png"), image)
    cv2.imwrite(str(folder / "depth" / f"{name}.png"), depth)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pairs without labels."""
    for number, name in enumerate(NAMES):
        write_pair(tmp_path / "rgbd_folder", name, number)
    return tmp_path / "rgbd_folder"


def load(folder: Path, name: str = "rgbd_folder", **options: object) -> Data:
    return cards.cards()[name].load(Request(folder, **options))


def numbers(data: Data, split: str) -> list[int]:
    """Which pairs of the fixture a split has, told by their colour."""
    samples = data.train if split == "train" else data.test
    return (samples.modalities["rgb"][:, 0, 0, 0] // 20).tolist()


@pytest.mark.parametrize(("name", "size"), cards.FOLDER_SIZES.items())
def test_pairs_without_labels_are_read_at_either_size(folder: Path, name: str, size: tuple[int, int]) -> None:
    data = load(folder.parent, name)
    assert (numbers(data, "train"), numbers(data, "test")) == ([0, 1, 2, 3, 5, 6, 7, 8], [4, 9])
    assert data.classes == ()
    assert data.train.labels.unique().tolist() == [IGNORE]
    rgb, depth = data.train.modalities["rgb"], data.train.modalities["depth"]
    assert (rgb.dtype, depth.dtype) == (torch.uint8, torch.int16)
    assert (*rgb.shape[1:], *depth.shape[1:]) == (3, *size, 1, *size)
    assert depth[5].unique().tolist() == [0, 1600]
    assert depth[5, 0, : size[0] // 2, : size[1] // 2].unique().tolist() == [0]


@pytest.mark.parametrize("colour", ["rgb", "image", "colour"])
def test_the_colour_folder_may_have_other_names_and_lie_in_the_data_folder_itself(
    tmp_path: Path, colour: str
) -> None:
    for number in range(5):
        write_pair(tmp_path, f"frame.{number}", number, colour)
    assert len(load(tmp_path).test) == 1


def test_a_table_gives_labels_splits_and_groups(folder: Path) -> None:
    lines = [
        f"{name}.png,{'ab'[i % 2]},{'test' if i > 5 else 'train'},g{i // 2}" for i, name in enumerate(NAMES)
    ]
    (folder / "labels.csv").write_text("\n".join(["file,label,split,group", *lines]))
    data = load(folder)
    assert data.classes == ("a", "b")
    assert (numbers(data, "test"), data.test.labels.tolist()) == ([6, 7, 8, 9], [0, 1, 0, 1])
    assert data.train.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.test.groups.tolist() == [3, 3, 4, 4]


def test_a_file_that_the_table_leaves_out_is_unlabelled_and_trains(folder: Path) -> None:
    lines = [f"{name},a" for name in NAMES[:5]]
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
    data = load(folder)
    assert numbers(data, "test") == [4]
    assert data.train.labels.tolist() == [0, 0, 0, 0, *[IGNORE] * 5]


def test_groups_are_not_torn_where_the_table_has_no_split(folder: Path) -> None:
    lines = [f"{name},a,room {i // 2}" for i, name in enumerate(NAMES)]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *lines]))
    assert numbers(load(folder), "test") == [8, 9]


def test_unlabelled_frames_of_a_tested_group_are_in_neither_split(folder: Path) -> None:
    rows = [f"{name},{'' if i % 2 else 'a'},room {i // 2}" for i, name in enumerate(NAMES)]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *rows]))
    for options in ({}, {"memory_gb": NOTHING, "cache": folder / "cache"}):
        data = load(folder.parent, **options)
        assert data.test.labels.tolist() == [0]
        assert data.test.groups.tolist() == [4]
        assert data.train.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert data.train.labels.tolist() == [0, IGNORE] * 4


@pytest.mark.parametrize(("label", "tested"), [("a", [8]), ("", [8, 9])])
def test_what_a_table_wants_tested_needs_a_label_where_others_have_one(
    folder: Path, label: str, tested: list[int]
) -> None:
    rows = [f"{name},a,train" for name in NAMES[:8]] + [f"008,{label},test", "009,,test"]
    (folder / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    data = load(folder)
    assert (numbers(data, "train"), numbers(data, "test")) == ([*range(8)], tested)


def test_a_list_of_classes_fixes_their_order_and_needs_no_table(folder: Path) -> None:
    (folder / "classes.txt").write_text("kitchen\nbedroom\n\n")
    assert load(folder).classes == ("kitchen", "bedroom")
    (folder / "labels.csv").write_text("\n".join(["file,label", *(f"{name},bedroom" for name in NAMES)]))
    assert load(folder).train.labels.unique().tolist() == [1]


@pytest.mark.parametrize(
    ("unit", "expected"), [("1000", 1600), ("2000", 800), (" 100\n", 16000), ("48", 32767)]
)
def test_the_unit_of_depth_is_read_from_its_file(folder: Path, unit: str, expected: int) -> None:
    (folder / "depth_scale.txt").write_text(unit)
    assert load(folder).train.modalities["depth"][5].max() == expected


def test_relative_depth_is_scaled_by_the_training_images(folder: Path) -> None:
    (folder / "depth_scale.txt").write_text("relative")
    data = load(folder)
    # The deepest training image has 1800 units, more than a hundredth of all pixels.
    assert data.train.modalities["depth"].max() == 1000 * rgbd_folder.RELATIVE_REACH
    assert data.train.modalities["depth"][0].max() == round(8000 * 1000 / 1800)


@pytest.mark.parametrize("unit", ["millimetres", "0", "-1", "nan", "inf", ""])
def test_a_unit_that_is_none_is_an_error(folder: Path, unit: str) -> None:
    (folder / "depth_scale.txt").write_text(unit)
    with pytest.raises(UserError, match=r"depth_scale\.txt holds"):
        load(folder)


@pytest.mark.parametrize(("unit", "median"), [("0.001", "1.4e+06"), ("1e6", "0.0014"), ("1e-320", "inf")])
def test_a_unit_by_which_the_scenes_are_none_is_an_error(folder: Path, unit: str, median: str) -> None:
    (folder / "depth_scale.txt").write_text(unit)
    with pytest.raises(UserError) as caught:
        load(folder)
    assert f"depth_scale.txt holds {unit}, by which the median depth is {median} m" in str(caught.value)


def test_depth_that_can_hardly_be_millimetres_is_said(folder: Path) -> None:
    lines: list[str] = []
    load(folder, say=lines.append)
    assert lines == []
    for name in NAMES:
        cv2.imwrite(str(folder / "depth" / f"{name}.png"), np.full((96, 96), 60000, np.uint16))
    load(folder, say=lines.append)
    assert len(lines) == 1
    assert "depth_scale.txt" in lines[0]


def damage(folder: Path, kind: str) -> str:
    """Spoils pair 003; the file that the message must name."""
    colour, depth = folder / "color" / "003.png", folder / "depth" / "003.png"
    if kind == "no depth":
        depth.unlink()
    elif kind == "no colour":
        colour.unlink()
        return str(colour)
    elif kind == "truncated":
        colour.write_bytes(colour.read_bytes()[:60])
        return str(colour)
    elif kind == "empty":
        depth.write_bytes(b"")
    elif kind == "zero":
        cv2.imwrite(str(depth), np.zeros((96, 96), np.uint16))
    elif kind == "8 bits":
        cv2.imwrite(str(depth), np.full((96, 96), 9, np.uint8))
    elif kind == "other size":
        cv2.imwrite(str(depth), np.full((48, 96), 9, np.uint16))
    elif kind == "unknown label":
        (folder / "classes.txt").write_text("a\n")
        lines = [f"{name},{'b' if name == '003' else 'a'}" for name in NAMES]
        (folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
        return "label 'b' of 003"
    return str(depth)


KINDS = ["no depth", "no colour", "truncated", "empty", "zero", "8 bits", "other size", "unknown label"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_pair_is_named_and_left_out_only_where_that_is_asked_for(folder: Path, kind: str) -> None:
    culprit = damage(folder, kind)
    with pytest.raises(UserError) as caught:
        load(folder)
    assert culprit in str(caught.value)
    lines: list[str] = []
    data = load(folder, bad_samples="skip", say=lines.append)
    assert (numbers(data, "train"), numbers(data, "test")) == ([0, 1, 2, 5, 6, 7, 8], [4, 9])
    assert len(lines) == 1
    assert "1 bad samples skipped" in lines[0]
    assert culprit in lines[0]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("name,label\n000,a", "no column 'file'"),
        ("", "no column 'file'"),
        ("file,label\n000,a\n000.png,b", "line 3: 000 is there twice"),
        ("file,label,split\n000,a,validation", "line 2: the split is 'validation'"),
        ("file,label\n,a", "line 2: name a file"),
        (
            "file,label,split,group\n000,a,train,attic\n001,a,test,attic",
            "the group 'attic' is in train and in test",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_its_line(folder: Path, table: str, problem: str) -> None:
    (folder / "labels.csv").write_text(table)
    with pytest.raises(UserError, match=rf"labels\.csv.*{problem}"):
        load(folder)


def test_a_row_without_files_is_a_bad_sample(folder: Path) -> None:
    (folder / "labels.csv").write_text("file,label\n000,a\nghost,a")
    with pytest.raises(UserError, match=r"ghost\.png: is missing"):
        load(folder)


def test_too_few_pairs_for_two_splits_are_an_error(tmp_path: Path) -> None:
    for number in range(3):
        write_pair(tmp_path, str(number), number)
    with pytest.raises(UserError, match="3 training and 0 test samples"):
        load(tmp_path)


def test_a_folder_without_both_modalities_is_told_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "color").mkdir()
    with pytest.raises(UserError, match=r"rgbd_folder/color/NAME\.png"):
        load(tmp_path)
    (tmp_path / "depth").mkdir()
    with pytest.raises(UserError, match="color holds no image"):
        load(tmp_path)


def test_a_changed_table_is_seen_through_the_cache(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.txt").write_text("a\nb\n")
    for label in "ab":
        (folder / "labels.csv").write_text("\n".join(["file,label", *(f"{name},{label}" for name in NAMES)]))
        data = load(folder, cache=tmp_path / "cache")
        assert data.train.labels.unique().tolist() == ["ab".index(label)]
    assert load(folder, cache=tmp_path / "cache").fingerprint == data.fingerprint == load(folder).fingerprint


NOTHING = 1e-9
"""Gigabytes: no pair fits."""


def write_labels(folder: Path) -> None:
    lines = [f"{name},{'ab'[i % 2]},room {i // 2}" for i, name in enumerate(NAMES)]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *lines]))


@pytest.mark.parametrize("unit", [None, "relative", "2000"])
def test_pairs_on_disk_are_those_in_memory(folder: Path, unit: str | None) -> None:
    write_labels(folder)
    cv2.imwrite(str(folder / "depth" / "003.png"), np.full((96, 96), 60000, np.uint16))
    if unit is not None:
        (folder / "depth_scale.txt").write_text(unit)
    memory = load(folder.parent)
    disk, again = (load(folder.parent, memory_gb=NOTHING, cache=folder / "cache") for _ in "ab")
    assert isinstance(disk.train.modalities, Stored)
    assert disk.fingerprint == again.fingerprint == memory.fingerprint
    assert disk.classes == memory.classes
    assert disk.modalities == memory.modalities
    for ours, theirs in ((disk.train, memory.train), (again.test, memory.test)):
        read = read_all(ours)
        assert all(torch.equal(read[name], theirs.modalities[name]) for name in ("rgb", "depth"))
        assert read["depth"].dtype == torch.int16
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.groups, theirs.groups)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_gives_the_batches_of_pairs_in_memory(folder: Path, workers: int) -> None:
    write_labels(folder)
    on_disk = {"memory_gb": NOTHING, "num_workers": workers, "cache": folder / "cache"}
    every = torch.ones(8, dtype=torch.bool)
    ours, theirs = (
        TrainStream(data, data.train, every, 2, 5, torch.device("cpu"), ("rgb", "depth"))
        for data in (load(folder.parent, **on_disk), load(folder.parent))
    )
    for first in (0, 2):
        for one, other in zip(ours.steps(1, first), theirs.steps(1, first), strict=True):
            assert one.batch.keys() == other.batch.keys()
            assert all(torch.equal(one.batch[name], other.batch[name]) for name in one.batch)


@pytest.mark.parametrize("kind", KINDS)
def test_of_pairs_on_disk_those_are_left_out_that_are_in_memory(folder: Path, kind: str) -> None:
    culprit = damage(folder, kind)
    with pytest.raises(UserError) as caught:
        load(folder, memory_gb=NOTHING, cache=folder / "cache")
    assert culprit in str(caught.value)
    said: list[str] = []
    options = {"bad_samples": "skip", "say": said.append, "cache": folder / "cache"}
    memory, disk = load(folder, **options), load(folder, **options, memory_gb=NOTHING)
    assert len(disk.train) == 7
    assert disk.fingerprint == memory.fingerprint
    assert said[0] == said[1]


def test_a_command_on_pairs_from_disk_leaves_the_records_of_one_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for number in range(10, 30):
        write_pair(folder, f"{number:03d}", number % 12)
    names = [f"{number:03d}" for number in range(30)]
    lines = [f"{name},{'ab'[i % 2]}" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
    line = (
        "--datasets",
        "rgbd_folder",
        "--pairs",
        "conv2d_8-conv2d_4",
        "--baselines",
        "scratch",
        "kd",
        "crd",
    )
    more = ("--label-fraction", "1", "--teacher-data", "shared")
    assert command(folder.parent, "memory", *line, *more) == 0
    on_disk = ("--memory-gb", str(NOTHING), "--num-workers", "2")
    assert command(folder.parent, "disk", *line, *more, *on_disk) == 0
    same(folder.parent / "disk", folder.parent / "memory")


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=40), st.sampled_from([50, 99]))
def test_percentiles_of_counts_are_those_of_the_values(values: list[int], percent: int) -> None:
    array = np.array(values, np.uint16)
    counts = np.bincount(array, minlength=65536)
    assert rgbd_folder.percentile(counts, percent) == np.percentile(array, percent)
    assert rgbd_folder.percentile(counts, 50) == np.median(array)


@pytest.mark.real_data
def test_the_real_sample_is_eighteen_pairs_in_millimetres(real_data: Path) -> None:
    if not (real_data / "nyuv2_sample").is_dir():
        pytest.skip(f"no nyuv2_sample in {real_data}")
    lines: list[str] = []
    data = load(real_data / "nyuv2_sample", "rgbd_folder_96", say=lines.append)
    assert (len(data.train), len(data.test), lines) == (15, 3, [])
    depth = data.train.modalities["depth"].float() / 1000
    assert 0.5 < depth.min() < depth.max() < 10
    assert abs((depth.mean() - data.modalities["depth"].mean[0]) / data.modalities["depth"].std[0]) < 0.2
