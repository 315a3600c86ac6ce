"""What readers of motion sequences share: resampling, body coordinates, what is no reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.data.loading import Unusable

LARGEST = 1e6
"""No reading in any unit of these datasets is larger: it would be damage, and overflow what follows."""

Decoded = dict[str, np.ndarray]
"""Modality -> array of one sequence."""


def require_finite(file: Path, x: np.ndarray, axis: int) -> None:
    """Raises Unusable for the first frame along `axis` with a value that is not finite, or beyond LARGEST."""
    bad = ~(np.abs(x) <= LARGEST).all(axis=tuple(each for each in range(x.ndim) if each != axis % x.ndim))
    if bad.any():
        raise Unusable(
            file, f"holds values that are not finite or huge, first in frame {int(bad.argmax()) + 1}"
        )


def resample(x: np.ndarray, length: int) -> np.ndarray:
    """x [T, ...] -> [length, ...]: linear between frames, the first and the last kept."""
    place = np.linspace(0, len(x) - 1, length)
    before = np.minimum(place.astype(np.int64), max(len(x) - 2, 0))
    after = np.minimum(before + 1, len(x) - 1)
    share = (place - before).reshape(-1, *[1] * (x.ndim - 1))
    return x[before] * (1 - share) + x[after] * share


def body_coordinates(
    file: Path, joints: np.ndarray, hip: int, neck: int, length: int, frame_rate: float
) -> np.ndarray:
    """Hip-centred coordinates in torso lengths and their velocities, [2 * J * 3, length].

    joints   [T, J, 3], any unit of length; each frame is centred on its own `hip`
    neck     the torso is the median distance from `hip` to it over the frames

    Coordinates come first, joint by joint as x, y, z; velocities, in torso lengths per second, behind them
    in the same order. Raises Unusable where the torso has no length (a skeleton of zeros, for one).
    """
    centred = joints - joints[:, hip : hip + 1]
    torso = float(np.median(np.linalg.norm(centred[:, neck], axis=1)))
    with np.errstate(over="ignore"):
        scaled = centred / torso if torso > 0 else centred
    # A torso of nearly no length blows everything up.
    if not torso > 0 or not np.abs(scaled).max() <= LARGEST:
        raise Unusable(file, "the skeleton is empty: hip and shoulders are in one place")
    velocity = np.gradient(scaled, axis=0) * frame_rate
    channels = np.concatenate([scaled, velocity], axis=1).reshape(len(joints), -1)
    return resample(channels, length).T
