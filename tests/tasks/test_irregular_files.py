"""Named pipes and the like where a task's reader expects a file, and files that point to other files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmark import Data, Request, UserError
from benchmark.data.loading import Unusable
from tasks.cross_modal import cards as scenes
from tasks.cross_modal.matlab import read_leaves
from tasks.privileged import cards as motions
from tasks.privileged import clips
from tests.tasks import test_ntu, test_nyuv2, test_rgbd_folder, test_utd_mhad

pytestmark = pytest.mark.timeout(30)
"""A named pipe that is opened after all waits for ever."""

CARDS = scenes.cards() | motions.cards()


def load(name: str, folder: Path, **options: object) -> Data:
    return CARDS[name].load(Request(folder, **options))


def write_pairs(folder: Path) -> None:
    for number in range(10):
        test_rgbd_folder.write_pair(folder / "rgbd_folder", f"{number:03d}", number, size=8)


def write_nyuv2(folder: Path) -> None:
    test_nyuv2.write(folder, test_nyuv2.contents((6, 8)))
    test_nyuv2.write_mappings(folder)


def write_videos(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(5):
            os.mkfifo(folder / name / f"{number}.mp4")


FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "colour": (write_pairs, "rgbd_folder", "rgbd_folder/color/001.png"),
    "depth": (write_pairs, "rgbd_folder", "rgbd_folder/depth/001.png"),
    "labels": (write_pairs, "rgbd_folder", "rgbd_folder/labels.csv"),
    "classes": (write_pairs, "rgbd_folder", "rgbd_folder/classes.txt"),
    "unit": (write_pairs, "rgbd_folder", "rgbd_folder/depth_scale.txt"),
    "splits": (write_nyuv2, "nyuv2", "splits.mat"),
    "mapping 40": (write_nyuv2, "nyuv2_segmentation_40", "classMapping40.mat"),
    "mapping 13": (write_nyuv2, "nyuv2_segmentation_13", "class13Mapping.mat"),
    "sequence": (test_utd_mhad.write_dataset, "utd_mhad", "Inertial/a1_s1_t1_inertial.mat"),
    "skeleton": (test_ntu.write_dataset, "ntu", "S001C001P001R001A001.skeleton"),
    "video": (write_videos, "video_folder", "a/0.mp4"),
}


@pytest.mark.parametrize("which", FILES)
def test_a_named_pipe_is_named_and_never_opened(tmp_path: Path, which: str) -> None:
    write, name, place = FILES[which]
    write(tmp_path)
    (tmp_path / place).unlink(missing_ok=True)
    os.mkfifo(tmp_path / place)
    with pytest.raises(UserError, match=rf"{place}:? is a named pipe"):
        load(name, tmp_path)


def test_a_pipe_in_place_of_the_labelled_file_is_no_dataset(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / scenes.LABELLED)
    with pytest.raises(UserError, match="nyuv2 not found"):
        load("nyuv2", tmp_path)


def test_a_pipe_in_place_of_a_videos_sound_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    os.mkfifo(tmp_path / "clip.wav")
    frames = np.zeros((clips.FRAMES, clips.SIDE, clips.SIDE, 3), np.uint8)
    monkeypatch.setattr(clips, "read_steps", lambda file: (frames, frames))
    found = clips.decode(tmp_path / "clip.mp4")
    assert isinstance(found, Unusable)
    assert str(found).endswith("clip.wav: is a named pipe")


def link(content: h5py.File, name: str, other: Path) -> None:
    content[name] = h5py.ExternalLink(str(other), name)


def soft(content: h5py.File, name: str, other: Path) -> None:
    content[name] = h5py.SoftLink("/elsewhere")


def external(content: h5py.File, name: str, other: Path) -> None:
    content.create_dataset(name, (11, 3, 8, 6), np.uint8, external=[(str(other), 0, 11 * 3 * 8 * 6)])


def virtual(content: h5py.File, name: str, other: Path) -> None:
    layout = h5py.VirtualLayout((11, 3, 8, 6), np.uint8)
    layout[:] = h5py.VirtualSource(str(other), name, (11, 3, 8, 6))
    content.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("point", [link, soft, external, virtual])
def test_no_other_file_is_opened_that_an_hdf5_file_points_to(
    tmp_path: Path, point: Callable[[h5py.File, str, Path], None]
) -> None:
    other = tmp_path / "other"
    os.mkfifo(other)
    test_nyuv2.write(tmp_path, test_nyuv2.contents((6, 8)))
    with h5py.File(tmp_path / scenes.LABELLED, "r+") as content:
        del content["images"]
        point(content, "images", other)
    with pytest.raises(UserError, match=r"images (is a link to somewhere else|lies in other files)"):
        load("nyuv2", tmp_path)


def test_a_group_that_holds_itself_ends(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "splits.mat", "w") as content:
        group = content.create_group("a")
        group["a"] = group
    with pytest.raises(UserError, match=r"splits\.mat is damaged"):
        read_leaves(tmp_path / "splits.mat")


def test_a_variable_without_a_value_damages_no_matlab_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "splits.mat", "w") as content:
        content["nothing"] = h5py.Empty("f8")
        content["some"] = np.arange(3.0)
    assert {name: flat.tolist() for name, flat in read_leaves(tmp_path / "splits.mat").items()} == {
        "some": [0, 1, 2]
    }


@pytest.mark.parametrize("value", [1.5, np.nan, np.inf])
def test_a_split_of_fractions_is_refused_and_not_rounded(tmp_path: Path, value: float) -> None:
    test_nyuv2.write(tmp_path, test_nyuv2.contents((6, 8)))
    with h5py.File(tmp_path / "splits.mat", "w") as content:
        content["trainNdxs"], content["testNdxs"] = [1.0, value], [3.0]
    with pytest.raises(UserError, match=r"trainNdxs holds what is no whole number"):
        load("nyuv2", tmp_path)


def test_a_label_below_zero_is_a_bad_sample(tmp_path: Path) -> None:
    arrays = test_nyuv2.contents((6, 8))
    arrays["labels"] = arrays["labels"].astype(np.int16)
    arrays["labels"][2, 0, 0] = -1
    test_nyuv2.write(tmp_path, arrays)
    with pytest.raises(UserError, match=r"image 3 .*the label -1, below 0"):
        load("nyuv2", tmp_path)


@pytest.mark.parametrize("value", [1e30, -1e7, np.inf])
def test_readings_that_would_overflow_are_bad_samples(tmp_path: Path, value: float) -> None:
    test_utd_mhad.write_dataset(tmp_path)
    readings = np.zeros((15, 6))
    readings[4, 2] = value
    test_utd_mhad.save(tmp_path, "a1_s1_t1", "inertial", readings)
    with pytest.raises(
        UserError, match=r"inertial\.mat: holds values that are not finite or huge, .*frame 5"
    ):
        load("utd_mhad", tmp_path)


def test_a_number_of_a_trial_may_be_of_any_length(tmp_path: Path) -> None:
    test_utd_mhad.write_dataset(tmp_path)
    test_utd_mhad.write_clip(tmp_path, f"a1_s1_t{10**40}")
    assert len(load("utd_mhad", tmp_path, cache=tmp_path / "cache").train) == 9
