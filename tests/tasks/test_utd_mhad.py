"""UTD-MHAD: its protocols, what is made of each modality, and files that can't be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from benchmark import Data, Request, UserError
from benchmark.models import build
from tasks.privileged import Privileged, cards, pairs, utd_mhad_files

FRAMES, READINGS = 6, 15
REST = np.random.default_rng(0).normal(size=(20, 3)) * 0.3 + [0, 0, 2.8]
REST[[utd_mhad_files.HIP_CENTRE, utd_mhad_files.SHOULDER_CENTRE]] = [[0, 0, 2.8], [0, 0.4, 2.8]]


def path_of(folder: Path, clip: str, modality: str) -> Path:
    return folder / modality.capitalize() / f"{clip}_{modality}.mat"


def save(folder: Path, clip: str, modality: str, content: np.ndarray) -> None:
    file = path_of(folder, clip, modality)
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(file, {utd_mhad_files.VARIABLES[modality]: content})


def person(frames: int = FRAMES) -> np.ndarray:
    """An upright block 2.8 m away with a nearer patch that moves, [120, 160, T]."""
    depth = np.zeros((120, 160, frames), np.uint16)
    depth[30:110, 60:90] = 2800
    for t in range(frames):
        depth[40 + 5 * t : 50 + 5 * t, 70:80, t] = 2500
    return depth


def skeleton(frames: int = FRAMES) -> np.ndarray:
    """[20, 3, T]: walks sideways at 0.3 m per second with a raised hand."""
    joints = np.repeat(REST[:, :, None], frames, axis=2)
    joints[:, 0] += 0.01 * np.arange(frames)
    joints[7, 1] += 0.1 * np.arange(frames)
    return joints


def write_clip(folder: Path, clip: str) -> None:
    draw = np.random.default_rng(sum(clip.encode()))
    save(folder, clip, "depth", person())
    save(folder, clip, "skeleton", skeleton())
    save(folder, clip, "inertial", draw.normal(size=(READINGS, 6)))


def write_dataset(folder: Path) -> Path:
    """Eight subjects, actions 1 and 27, one trial."""
    for subject in range(1, 9):
        for action in (1, 27):
            write_clip(folder, f"a{action}_s{subject}_t1")
    return folder


def load(folder: Path, **options: object) -> Data:
    return cards.cards()["utd_mhad"].load(Request(folder, **options))


def test_every_protocol_divides_by_subject(tmp_path: Path) -> None:
    write_dataset(tmp_path / "utd_mhad")
    folds = cards.cards()["utd_mhad"].folds
    everyone = set(range(1, 9))
    divided = {"cross_subject": ({1, 3, 5, 7}, {2, 4, 6, 8})}
    divided |= {f"leave_out_{each}": (everyone - {each}, {each}) for each in range(1, 9)}
    divided |= {f"inner_{each}": ({1, 3, 5, 7} - {each}, {each}) for each in (1, 3, 5, 7)}
    assert folds == tuple(divided)
    for fold in folds:
        data = load(tmp_path, fold=fold, cache=tmp_path / "cache")
        assert data.fold == fold
        assert (set(data.train.groups.tolist()), set(data.test.groups.tolist())) == divided[fold]
        assert data.train.labels.unique().tolist() == [0, 26]
    assert load(tmp_path).fold == "cross_subject"


def test_modalities_have_the_shapes_they_claim(tmp_path: Path) -> None:
    write_dataset(tmp_path / "utd_mhad")
    for name, side in (("utd_mhad", 32), ("utd_mhad_64", 64)):
        data = cards.cards()[name].load(Request(tmp_path))
        assert data.modalities["depth"].shape == (1, side // 2, side, side)
        for modality, described in data.modalities.items():
            assert tuple(data.train.modalities[modality].shape[1:]) == described.shape
            assert len(described.mean) == len(described.std) == described.shape[0]
        assert data.modalities["depth"].spatial
        first = data.train.modalities["inertial"][:, :3]
        assert torch.equal(data.train.modalities["accelerometer"], first)


def test_the_cache_gives_the_same_tensors(tmp_path: Path) -> None:
    write_dataset(tmp_path / "utd_mhad")
    first, second = (load(tmp_path, cache=tmp_path / "cache") for _ in range(2))
    assert first.fingerprint == second.fingerprint


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "utd_mhad")
    first = load(tmp_path, cache=tmp_path / "cache")
    save(folder, "a1_s1_t1", "inertial", np.ones((READINGS + 1, 6)))
    assert load(tmp_path, cache=tmp_path / "cache").fingerprint != first.fingerprint


def test_where_the_person_stands_and_how_tall_they_are_leaves_the_skeleton_unchanged(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    save(folder, "a1_s3_t1", "skeleton", 1.3 * skeleton() + np.array([0.5, -0.2, 0.4])[:, None])
    seen = load(tmp_path).train
    ours = [i for i in range(len(seen)) if seen.labels[i] == 0 and seen.groups[i] in (1, 3)]
    first, second = seen.modalities["skeleton"][ours]
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


def test_velocities_are_in_torso_lengths_per_second(tmp_path: Path) -> None:
    seen = load(write_dataset(tmp_path)).train.modalities["skeleton"]
    hand = seen[0, 60 + 3 * 7 + 1]
    torch.testing.assert_close(hand, torch.full_like(hand, 0.1 * 30 / 0.4))


def test_depth_shows_background_body_and_what_is_nearer() -> None:
    clip = utd_mhad_files.person_clip(Path("x"), person())
    assert np.unique(clip).tolist() == [0, 128, 128 + round(300 / utd_mhad_files.DEPTH_STEP)]
    rows = [np.flatnonzero((frame > 128).any(axis=1)).mean() for frame in clip]
    assert rows == sorted(rows)
    assert rows[-1] - rows[0] == pytest.approx(25 * 64 / 88, abs=1.5)


def test_depth_does_not_depend_on_where_and_how_far_the_person_stands() -> None:
    moved = np.roll(person(), (5, 20), axis=(0, 1))
    moved[moved > 0] += 150
    np.testing.assert_array_equal(
        utd_mhad_files.person_clip(Path("x"), moved), utd_mhad_files.person_clip(Path("x"), person())
    )


def test_a_full_size_file_gives_the_clip_of_its_every_second_pixel(tmp_path: Path) -> None:
    clip = "a1_s1_t1"
    save(tmp_path / "half", clip, "depth", person())
    full = np.random.default_rng(0).integers(1, 5000, (240, 320, FRAMES)).astype(np.uint16)
    full[::2, ::2] = person()
    save(tmp_path / "full", clip, "depth", full)
    half, of_full = (
        utd_mhad_files.read_depth(path_of(tmp_path / size, clip, "depth")) for size in ("half", "full")
    )
    np.testing.assert_array_equal(half, of_full)


def nan_in(content: np.ndarray) -> np.ndarray:
    content = content.astype(np.float64)
    content[3] = np.nan
    return content


def replaced(modality: str, content: np.ndarray) -> Callable[[Path, str], None]:
    return lambda folder, clip: save(folder, clip, modality, content)


BROKEN: dict[str, tuple[str, Callable[[Path, str], object], str]] = {
    "missing": ("inertial", lambda d, c: path_of(d, c, "inertial").unlink(), "missing"),
    "truncated": ("depth", lambda d, c: path_of(d, c, "depth").write_bytes(b"MATLAB 5.0"), "no MAT file"),
    "no variable": (
        "skeleton",
        lambda d, c: scipy.io.savemat(path_of(d, c, "skeleton"), {"other": np.ones(3)}),
        "no variable d_skel",
    ),
    "text": ("inertial", replaced("inertial", np.array(["hello"])), "no array of numbers"),
    "frames": ("skeleton", replaced("skeleton", skeleton(FRAMES + 1)), "has 7 frames"),
    "columns": ("inertial", replaced("inertial", np.ones((READINGS, 5))), "15 x 5"),
    "size": ("depth", replaced("depth", np.ones((100, 100, FRAMES))), "100 x 100 x 6"),
    "nan inertial": ("inertial", replaced("inertial", nan_in(np.ones((READINGS, 6)))), "in frame 4"),
    "nan skeleton": ("skeleton", replaced("skeleton", nan_in(skeleton())), "not finite"),
    "empty skeleton": ("skeleton", replaced("skeleton", np.zeros((20, 3, FRAMES))), "empty"),
    "no frames": ("skeleton", replaced("skeleton", np.zeros((20, 3, 0))), "two frames"),
    "no person": ("depth", replaced("depth", np.zeros((120, 160, FRAMES), np.uint16)), "zero everywhere"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_used_is_named_or_skipped(kind: str, tmp_path: Path) -> None:
    folder, clip = write_dataset(tmp_path / "utd_mhad"), "a27_s1_t1"
    modality, damage, words = BROKEN[kind]
    damage(folder, clip)
    with pytest.raises(UserError, match=rf"{clip}_{modality}\.mat.*{words}"):
        load(tmp_path)
    said: list[str] = []
    data = load(tmp_path, bad_samples="skip", say=said.append)
    assert (len(data.train), len(data.test)) == (7, 8)
    assert "1 bad sample" in said[0]


@pytest.mark.parametrize("clip", ["a28_s1_t1", "a0_s1_t1", "a1_s9_t1", "swipe"])
def test_a_file_of_no_known_class_or_subject_is_named(clip: str, tmp_path: Path) -> None:
    write_clip(write_dataset(tmp_path), clip)
    with pytest.raises(UserError, match=rf"{clip}_\w+\.mat"):
        load(tmp_path)


def test_a_protocol_whose_subject_is_not_there_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path, "a1_s1_t1")
    write_clip(tmp_path, "a1_s2_t1")
    with pytest.raises(UserError, match=r"leave_out_5 has no sequence to test on.*1, 2"):
        load(tmp_path, fold="leave_out_5")


def test_a_folder_without_sequences_is_named_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="utd_mhad/Depth/"):
        load(tmp_path)


def test_networks_of_every_pair_take_their_modalities(tmp_path: Path) -> None:
    data = load(write_dataset(tmp_path))
    for pair in pairs.utd_mhad().values():
        for name, seen in (
            (pair.teacher, pair.teacher_modalities),
            (pair.student, pair.student_modalities),
        ):
            network = build(name, [data.modalities[each].shape for each in seen], len(data.classes)).eval()
            inputs = [data.train.modalities[each][:1].float() for each in seen]
            assert network.show(*inputs).logits.shape == (1, 27)


def test_a_pair_takes_any_two_other_networks() -> None:
    pair = Privileged().custom_pair("utd_mhad", "skeleton+depth-depth:timm:some-conv3d_4")
    known = pairs.utd_mhad()["skeleton+depth-depth"]
    assert pair == replace(known, teacher="timm:some", student="conv3d_4")
    for name in ("skeleton+depth-depth:conv3d_4", "depth-depth:fusion_4-conv3d_4", "fusion_4-conv3d_4"):
        assert Privileged().custom_pair("utd_mhad", name) is None


@pytest.mark.real_data
def test_clips_of_published_full_size_files_equal_those_of_half_the_size(real_data: Path) -> None:
    files = sorted((real_data / "utd_mhad_full_size").glob("*_depth.mat"))
    if not files:
        pytest.skip(f"no utd_mhad_full_size in {real_data}")
    for file in files:
        half = real_data / "utd_mhad" / "Depth" / file.name
        clips = [utd_mhad_files.person_clip(each, utd_mhad_files.read_depth(each)) for each in (file, half)]
        np.testing.assert_array_equal(*clips)


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_dataset_has_its_known_counts_and_statistics(real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "utd_mhad").is_dir():
        pytest.skip(f"no utd_mhad in {real_data}")
    data = load(real_data, cache=tmp_path)
    assert (len(data.train), len(data.test)) == (431, 430)
    assert data.train.labels.bincount(minlength=27).min() >= 15
    for name, modality in data.modalities.items():
        x = data.train.modalities[name].double() / modality.scale
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        mean, std = torch.tensor(modality.mean), torch.tensor(modality.std)
        if name == "skeleton":
            spread = torch.stack([half.std() for half in x.chunk(2, dim=1)])
            assert ((spread / std[::60] - 1).abs() < 0.1).all()
        else:
            assert ((x.mean(axes) - mean).abs() < 0.1 * std).all(), name
            assert ((x.std(axes) / std - 1).abs() < 0.1).all(), name
