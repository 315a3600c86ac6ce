"""NTU RGB+D skeletons: the parser, the main body, the protocols, and files that can't be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import Data, Request, UserError
from tasks.privileged import cards, ntu

REST = np.random.default_rng(0).normal(size=(25, 3)) * 0.3 + [0, 0, 3]
REST[[ntu.HIP, ntu.NECK]] = [[0, -0.25, 3], [0, 0.25, 3]]
REST[list(ntu.SHOULDERS)] = [[-0.2, 0.2, 3], [0.2, 0.2, 3]]

Frames = list[list[tuple[int, np.ndarray]]]
"""Per frame: (body id, joints [25, 3] in metres)."""


def motion(frames: int = 20, size: float = 0.2) -> np.ndarray:
    """A body whose left wrist goes to and fro, [T, 25, 3]."""
    joints = np.repeat(REST[None], frames, axis=0)
    joints[:, ntu.WRISTS[0], 0] += size * np.sin(np.arange(frames) * 0.5)
    return joints


def alone(joints: np.ndarray, body: int = 72057594037931101) -> Frames:
    return [[(body, each)] for each in joints]


def write(folder: Path, name: str, frames: Frames) -> Path:
    """A .skeleton file as the dataset has it."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, joints in bodies:
            lines += [f"{body} 0 1 1 1 1 0 0.01 -0.1 2", "25"]
            lines += [
                " ".join(f"{v:.7f}" for v in joint) + " 250.1 200 1000 500 0.1 0 0.9 0 2" for joint in joints
            ]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.skeleton"
    file.write_text("\n".join(lines) + "\n")
    return file


def write_dataset(folder: Path) -> None:
    """Performers 1 and 2 train and 3 tests; cameras 1 and 2; actions 1 and 60."""
    for performer in (1, 2, 3):
        for camera in (1, 2):
            for action in (1, 60):
                size = 0.1 * performer + 0.05 * camera
                write(folder, f"S001C00{camera}P00{performer}R001A0{action:02d}", alone(motion(20, size)))


def load(folder: Path, **options: object) -> Data:
    return cards.cards()["ntu"].load(Request(folder, **options))


def test_joints_are_read_as_they_were_written(tmp_path: Path) -> None:
    bodies = ntu.read_bodies(write(tmp_path, "S001C001P001R001A001", alone(motion())))
    ((frames, joints),) = bodies.values()
    assert frames.tolist() == list(range(20))
    np.testing.assert_allclose(joints, motion(), atol=1e-6)


def test_bodies_whose_ids_differ_in_the_last_digit_are_kept_apart(tmp_path: Path) -> None:
    frames = [[(72057594037931101, x), (72057594037931102, x + 1)] for x in motion()]
    assert len(ntu.read_bodies(write(tmp_path, "S001C001P001R001A001", frames))) == 2


def test_the_body_that_moves_most_is_the_main_one(tmp_path: Path) -> None:
    still, moving, brief = motion(size=0.01), motion(size=0.3), motion(size=5.0)
    frames = [
        [(1, a), (2, b)] + ([(3, c)] if t < 5 else [])
        for t, (a, b, c) in enumerate(zip(still, moving, brief, strict=True))
    ]
    file = write(tmp_path, "S001C001P001R001A001", frames)
    np.testing.assert_allclose(ntu.main_body(file, ntu.read_bodies(file)), moving, atol=1e-6)


def test_frames_in_which_the_body_was_lost_are_filled_in(tmp_path: Path) -> None:
    joints = np.linspace(0, 1, 20)[:, None, None] + REST
    frames = alone(joints)
    frames[7] = frames[8] = []
    file = write(tmp_path, "S001C001P001R001A001", frames)
    np.testing.assert_allclose(ntu.main_body(file, ntu.read_bodies(file)), joints, atol=1e-6)


def test_a_turned_camera_sees_the_same(tmp_path: Path) -> None:
    turn = np.array([[np.cos(0.7), 0, -np.sin(0.7)], [0, 1, 0], [np.sin(0.7), 0, np.cos(0.7)]])
    np.testing.assert_allclose(ntu.facing_camera(motion() @ turn), ntu.facing_camera(motion()), atol=1e-9)


def test_a_wrist_in_even_acceleration_shows_that_acceleration() -> None:
    joints = np.repeat(REST[None], 40, axis=0)
    joints[:, ntu.WRISTS[1], 1] += 0.5 * 9.81 * (np.arange(40) / 30) ** 2
    expected = np.zeros((6, cards.NTU_LENGTH))
    expected[4] = 1
    np.testing.assert_allclose(ntu.wrist_acceleration(joints), expected, atol=1e-6)


def test_the_protocols_divide_by_performer_and_by_camera(tmp_path: Path) -> None:
    write_dataset(tmp_path / "ntu" / "nturgb+d_skeletons")
    by_subject, by_view = load(tmp_path), load(tmp_path, fold="cross_view")
    assert by_subject.fold == "cross_subject"
    assert set(by_subject.train.groups.tolist()) == {1, 2}
    assert set(by_subject.test.groups.tolist()) == {3}
    assert by_subject.train.labels.unique().tolist() == [0, 59]
    assert (len(by_view.train), len(by_view.test)) == (6, 6)
    assert by_view.fingerprint != by_subject.fingerprint
    assert by_view.test.groups.unique().tolist() == [1, 2, 3]


def test_modalities_have_the_shapes_they_claim_and_keep_their_unit(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    data = load(tmp_path)
    for name, modality in data.modalities.items():
        assert tuple(data.train.modalities[name].shape[1:]) == modality.shape
    spine = data.train.modalities["skeleton"][:, 3 * ntu.NECK + 1].float() / ntu.SCALE
    assert torch.allclose(spine, torch.ones_like(spine), atol=0.002)


def test_the_cache_gives_the_same_tensors(tmp_path: Path) -> None:
    write_dataset(tmp_path / "ntu")
    first, second = (load(tmp_path, cache=tmp_path / "cache") for _ in range(2))
    assert first.fingerprint == second.fingerprint


def truncate(file: Path) -> None:
    file.write_text(file.read_text()[:20000].rpartition("\n")[0])


def replace(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new, 1))


BROKEN = {
    "truncated": (truncate, "truncated"),
    "text": (lambda file: replace(file, "250.1", "hello"), "no skeleton file"),
    "nothing": (lambda file: file.write_text(""), "is empty"),
    "no bodies": (lambda file: file.write_text("3\n0\n0\n0\n"), "skeleton is empty"),
    "other joints": (lambda file: replace(file, "\n25\n", "\n20\n"), "20 joints"),
    "not finite": (lambda file: replace(file, "\n25\n0.0000000", "\n25\nnan"), "not finite"),
    "zeros": (lambda file: write(file.parent, file.stem, alone(np.zeros((20, 25, 3)))), "empty"),
    "binary": (lambda file: file.write_bytes(bytes(range(256))), "no skeleton file"),
    "endless": (lambda file: file.write_text("inf\n"), "count"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_used_is_named_or_skipped(kind: str, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    file = tmp_path / "S001C001P001R001A001.skeleton"
    damage, words = BROKEN[kind]
    damage(file)
    with pytest.raises(UserError, match=rf"{file.name}.*{words}"):
        load(tmp_path)
    said: list[str] = []
    assert len(load(tmp_path, bad_samples="skip", say=said.append).train) == 7
    assert file.name in said[0]


@pytest.mark.parametrize("name", ["S001C001P001R001A061", "S001C001P001R001A000", "first"])
def test_a_file_of_no_known_class_is_named(name: str, tmp_path: Path) -> None:
    write_dataset(tmp_path)
    write(tmp_path, name, alone(motion()))
    with pytest.raises(UserError, match=name):
        load(tmp_path)


def test_a_protocol_without_test_performers_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "S001C001P001R001A001", alone(motion()))
    with pytest.raises(UserError, match="no sequence to test on"):
        load(tmp_path)


def test_a_folder_without_skeletons_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"S001C001P001R001A001\.skeleton"):
        load(tmp_path)
