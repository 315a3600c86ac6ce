"""Reads the MAT files of UTD-MHAD: depth, skeleton and inertial readings, brought to one size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import scipy.io

from benchmark.data.loading import Unusable
from benchmark.data.locating import irregular
from benchmark.data.mat_files import sound_mat
from tasks.privileged.cards import (
    DEPTH_FRAMES,
    DEPTH_SIDE,
    SUBJECTS,
    UTD_MHAD_JOINTS,
    UTD_MHAD_LENGTH,
    subfolder,
)
from tasks.privileged.sequences import Decoded, body_coordinates, require_finite, resample

CLASSES = (
    "swipe left", "swipe right", "wave", "clap", "throw", "arm cross", "basketball shoot", "draw x",
    "draw circle (clockwise)", "draw circle (counter clockwise)", "draw triangle", "bowling", "boxing",
    "baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch",
    "pickup and throw", "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip
VARIABLES = {"depth": "d_depth", "inertial": "d_iner", "skeleton": "d_skel"}

SHOULDER_CENTRE, HIP_CENTRE = 1, 3
FRAME_RATE = 30.0
DEPTH_SIZES = ((120, 160), (240, 320))
DEPTH_STEP = 4.0
"""Millimetres per grey level of a decoded clip: 1 to 255 reach half a metre to either side of the person."""

OUTLIERS = 0.002
"""Share of the person's pixels that may lie beyond each side of the box around them: specks of noise."""

MARGIN = 4
"""Pixels of the half-size image that the box is widened by, on each side."""

Clip = tuple[int, int, int]
"""Action, subject, trial, all from 1."""


def decode(folder: Path, clip: Clip) -> Decoded:
    """The three modalities of one sequence; raises Unusable that names the file at fault."""
    stem = "a{}_s{}_t{}".format(*clip)
    files = {name: subfolder(folder, name) / f"{stem}_{name}.mat" for name in VARIABLES}
    for file in files.values():
        if not os.path.lexists(file):
            raise Unusable(file, "is missing, though the sequence has other files")
        if problem := irregular(file):
            raise Unusable(file, problem)
    if not 1 <= clip[0] <= len(CLASSES):
        raise Unusable(files["depth"], f"action {clip[0]} is outside the {len(CLASSES)} classes")
    if clip[1] not in SUBJECTS:
        raise Unusable(files["depth"], f"subject {clip[1]} is outside the {len(SUBJECTS)} subjects")
    skeleton, depth = read_skeleton(files["skeleton"]), read_depth(files["depth"])
    if len(skeleton) != depth.shape[2]:
        raise Unusable(
            files["skeleton"], f"has {len(skeleton)} frames, {files['depth'].name} {depth.shape[2]}"
        )
    coordinates = body_coordinates(
        files["skeleton"], skeleton, HIP_CENTRE, SHOULDER_CENTRE, UTD_MHAD_LENGTH, FRAME_RATE
    )
    inertial = resample(read_inertial(files["inertial"]), UTD_MHAD_LENGTH).T
    return {
        "skeleton": coordinates.astype(np.float32),
        "inertial": inertial.astype(np.float32),
        "depth": person_clip(files["depth"], depth)[None],
    }


def read_skeleton(file: Path) -> np.ndarray:
    """Joint positions [T, 20, 3] in metres; raises Unusable."""
    x = _variable(file, "skeleton")
    if x.ndim != 3 or x.shape[:2] != (UTD_MHAD_JOINTS, 3) or x.shape[2] < 2:
        raise Unusable(file, f"d_skel is {_shape(x)}, expected 20 x 3 x frames, two frames at least")
    require_finite(file, x, axis=2)
    return x.transpose(2, 0, 1).astype(np.float64)


def read_inertial(file: Path) -> np.ndarray:
    """Accelerometer in g and gyroscope in degrees per second, [T, 6]; raises Unusable."""
    x = _variable(file, "inertial")
    if x.ndim != 2 or x.shape[1] != 6 or x.shape[0] < 2:
        raise Unusable(file, f"d_iner is {_shape(x)}, expected readings x 6, two readings at least")
    require_finite(file, x, axis=0)
    return x.astype(np.float64)


def read_depth(file: Path) -> np.ndarray:
    """Depth of the person in millimetres, [120, 160, T], 0 elsewhere; raises Unusable.

    Of a full-size file, [240, 320, T], every second row and column is kept.
    """
    x = _variable(file, "depth")
    if x.ndim != 3 or x.shape[:2] not in DEPTH_SIZES or x.shape[2] < 2:
        raise Unusable(file, f"d_depth is {_shape(x)}, expected 240 x 320 x frames, or 120 x 160 x frames")
    require_finite(file, x, axis=2)
    step = x.shape[0] // DEPTH_SIZES[0][0]
    return x[::step, ::step]


def person_clip(file: Path, depth: np.ndarray) -> np.ndarray:
    """depth [H, W, T] mm -> uint8 [32, 64, 64]: a square around the person, frames spread evenly.

    0 is background; 128 is the person's median depth, nearer is brighter, 4 mm per level. Pixels are picked,
    not averaged, so that none mixes person and background. Raises Unusable where there is no person.
    """
    present = depth > 0
    if not present.any():
        raise Unusable(file, "the depth is zero everywhere")
    median = float(np.median(depth[present]))
    sides = [_extent(present.sum(axis=axes)) for axes in ((1, 2), (0, 2))]
    side = max(last - first + 1 for first, last in sides) + 2 * MARGIN
    frames = np.linspace(0, depth.shape[2] - 1, DEPTH_FRAMES).round().astype(np.int64)
    offsets = (np.arange(DEPTH_SIDE) + 0.5) * side / DEPTH_SIDE - side / 2
    picked = [np.floor((first + last + 1) / 2 + offsets).astype(np.int64) for first, last in sides]
    inside = [(each >= 0) & (each < size) for each, size in zip(picked, depth.shape, strict=False)]
    rows, columns = (np.where(ok, each, 0) for ok, each in zip(inside, picked, strict=True))
    clip = depth[rows[:, None, None], columns[None, :, None], frames].astype(np.float64)
    seen = (clip > 0) & (inside[0][:, None] & inside[1])[:, :, None]
    levels = np.clip(np.round(128 + (median - clip) / DEPTH_STEP), 1, 255)
    return np.where(seen, levels, 0).astype(np.uint8).transpose(2, 0, 1)


def _extent(mass: np.ndarray) -> tuple[int, int]:
    """The first and last place of a profile [M] between which all but its outliers lie."""
    share = np.cumsum(mass) / mass.sum()
    return int(np.searchsorted(share, OUTLIERS)), int(np.searchsorted(share, 1 - OUTLIERS))


def _variable(file: Path, modality: str) -> np.ndarray:
    name = VARIABLES[modality]
    try:
        content = scipy.io.loadmat(sound_mat(file), variable_names=[name])
    # Bytes that are no MAT file make scipy raise whatever their first misreading leads to.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(file, f"is truncated or no MAT file ({reason})") from error
    if name not in content:
        raise Unusable(file, f"has no variable {name}")
    if not isinstance(content[name], np.ndarray) or content[name].dtype.kind not in "iuf":
        raise Unusable(file, f"{name} is no array of numbers")
    return content[name]


def _shape(x: np.ndarray) -> str:
    return " x ".join(str(size) for size in x.shape)
