"""NTU RGB+D: skeletons of 60 actions, seen by three cameras (Shahroudy et al., 2016).

The wrist signal is derived: it is what the skeleton says of the wrists' motion, and no sensor's reading.
"""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.signal import savgol_filter

from benchmark import Data, Modality, Request, Samples, UserError
from benchmark.data.loading import Arrays, Report, Unusable, cached, stamps
from benchmark.data.locating import irregular
from benchmark.data.pictures import in_threads
from benchmark.data.readers import fingerprint
from tasks.privileged.cards import NTU_FOLDS, NTU_JOINTS, NTU_LAYOUT, NTU_LENGTH, ntu_folder, ntu_shapes
from tasks.privileged.sequences import (
    LARGEST,
    Decoded,
    body_coordinates,
    resample,
)

CLASSES = tuple(f"A{number:03d}" for number in range(1, 61))
TRAINING_PERFORMERS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
TEST_CAMERA = 1
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})\.skeleton")

VERSION = 1
"""Raised when the code below decodes differently: a cache of another version is made again."""

BODY_FIELDS, JOINT_FIELDS = 10, 12
HIP, NECK, SHOULDERS, WRISTS = 0, 20, (4, 8), (6, 10)
"""Base of the spine, spine between the shoulders, left and right shoulder, left and right wrist."""

FRAME_RATE = 30.0
GRAVITY = 9.81
SMOOTHING_FRAMES, SMOOTHING_DEGREE = 7, 3
"""The Savitzky-Golay window of the wrists' acceleration: a plain second difference is mostly noise."""

SCALE = 500.0
"""Modalities are kept as int16, this many steps per unit; what lies beyond 65 units is clipped."""


def load(request: Request) -> Data:
    """The sequences of one protocol.

    cross_subject   20 of the 40 performers train, the other 20 test
    cross_view      cameras 2 and 3 train, camera 1 tests

    Decoding takes about ten milliseconds a file, once. Raises UserError where the dataset is not there, or
    has nothing to train or to test on.
    """
    fold = request.fold or NTU_FOLDS[0]
    folder = ntu_folder(request)
    files = sorted(folder.glob("*.skeleton"))
    identity = {"version": VERSION, "files": stamps(files, folder)}
    arrays = cached(request, "ntu", identity, partial(_decode_all, folder, files))
    if fold == "cross_view":
        trains = arrays["camera"] != TEST_CAMERA
    else:
        trains = np.isin(arrays["performer"], TRAINING_PERFORMERS)
    if trains.all() or not trains.any():
        side = "test" if trains.all() else "train"
        raise UserError(f"{folder}: fold {fold} has no sequence to {side} on: add some, or choose another")
    parts = {"train": _samples(arrays, trains), "test": _samples(arrays, ~trains)}
    return Data(
        name="ntu",
        train=parts["train"],
        test=parts["test"],
        classes=CLASSES,
        modalities=_modalities(),
        fingerprint=fingerprint(parts),
        synthetic=False,
        fold=fold,
    )


def _decode_all(folder: Path, files: list[Path], report: Report) -> Arrays:
    """Every sequence with a body in it, by file name."""
    kept, decoded = [], []
    with closing(in_threads(_decode, files)) as results:
        for file, result in zip(files, results, strict=True):
            if isinstance(result, Unusable):
                report(result.file, result.problem)
                continue
            kept.append(_numbers(file))
            decoded.append(result)
    if not decoded:
        raise UserError(f"{folder} holds no sequence that can be used: expected {NTU_LAYOUT}")
    _, camera, performer, _, action = np.array(kept).T
    arrays = {name: np.stack([each[name] for each in decoded]) for name in ("skeleton", "wrists")}
    return arrays | {"label": action - 1, "performer": performer, "camera": camera}


def _numbers(file: Path) -> tuple[int, ...]:
    """Setup, camera, performer, replication and action; raises Unusable."""
    if (match := NAME.fullmatch(file.name)) is None:
        raise Unusable(file, "is not named as SsssCcccPpppRrrrAaaa.skeleton")
    return tuple(int(number) for number in match.groups())


def _decode(file: Path) -> Decoded:
    """Both modalities of one sequence; raises Unusable."""
    action = _numbers(file)[-1]
    if not 1 <= action <= len(CLASSES):
        raise Unusable(file, f"action {action} is outside the {len(CLASSES)} classes")
    joints = facing_camera(main_body(file, read_bodies(file)))
    skeleton = body_coordinates(file, joints, HIP, NECK, NTU_LENGTH, FRAME_RATE)
    return {"skeleton": _compact(skeleton), "wrists": _compact(wrist_acceleration(joints))}


def read_bodies(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Body id -> (frames it is seen in [S], from 0; joint positions [S, 25, 3] in metres).

    A file is a stream of numbers: the frame count; per frame the count of bodies; per body ten values, the
    joint count, and twelve values per joint, the first three its position. Raises Unusable.
    """
    if problem := irregular(file):
        raise Unusable(file, problem)
    try:
        words = file.read_text(encoding="ascii").split()
        numbers = np.array(words, np.float64)
    except (OSError, ValueError) as error:
        raise Unusable(file, f"is no skeleton file ({' '.join(str(error).split())})") from error
    seen: dict[str, list[tuple[int, np.ndarray]]] = {}
    block = BODY_FIELDS + 1 + NTU_JOINTS * JOINT_FIELDS
    place = 1
    for frame in range(_count(file, numbers, 0)):
        bodies = _count(file, numbers, place)
        place += 1
        for _ in range(bodies):
            values = numbers[place : place + block]
            if len(values) < block:
                raise Unusable(file, f"is truncated: it ends in frame {frame + 1}")
            if values[BODY_FIELDS] != NTU_JOINTS:
                raise Unusable(
                    file, f"frame {frame + 1} has {values[BODY_FIELDS]:g} joints, not {NTU_JOINTS}"
                )
            joints = values[BODY_FIELDS + 1 :].reshape(NTU_JOINTS, JOINT_FIELDS)[:, :3]
            if not (np.abs(joints) <= LARGEST).all():
                raise Unusable(
                    file, f"holds positions that are not finite or huge, first in frame {frame + 1}"
                )
            seen.setdefault(words[place], []).append((frame, joints))
            place += block
    return {
        body: (np.array([frame for frame, _ in found]), np.stack([joints for _, joints in found]))
        for body, found in seen.items()
    }


def main_body(file: Path, bodies: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Joint positions [T, 25, 3] of the one body that the networks see.

    It is the one that moves most (variance of its joints over time), among those seen in at least half as
    many frames as the one seen longest: the tracker takes furniture for a person, mostly for moments. Frames
    in which it was lost are filled in linearly. Raises Unusable where no body is seen long enough.
    """
    longest = max((len(frames) for frames, _ in bodies.values()), default=0)
    if longest < SMOOTHING_FRAMES:
        raise Unusable(file, f"no body is seen in {SMOOTHING_FRAMES} frames or more: the skeleton is empty")
    candidates = [found for found in bodies.values() if 2 * len(found[0]) >= longest]
    frames, joints = max(candidates, key=lambda found: float(found[1].var(axis=0).sum()))
    if len(np.unique(frames)) < len(frames):
        raise Unusable(file, "has one body twice in a frame")
    every = np.arange(frames[0], frames[-1] + 1)
    flat = joints.reshape(len(joints), -1)
    return np.stack([np.interp(every, frames, x) for x in flat.T], axis=1).reshape(len(every), NTU_JOINTS, 3)


def facing_camera(joints: np.ndarray) -> np.ndarray:
    """joints [T, 25, 3] turned about the vertical so that the first frame's shoulders lie along x.

    One turn for the whole sequence: the three cameras then see much the same.
    """
    across = joints[0, SHOULDERS[1]] - joints[0, SHOULDERS[0]]
    angle = np.arctan2(across[2], across[0])
    cosine, sine = np.cos(angle), np.sin(angle)
    return joints @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def wrist_acceleration(joints: np.ndarray) -> np.ndarray:
    """Acceleration of the left and the right wrist in g, along the axes of the room: [6, 64].

    joints [T, 25, 3] in metres. Derived from positions: unlike a sensor's, it has no gravity in it, and its
    axes don't turn with the wrist.
    """
    positions = joints[:, list(WRISTS)].reshape(len(joints), -1)
    acceleration = savgol_filter(
        positions, SMOOTHING_FRAMES, SMOOTHING_DEGREE, deriv=2, delta=1 / FRAME_RATE, axis=0
    )
    return resample(np.asarray(acceleration) / GRAVITY, NTU_LENGTH).T


def _count(file: Path, numbers: np.ndarray, place: int) -> int:
    """The whole number at `place`; raises Unusable."""
    if place >= len(numbers):
        raise Unusable(file, "is empty" if place == 0 else "is truncated: it ends before its last frame")
    value = numbers[place]
    if not (value >= 0 and value == np.floor(value) and value < 1e6):
        raise Unusable(file, f"has {value:g} where a count is expected")
    return int(value)


def _compact(x: np.ndarray) -> np.ndarray:
    limit = np.iinfo(np.int16).max
    return np.clip(np.round(x * SCALE), -limit, limit).astype(np.int16)


def _samples(arrays: Arrays, chosen: np.ndarray) -> Samples:
    modalities = {name: torch.from_numpy(arrays[name][chosen]) for name in ("skeleton", "wrists")}
    labels, groups = (
        torch.from_numpy(arrays[name][chosen].astype(np.int64)) for name in ("label", "performer")
    )
    return Samples(modalities, labels, groups)


def _modalities() -> dict[str, Modality]:
    """Shapes and scales: torso lengths, torso lengths per second, and g, which are near one as they are."""
    return {
        name: Modality(shape, (0.0,) * shape[0], (1.0,) * shape[0], scale=SCALE, spatial=False)
        for name, shape in ntu_shapes().items()
    }
