"""Videos of a folder: how they are divided, what bad files do, and what the networks see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from scipy.io import wavfile

from benchmark import Data, Request, Stored, UserError
from benchmark.data.batches import TrainStream, normalise
from benchmark.data.feed import read_all
from benchmark.models import build
from tasks.privileged import cards, clips, pairs, video_folder
from tasks.privileged.sound import FRAMES, MELS, RATE
from tests.tasks.test_clips import moving_square, tone, write_video

ORANGE, BLUE = (240, 140, 20), (20, 40, 230)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Decoding without worker processes; the list fills with the files that are decoded."""
    decoded: list[Path] = []

    def decode_all(files: Sequence[Path]) -> Iterable[clips.Clip | clips.Unusable]:
        for file in files:
            decoded.append(file)
            yield clips.decode(file)

    monkeypatch.setattr(video_folder, "decode_all", decode_all)
    return decoded


def write_classes(folder: Path, per_class: int = 5, suffix: str = ".avi") -> dict[str, list[Path]]:
    """Squares that stand still and squares that move; class folders without a train/."""
    return {
        name: [
            write_video(folder / name / f"clip{number}{suffix}", moving_square(speed, (200, 40 * number, 60)))
            for number in range(per_class)
        ]
        for name, speed in (("moves", 2), ("stands", 0))
    }


def load(folder: Path, **options) -> Data:
    return video_folder.load(Request(folder, say=options.pop("say", lambda line: None), **options))


def test_every_fifth_video_of_a_class_is_a_test_video(tmp_path: Path, in_process: list[Path]) -> None:
    files = write_classes(tmp_path / "video_folder")
    data = load(tmp_path)
    assert (data.name, data.synthetic, data.flip) == ("video_folder", False, False)
    assert data.classes == ("moves", "stands")
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert data.test.labels.tolist() == [0, 1]
    assert in_process == [*files["moves"][:4], *files["stands"][:4], files["moves"][4], files["stands"][4]]
    # Each clip's green tells its number: the last one of each class is in the test split.
    assert data.test.modalities["video"][:, 1, 0].amax(dim=(1, 2)).min() > 120
    assert set(data.train.modalities) == {"video", "flow"} == set(data.modalities)


@pytest.mark.parametrize("test", ["test", "val"])
def test_train_and_test_folders_are_the_splits(tmp_path: Path, in_process: list[Path], test: str) -> None:
    for split, colour in (("train", ORANGE), (test, BLUE)):
        for name in ("a", "b"):
            write_video(tmp_path / split / name / "clip.avi", moving_square(0, colour))
    data = load(tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (2, 2, ("a", "b"))
    red, _, blue = data.test.modalities["video"][0, :, 0, 30, 18].tolist()
    assert blue > red
    write_video(tmp_path / test / "c" / "clip.avi", moving_square(0))
    with pytest.raises(UserError, match="class 'c'"):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "text", "header"])
def test_a_broken_video_is_named_and_stops_or_is_skipped(
    tmp_path: Path, in_process: list[Path], damage: str
) -> None:
    files = write_classes(tmp_path, suffix=".mp4")
    broken = files["stands"][1]
    content = {"empty": b"", "text": b"no video", "header": broken.read_bytes()[:400]}[damage]
    broken.write_bytes(content)
    with pytest.raises(UserError, match=f"{broken}: is damaged.*--bad-samples skip"):
        load(tmp_path)
    said: list[str] = []
    data = load(tmp_path, bad_samples="skip", say=said.append)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 3
    assert len(data.train.modalities["flow"]) == 7
    assert "1 bad samples skipped" in said[-1]
    assert str(broken) in said[-1]


def test_a_clip_without_sound_among_others_with_it_is_a_bad_sample(
    tmp_path: Path, in_process: list[Path]
) -> None:
    files = write_classes(tmp_path)
    for number, file in enumerate([*files["moves"], *files["stands"]]):
        wavfile.write(cards.sidecar(file), RATE, tone(0.05 * (number + 1)))
    data = load(tmp_path)
    assert data.train.modalities["audio"].shape == (8, MELS, FRAMES)
    cards.sidecar(files["moves"][2]).unlink()
    with pytest.raises(UserError, match=r"clip2\.avi: has no sound, others have"):
        load(tmp_path)
    data = load(tmp_path, bad_samples="skip")
    assert data.train.labels.tolist() == [0] * 3 + [1] * 4
    assert {len(x) for x in data.train.modalities.values()} == {7}


def test_a_second_load_reads_the_cache_and_a_changed_file_is_decoded_again(
    tmp_path: Path, in_process: list[Path]
) -> None:
    files = write_classes(tmp_path / "videos")
    first = load(tmp_path / "videos", cache=tmp_path / "cache")
    assert len(in_process) == 10
    again = load(tmp_path / "videos", cache=tmp_path / "cache")
    assert len(in_process) == 10
    assert again.fingerprint == first.fingerprint
    assert again.modalities == first.modalities
    assert torch.equal(again.test.modalities["flow"], first.test.modalities["flow"])
    for file in (each for name in files.values() for each in name):
        wavfile.write(cards.sidecar(file), RATE, tone(0.5))
    changed = load(tmp_path / "videos", cache=tmp_path / "cache")
    assert len(in_process) == 20
    assert "audio" in changed.modalities
    assert changed.fingerprint != first.fingerprint


def test_networks_see_flow_in_units_of_its_spread_and_sound_centred(
    tmp_path: Path, in_process: list[Path]
) -> None:
    files = write_classes(tmp_path)
    for file in (each for name in files.values() for each in name):
        wavfile.write(cards.sidecar(file), RATE, tone(0.3))
    data = load(tmp_path)
    seen = {name: normalise(x, data.modalities[name]) for name, x in data.train.modalities.items()}
    assert seen["flow"].square().mean() == pytest.approx(1, rel=1e-3)
    assert seen["flow"].flatten().mode().values == 0
    assert seen["audio"].mean(dim=(0, 2)).abs().max() < 1e-3
    assert {name: each.spatial for name, each in data.modalities.items()} == {
        "video": True,
        "flow": True,
        "audio": False,
    }


NOTHING = 1e-9
"""Gigabytes: no clip fits."""


@pytest.mark.parametrize("sound", [True, False])
def test_clips_on_disk_are_those_in_memory(tmp_path: Path, in_process: list[Path], sound: bool) -> None:
    folder = tmp_path / "videos"
    files = [file for name in write_classes(folder).values() for file in name]
    for number, file in enumerate(files[1:] if sound else []):
        wavfile.write(cards.sidecar(file), RATE, tone(0.05 * (number + 1)))
    options = {"bad_samples": "skip", "num_workers": 2}
    memory = load(folder, **options)
    said: list[str] = []
    disk, again = (
        load(folder, **options, memory_gb=NOTHING, cache=tmp_path / "c", say=said.append) for _ in "ab"
    )
    assert len(in_process) == 2 * len(files), "decoded once"
    assert sum("has no sound, others have" in line for line in said) == 2 * sound
    assert isinstance(disk.train.modalities, Stored)
    assert disk.train.names == {"video", "flow", *(["audio"] if sound else [])}
    assert disk.fingerprint == again.fingerprint == memory.fingerprint
    assert disk.modalities == again.modalities == memory.modalities
    for ours, theirs in ((disk.train, memory.train), (again.test, memory.test)):
        assert torch.equal(ours.labels, theirs.labels)
        read = read_all(ours)
        assert read.keys() == theirs.modalities.keys()
        assert all(torch.equal(read[name], theirs.modalities[name]) for name in read)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_any_number_of_workers_gives_the_batches_of_clips_in_memory(
    tmp_path: Path, in_process: list[Path], workers: int
) -> None:
    write_classes(tmp_path / "videos")
    on_disk = {"memory_gb": NOTHING, "num_workers": workers, "cache": tmp_path / "cache"}
    every = torch.ones(8, dtype=torch.bool)
    ours, theirs = (
        TrainStream(data, data.train, every, 2, 5, torch.device("cpu"), ("video", "flow"))
        for data in (load(tmp_path / "videos", **on_disk), load(tmp_path / "videos"))
    )
    for first in (0, 2):
        for one, other in zip(ours.steps(1, first), theirs.steps(1, first), strict=True):
            assert one.batch.keys() == other.batch.keys()
            assert all(torch.equal(one.batch[name], other.batch[name]) for name in one.batch)


def test_both_pairs_build_networks_that_take_the_data(tmp_path: Path, in_process: list[Path]) -> None:
    files = write_classes(tmp_path)
    for file in (each for name in files.values() for each in name):
        wavfile.write(cards.sidecar(file), RATE, tone(0.3))
    data = load(tmp_path)
    for pair in pairs.video_folder().values():
        for name, seen in ((pair.teacher, pair.teacher_modalities), (pair.student, pair.student_modalities)):
            network = build(name, [data.modalities[each].shape for each in seen], len(data.classes))
            logits = network.show(*(data.train.modalities[each][:2].float() for each in seen)).logits
            assert logits.shape == (2, 2)


@pytest.mark.parametrize("state", ["no folder given", "missing", "empty", "without videos", "all broken"])
def test_a_folder_without_videos_is_an_error_that_names_the_layouts(
    tmp_path: Path, in_process: list[Path], state: str
) -> None:
    folder = tmp_path / "data"
    if state in ("empty", "without videos"):
        folder.mkdir()
    if state == "without videos":
        (folder / "class").mkdir()
        (folder / "class" / "notes.txt").write_text("no video")
    if state == "all broken":
        for files in write_classes(folder).values():
            for file in files:
                file.write_bytes(b"")
    expected = "no video of video_folder can be used" if state == "all broken" else "train/<class>"
    with pytest.raises(UserError, match=expected):
        load(None if state == "no folder given" else folder, bad_samples="skip")
