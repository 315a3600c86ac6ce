"""Decodes video files to frames, optical flow and sound, several at a time in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmark import UserError
from benchmark.data.loading import Unusable
from benchmark.data.locating import irregular
from tasks.privileged.cards import FRAMES, SIDE, sidecar

VERSION = 2
"""Of the decoding here and in sound.py: raise it with every change of what they make."""

FLOW_STEPS = 16
"""Steps of the stored flow in a pixel of the resized frame: int8 then reaches 7.9 pixels per frame, an eighth
of the frame; faster motion saturates."""

MAXIMUM_WORKERS = 8
PATIENCE = 5.0
"""Seconds of decoding before workers are started: about what it takes them to start."""


@dataclass(frozen=True)
class Clip:
    """A decoded video.

    video   [3, FRAMES, SIDE, SIDE] uint8 RGB, evenly over the clip
    flow    [2, FRAMES, SIDE, SIDE] int8: motion to the clip's next frame, along (columns, rows), in pixels *
            FLOW_STEPS
    audio   [mels, frames] float32, the log-mel spectrogram; None where there is no sound
    """

    video: np.ndarray
    flow: np.ndarray
    audio: np.ndarray | None


def decode(file: Path) -> Clip | Unusable:
    """Decodes one video, on one thread: OpenCV's flow depends on how many share the work."""
    # Imported here: only decoding needs the libraries for sound.
    from tasks.privileged.sound import log_mel, read_track, read_wav

    if problem := irregular(file):
        return Unusable(file, problem)
    with _alone_and_quiet():
        steps = read_steps(file)
        if steps is None:
            return Unusable(file, "is damaged, or no video of at least two frames")
        try:
            beside = sidecar(file)
            sound = read_wav(beside) if os.path.lexists(beside) else read_track(file)
        except Unusable as problem:
            return problem
        frames, following = steps
        video = np.ascontiguousarray(frames[..., ::-1].transpose(3, 0, 1, 2))
        return Clip(video, flow_between(frames, following), None if sound is None else log_mel(sound))


def decode_all(files: Sequence[Path]) -> Generator[Clip | Unusable, None, None]:
    """Decodes videos, those of the first seconds here, the rest in workers; in the order of `files`.

    Raises UserError where a worker dies.
    """
    start, done = time.monotonic(), 0
    while done < len(files) and time.monotonic() - start < PATIENCE:
        yield decode(files[done])
        done += 1
    workers = min(os.cpu_count() or 1, MAXIMUM_WORKERS, len(files) - done)
    if workers < 2:
        yield from map(decode, files[done:])
        return
    # A forked copy of a process that has run torch or OpenCV may hang: these start afresh.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        for result in pool.map(decode, files[done:]):
            yield result
            done += 1
    except BrokenProcessPool as error:
        raise UserError(
            f"a process that decodes videos died, at {files[done]} or a little behind it: "
            "remove the video that its decoder fails on, or free some memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def read_steps(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """FRAMES frames evenly over a clip, and the frame behind each: two [FRAMES, SIDE, SIDE, 3] uint8 BGR.

    None where fewer than two frames can be decoded. A clip of fewer frames than FRAMES repeats some.
    """
    count = _declared(file)
    if count < 2:
        _, count = _read_frames(file, set())
    while count >= 2:
        first = np.linspace(0, count - 2, FRAMES).round().astype(int)
        wanted = {*first.tolist(), *(first + 1).tolist()}
        frames, decoded = _read_frames(file, wanted)
        if len(frames) == len(wanted):
            return np.stack([frames[n] for n in first]), np.stack([frames[n + 1] for n in first])
        # The header promised more than there is; `decoded` is what there is.
        count = decoded
    return None


def flow_between(frames: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Dense inverse search flow (Kroeger et al., ECCV 2016) from each frame to its following one.

    frames, following   [T, H, W, 3] uint8 BGR
    returns             [2, T, H, W] int8: motion along (columns, rows) in pixels * FLOW_STEPS
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = []
    for pair in zip(frames, following, strict=True):
        grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in pair]
        flows.append(search.calc(*grey, None))  # pyright: ignore[reportCallIssue]
    steps = (np.stack(flows) * FLOW_STEPS).round().clip(-127, 127)
    return np.ascontiguousarray(steps.astype(np.int8).transpose(3, 0, 1, 2))


def _declared(file: Path) -> int:
    capture = _open(file)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


def _read_frames(file: Path, wanted: set[int]) -> tuple[dict[int, np.ndarray], int]:
    """Frame number -> resized frame, for those wanted that there are, and how many frames were gone through.

    Goes through them one after another: seeking is inexact in many formats. With none wanted it counts all.
    """
    frames: dict[int, np.ndarray] = {}
    number = 0
    capture = _open(file)
    while (not wanted or len(frames) < len(wanted)) and capture.grab():
        if number in wanted:
            readable, frame = capture.retrieve()
            if not readable:
                break
            frames[number] = _square(frame)
        number += 1
    capture.release()
    return frames, number


def _open(file: Path) -> cv2.VideoCapture:
    # By name: other backends of OpenCV take "clip1.avi" for the first of a series of images.
    return cv2.VideoCapture(str(file), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])


def _square(frame: np.ndarray) -> np.ndarray:
    """The central square of a frame [H, W, 3], resized to SIDE x SIDE."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(frame[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@contextmanager
def _alone_and_quiet() -> Iterator[None]:
    """One thread for OpenCV and torch, and no remarks of video decoders: a bad file is named by us."""
    # FFmpeg's level is read once, when OpenCV opens its first video.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    threads = cv2.getNumThreads(), torch.get_num_threads()
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])
        cv2.utils.logging.setLogLevel(level)
