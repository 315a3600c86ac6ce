"""A jointed human figure: its joints and bones, and where they are for given joint angles.

Axes of the figure's own frame: x forward, y to its left, z up; metres and radians. A pose is [T, channels],
one row per frame, with the channels of `CHANNELS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("left", "right")
ARM = ("flexion", "abduction", "twist", "elbow")
LEG = ("flexion", "abduction", "knee")
CHANNELS = (
    "pitch", "roll", "yaw", "lift",
    *(f"{side} arm {angle}" for side in SIDES for angle in ARM),
    *(f"{side} leg {angle}" for side in SIDES for angle in LEG),
)  # fmt: skip
"""Trunk: pitch forward, roll to the right, yaw to the left. Lift: height of the lower foot over the floor.

Limbs hang down at 0; flexion swings them forward, abduction away from the body (or, for an arm raised
forward, outward); twist turns the forearm outward about the upper arm.
"""

JOINTS = (
    "pelvis", "neck", "head",
    *(f"{side} {joint}" for side in SIDES for joint in ("shoulder", "elbow", "hand")),
    *(f"{side} {joint}" for side in SIDES for joint in ("hip", "knee", "foot")),
)  # fmt: skip
PARENTS = {
    "neck": "pelvis",
    "head": "neck",
    **{f"{side} {joint}": parent if joint in ("shoulder", "hip") else f"{side} {parent}"
       for side in SIDES
       for joint, parent in (("shoulder", "neck"), ("elbow", "shoulder"), ("hand", "elbow"),
                             ("hip", "pelvis"), ("knee", "hip"), ("foot", "knee"))},
}  # fmt: skip
BONES = tuple((JOINTS.index(parent), JOINTS.index(joint)) for joint, parent in PARENTS.items())


@dataclass(frozen=True)
class Build:
    """Lengths of the segments, in metres; shoulders and hips: half their width."""

    trunk: float = 0.52
    neck: float = 0.22
    shoulders: float = 0.19
    upper_arm: float = 0.29
    forearm: float = 0.36
    hips: float = 0.10
    thigh: float = 0.45
    shank: float = 0.45


def positions(pose: np.ndarray, build: Build) -> np.ndarray:
    """Joint positions [T, J, 3] of poses [T, channels]; the lower foot is `lift` above the floor (z = 0)."""
    angle = dict(zip(CHANNELS, pose.T, strict=True))
    at = {"pelvis": np.zeros((len(pose), 3))}
    trunk = _turn("z", angle["yaw"]) @ _turn("y", angle["pitch"]) @ _turn("x", angle["roll"])
    at["neck"] = at["pelvis"] + trunk @ [0, 0, build.trunk]
    at["head"] = at["neck"] + trunk @ [0, 0, build.neck]
    for side, sign in (("left", 1), ("right", -1)):
        at[f"{side} shoulder"] = at["neck"] + trunk @ [0, sign * build.shoulders, -0.04]
        upper = trunk @ _limb(angle, f"{side} arm", sign)
        at[f"{side} elbow"] = at[f"{side} shoulder"] + upper @ [0, 0, -build.upper_arm]
        fore = upper @ _turn("z", sign * angle[f"{side} arm twist"]) @ _turn("y", -angle[f"{side} arm elbow"])
        at[f"{side} hand"] = at[f"{side} elbow"] + fore @ [0, 0, -build.forearm]
        at[f"{side} hip"] = at["pelvis"] + np.array([0, sign * build.hips, 0])
        thigh = _limb(angle, f"{side} leg", sign)
        at[f"{side} knee"] = at[f"{side} hip"] + thigh @ [0, 0, -build.thigh]
        shank = thigh @ _turn("y", angle[f"{side} leg knee"])
        at[f"{side} foot"] = at[f"{side} knee"] + shank @ [0, 0, -build.shank]
    joints = np.stack([at[joint] for joint in JOINTS], axis=1)
    lower = np.minimum(at["left foot"][:, 2], at["right foot"][:, 2])
    joints[..., 2] += (angle["lift"] - lower)[:, None]
    return joints


def mirrored(pose: np.ndarray) -> np.ndarray:
    """The same poses [T, channels] with left and right exchanged."""
    swap = {"left": "right", "right": "left"}
    order = [
        CHANNELS.index(" ".join(swap.get(word, word) for word in channel.split())) for channel in CHANNELS
    ]
    signs = [-1.0 if channel in ("roll", "yaw") else 1.0 for channel in CHANNELS]
    return pose[:, order] * signs


def _limb(angle: dict[str, np.ndarray], limb: str, sign: int) -> np.ndarray:
    """The rotation [T, 3, 3] of a limb's upper segment: abduction first, then flexion."""
    return _turn("y", -angle[f"{limb} flexion"]) @ _turn("x", sign * angle[f"{limb} abduction"])


def _turn(axis: str, angle: np.ndarray) -> np.ndarray:
    """Rotations [T, 3, 3] about a coordinate axis by angles [T]."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    turn = np.zeros((len(angle), 3, 3))
    turn[:, range(3), range(3)] = 1
    turn[:, first, first] = turn[:, second, second] = np.cos(angle)
    turn[:, second, first] = np.sin(angle)
    turn[:, first, second] = -turn[:, second, first]
    return turn
