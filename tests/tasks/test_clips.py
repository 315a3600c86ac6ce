"""What is decoded from real small video files: frames, flow and sound, here and in workers."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from benchmark import UserError
from benchmark.data.loading import Unusable
from tasks.privileged import cards, clips
from tasks.privileged.sound import FLOOR, FRAMES, MELS, RATE, log_mel, read_track, read_wav

SIDE, LENGTH = 64, 18
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
ORANGE = (240, 140, 20)


def moving_square(
    speed: int = 2, colour: tuple[int, int, int] = ORANGE, side: int = SIDE
) -> list[np.ndarray]:
    """LENGTH frames, RGB: a textured square that moves `speed` pixels per frame to the right."""
    texture = np.random.default_rng(0).uniform(0.6, 1, (5, 5, 1)).repeat(4, 0).repeat(4, 1)
    frames = np.full((LENGTH, side, side, 3), 30, np.uint8)
    for number, frame in enumerate(frames):
        left = 8 + speed * number
        frame[22:42, left : left + 20] = (texture * colour)[:, : max(0, side - left)]
    return list(frames)


def write_video(file: Path, frames: list[np.ndarray]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*CODECS[file.suffix]), 25, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return file


def tone(amplitude: float, seconds: float = 0.7, rate: int = RATE, pitch: float = 440) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_with_track(file: Path, frames: list[np.ndarray], sound: np.ndarray) -> Path:
    """A video file with an AAC sound track."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        samples.sample_rate = RATE
        container.mux(audio.encode(samples))
        container.mux(audio.encode())
    return file


@pytest.mark.parametrize("suffix", CODECS)
def test_frames_keep_their_colour_and_the_flow_its_direction_and_length(tmp_path: Path, suffix: str) -> None:
    clip = clips.decode(write_video(tmp_path / f"clip{suffix}", moving_square(speed=2)))
    assert clip.video.shape == (3, cards.FRAMES, SIDE, SIDE)
    assert clip.flow.shape == (2, cards.FRAMES, SIDE, SIDE)
    assert (clip.video.dtype, clip.flow.dtype) == (np.uint8, np.int8)
    red, green, blue = clip.video[:, 0, 26:38, 12:24].reshape(3, -1).mean(axis=1)
    assert red > green + 30 > blue + 60
    columns, rows = clip.flow[:, 0, 26:38, 12:24].reshape(2, -1).mean(axis=1) / clips.FLOW_STEPS
    assert columns == pytest.approx(2, abs=0.3)
    assert rows == pytest.approx(0, abs=0.3)
    still = np.abs(clip.flow[:, 0, 50:, :].astype(float)).mean() / clips.FLOW_STEPS
    assert still < 0.3


def test_frames_are_spread_over_the_clip_and_squares_cut_from_its_middle(tmp_path: Path) -> None:
    frames = [np.full((96, 192, 3), 12 * number, np.uint8) for number in range(cards.FRAMES + 1)]
    for frame in frames:
        frame[:, :48] = frame[:, 144:] = (255, 0, 0)
    clip = clips.decode(write_video(tmp_path / "clip.avi", frames))
    brightness = clip.video.mean(axis=(0, 2, 3))
    assert np.allclose(np.diff(brightness), 12, atol=3)
    assert brightness[0] == pytest.approx(0, abs=4)
    red, green, _ = clip.video[:, :, :, 4:60].astype(float)
    assert np.abs(red - green).max() < 16


def test_a_short_clip_repeats_frames_and_a_long_one_leaves_some_out(tmp_path: Path) -> None:
    frames = [np.full((SIDE, SIDE, 3), 10 * number, np.uint8) for number in range(25)]
    short, long = (
        clips.decode(write_video(tmp_path / f"{count}.avi", frames[:count])).video.mean(axis=(0, 2, 3))
        for count in (3, 25)
    )
    assert set(np.round(short / 10)) == {0, 1}
    assert np.diff(long).max() > 15
    assert long[-1] == pytest.approx(230, abs=4)


def test_a_clip_shorter_than_its_header_says_gives_the_frames_that_there_are(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.avi", moving_square())
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames, following = clips.read_steps(cut)
    assert frames.shape == following.shape == (cards.FRAMES, SIDE, SIDE, 3)
    # The square's left edge in the last frame and in the one behind it.
    start, end = (int((frame[30, :, 2] > 90).argmax()) for frame in (frames[-1], following[-1]))
    assert 8 < start < end < 8 + 2 * (LENGTH - 1)


def test_a_louder_clip_has_more_energy_in_the_band_of_its_tone(tmp_path: Path) -> None:
    found = []
    for amplitude in (0.05, 0.5):
        video = write_video(tmp_path / f"{amplitude}.avi", moving_square())
        wavfile.write(cards.sidecar(video), 44100, (tone(amplitude, rate=44100) * 32767).astype(np.int16))
        found.append(clips.decode(video).audio)
    quiet, loud = found
    assert quiet.shape == (MELS, FRAMES)
    assert quiet.dtype == np.float32
    band = int(loud.mean(axis=1).argmax())
    assert band == int(quiet.mean(axis=1).argmax())
    # Ten times the amplitude is a hundred times the power.
    assert loud[band].mean() - quiet[band].mean() == pytest.approx(np.log(100), abs=0.1)


def test_a_wav_file_that_breaks_off_is_unusable_and_one_with_an_unknown_chunk_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    wavfile.write(file, RATE, (tone(0.3) * 32767).astype(np.int16))
    whole = file.read_bytes()
    chunk = b"abcd" + (4).to_bytes(4, "little") + b"more"
    file.write_bytes(whole[:4] + (len(whole) - 8 + len(chunk)).to_bytes(4, "little") + whole[8:] + chunk)
    assert len(read_wav(file)) == len(tone(0.3))
    file.write_bytes(whole[: len(whole) // 4])
    with pytest.raises(Unusable, match=r"a\.wav: is shorter than its header says"):
        read_wav(file)


def test_bands_rise_with_pitch_and_silence_is_the_floor() -> None:
    bands = [
        int(log_mel(torch.from_numpy(tone(0.3, pitch=pitch))).mean(axis=1).argmax())
        for pitch in (200, 800, 3200)
    ]
    assert bands == sorted(set(bands))
    assert np.allclose(log_mel(torch.zeros(50)), np.log(FLOOR))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_wav_files_of_every_kind_of_sample_give_the_same_sound(tmp_path: Path, kind: type) -> None:
    file = tmp_path / "tone.wav"
    sound = tone(0.5)
    if kind is np.uint8:
        samples = np.round(sound * 128 + 128).astype(np.uint8)
    elif kind is np.float32:
        samples = sound
    else:
        samples = (sound * np.iinfo(kind).max).astype(kind)
    wavfile.write(file, RATE, np.stack([samples, samples], axis=1))
    assert read_wav(file).numpy() == pytest.approx(sound, abs=0.01)


def test_a_sound_track_is_read_and_a_wav_file_beside_the_video_beats_it(tmp_path: Path) -> None:
    video = write_with_track(tmp_path / "clip.mp4", moving_square(), tone(0.5))
    track = clips.decode(video)
    red, green, blue = track.video[:, 0, 26:38, 12:24].reshape(3, -1).mean(axis=1)
    assert red > green > blue
    assert read_track(video).square().mean() == pytest.approx(0.125, rel=0.2)
    assert read_track(write_video(tmp_path / "silent.mp4", moving_square())) is None
    wavfile.write(cards.sidecar(video), RATE, tone(0.5, pitch=3000))
    assert clips.decode(video).audio.mean(axis=1).argmax() > track.audio.mean(axis=1).argmax()


@pytest.mark.parametrize("damage", ["text", "empty", "nan", "rate"])
def test_a_damaged_wav_file_is_named(tmp_path: Path, damage: str) -> None:
    video = write_video(tmp_path / "clip.avi", moving_square())
    beside = cards.sidecar(video)
    rate = 10 if damage == "rate" else RATE
    wavfile.write(beside, rate, tone(0.5) * (np.nan if damage == "nan" else 1))
    if damage in ("text", "empty"):
        beside.write_text("no sound" if damage == "text" else "")
    with pytest.raises(Unusable):
        read_wav(beside)
    assert clips.decode(video).file == beside


@pytest.mark.slow
def test_workers_decode_what_this_process_decodes_and_in_the_order_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_video(tmp_path / f"{speed}.avi", moving_square(speed)) for speed in range(4)]
    (tmp_path / "broken.mp4").touch()
    files.insert(1, tmp_path / "broken.mp4")
    wavfile.write(cards.sidecar(files[0]), RATE, tone(0.5))
    monkeypatch.setattr(clips.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(clips, "PATIENCE", 0)
    results = list(clips.decode_all(files))
    assert (
        results[1].args
        == clips.decode(files[1]).args
        == (files[1], "is damaged, or no video of at least two frames")
    )
    for file, result in zip(files, results, strict=True):
        if isinstance(result, clips.Clip):
            alone = clips.decode(file)
            assert np.array_equal(result.video, alone.video)
            assert np.array_equal(result.flow, alone.flow)
            assert (result.audio is None) == (alone.audio is None)
    assert np.array_equal(results[0].audio, clips.decode(files[0]).audio)


def test_a_worker_that_dies_is_an_error_that_names_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying:
        def __init__(self, *arguments, **options):
            pass

        def map(self, function, files):
            yield clips.Unusable(files[0], "is damaged")
            raise BrokenProcessPool

        def shutdown(self, **options):
            pass

    monkeypatch.setattr(clips, "ProcessPoolExecutor", Dying)
    monkeypatch.setattr(clips.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(clips, "PATIENCE", 0)
    with pytest.raises(UserError, match=r"died, at b\.mp4"):
        list(clips.decode_all([Path(f"{name}.mp4") for name in "abcd"]))
