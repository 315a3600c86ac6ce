"""The twelve actions: joint-angle curves over one cycle, and the moments in it that are heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.synthetic.motion.figure import CHANNELS

Curves = dict[str, np.ndarray | float]
"""Channel of a pose -> its value over the frames [T], or one value for all."""

REST: Curves = {
    **{f"{side} arm {angle}": value for side in ("left", "right")
       for angle, value in (("flexion", 0.05), ("abduction", 0.12), ("twist", -0.2), ("elbow", 0.2))},
    **{f"{side} leg {angle}": value for side in ("left", "right")
       for angle, value in (("flexion", 0.05), ("abduction", 0.05), ("knee", 0.1))},
}  # fmt: skip
"""Standing at ease; channels that are not named are 0."""


@dataclass(frozen=True)
class Impact:
    """Something that is heard: "step", "stamp", "landing" or "clap", at `phase` of the cycle (0 to 1)."""

    kind: str
    phase: float
    loudness: float = 1.0


@dataclass(frozen=True)
class Action:
    """What is done again and again.

    frequency   cycles per second of a person of middling tempo
    curves      phase [T], in cycles -> the channels that differ from REST, for a right-handed person
    impacts     what is heard in each cycle
    """

    frequency: float
    curves: Callable[[np.ndarray], Curves]
    impacts: tuple[Impact, ...] = ()

    def pose(self, phase: np.ndarray) -> np.ndarray:
        """Poses [T, channels] at phases [T], in cycles."""
        return as_pose(REST | self.curves(phase), len(phase))


def as_pose(curves: Curves, frames: int) -> np.ndarray:
    """Curves as an array [frames, channels]."""
    return np.stack([np.broadcast_to(curves.get(name, 0.0), frames) for name in CHANNELS], axis=1)


def _wave(phase: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """A sine of one cycle, -1 to 1; it rises through 0 at `shift`."""
    return np.sin(2 * np.pi * (phase - shift))


def _pulse(phase: np.ndarray, centre: float, half: float) -> np.ndarray:
    """A smooth bump in every cycle: 1 at `centre`, 0 from a distance `half` on."""
    distance = (phase - centre + 0.5) % 1 - 0.5
    return (1 + np.cos(np.pi * np.clip(distance / half, -1, 1))) / 2


def _both(limb: str, **angles: np.ndarray | float) -> Curves:
    return {f"{side} {limb} {angle}": value for side in ("left", "right") for angle, value in angles.items()}


def _one(limb: str, **angles: np.ndarray | float) -> Curves:
    return {f"{limb} {angle}": value for angle, value in angles.items()}


def _walk(p: np.ndarray) -> Curves:
    curves: Curves = {"pitch": 0.05, "yaw": 0.1 * _wave(p)}
    for side, other, start in (("left", "right", 0.0), ("right", "left", 0.5)):
        swing = np.maximum(0, _wave(p, start - 0.2))
        curves |= _one(f"{side} leg", flexion=0.08 + 0.42 * _wave(p, start), knee=0.12 + 0.75 * swing)
        curves |= _one(f"{other} arm", flexion=0.45 * _wave(p, start), elbow=0.3 + 0.1 * _wave(p, start))
    return curves


def _run(p: np.ndarray) -> Curves:
    curves: Curves = {"pitch": 0.12, "lift": 0.07 * np.abs(_wave(p))}
    for side, other, start in (("left", "right", 0.0), ("right", "left", 0.5)):
        raised = np.maximum(0, _wave(p, start))
        curves |= _one(f"{side} leg", flexion=0.15 + 0.95 * raised, knee=0.25 + 1.35 * raised)
        curves |= _one(f"{other} arm", flexion=0.1 + 0.6 * _wave(p, start), elbow=1.5)
    return curves


def _stamp(p: np.ndarray) -> Curves:
    raised = _pulse(p, 0.3, 0.25)
    return {
        "roll": -0.12 * raised,
        **_one("right leg", flexion=0.05 + 1.15 * raised, knee=0.1 + 1.35 * raised),
        **_both("arm", flexion=0.1 + 0.15 * raised, abduction=0.25, elbow=0.5),
    }


def _jump(p: np.ndarray) -> Curves:
    crouch = np.maximum(_pulse(p, 0.28, 0.2), 0.8 * _pulse(p, 0.82, 0.14))
    air = np.clip((p % 1 - 0.42) / 0.3, 0, 1)
    swing = _pulse(p, 0.54, 0.22) - 0.6 * _pulse(p, 0.25, 0.2)
    return {
        "pitch": 0.45 * crouch,
        "lift": 0.38 * 4 * air * (1 - air),
        **_both("leg", flexion=0.05 + 0.95 * crouch, knee=0.1 + 1.6 * crouch),
        **_both("arm", flexion=0.1 + 1.5 * swing, elbow=0.4),
    }


def _jumping_jack(p: np.ndarray) -> Curves:
    spread = _pulse(p, 0.5, 0.5)
    return {
        "lift": 0.1 * np.abs(_wave(p)),
        **_both("leg", abduction=0.05 + 0.42 * spread, knee=0.1, flexion=0.05),
        **_both("arm", abduction=0.15 + 2.55 * spread, elbow=0.25, flexion=0.0, twist=1.2),
    }


def _squat(p: np.ndarray) -> Curves:
    down = _pulse(p, 0.5, 0.42)
    return {
        "pitch": 0.55 * down,
        **_both("leg", flexion=0.05 + 1.4 * down, knee=0.1 + 2.05 * down, abduction=0.1 + 0.15 * down),
        **_both("arm", flexion=0.1 + 1.7 * down, elbow=0.2),
    }


def _bow(p: np.ndarray) -> Curves:
    down = _pulse(p, 0.5, 0.4)
    return {
        "pitch": 1.25 * down,
        **_both("leg", flexion=0.05 + 0.08 * down, knee=0.1),
        **_both("arm", flexion=0.1 + 0.7 * down, abduction=0.08, elbow=0.2),
    }


def _wave_hand(p: np.ndarray) -> Curves:
    return {
        "roll": -0.05,
        **_one("right arm", flexion=0.3, abduction=1.5, twist=1.5, elbow=1.35 + 0.6 * _wave(p)),
    }


def _clap(p: np.ndarray) -> Curves:
    open_ = 1 - _pulse(p, 0.5, 0.5)
    return _both("arm", flexion=0.95, abduction=-0.07 + 0.45 * open_, twist=-0.57 + 0.27 * open_, elbow=0.95)


def _punch(p: np.ndarray) -> Curves:
    right, left = _pulse(p, 0.25, 0.2), _pulse(p, 0.75, 0.2)
    curves: Curves = {"yaw": 0.4 * right - 0.4 * left, "pitch": 0.1}
    for side, out in (("right", right), ("left", left)):
        curves |= _one(
            f"{side} arm", flexion=0.5 + 1.05 * out, abduction=0.2 - 0.15 * out, elbow=2.2 - 2.1 * out
        )
    return curves | _both("leg", flexion=0.2, knee=0.4, abduction=0.15)


def _kick(p: np.ndarray) -> Curves:
    back, out, bent = _pulse(p, 0.2, 0.2), _pulse(p, 0.48, 0.24), _pulse(p, 0.3, 0.2)
    return {
        "pitch": -0.3 * out + 0.1 * back,
        **_one("right leg", flexion=0.05 - 0.5 * back + 1.45 * out, knee=0.1 + 1.1 * bent),
        **_one("left leg", flexion=0.1, knee=0.2),
        **_one("left arm", flexion=0.1 + 0.7 * out, abduction=0.4, elbow=0.7),
        **_one("right arm", flexion=0.1 - 0.5 * out, abduction=0.4, elbow=0.7),
    }


def _throw(p: np.ndarray) -> Curves:
    cocked, out = _pulse(p, 0.28, 0.26), _pulse(p, 0.56, 0.24)
    return {
        "yaw": -0.6 * cocked + 0.5 * out,
        "pitch": -0.15 * cocked + 0.35 * out,
        **_one(
            "right arm",
            flexion=0.05 + 2.5 * cocked + 1.5 * out,
            abduction=0.15 + 0.45 * cocked,
            elbow=0.3 + 1.5 * cocked,
        ),
        **_one("left arm", flexion=0.1 + 0.9 * cocked - 0.4 * out, abduction=0.2, elbow=0.3),
        **_one(
            "left leg", flexion=0.05 + 0.55 * _pulse(p, 0.4, 0.22), knee=0.1 + 0.5 * _pulse(p, 0.35, 0.18)
        ),
        **_one("right leg", flexion=-0.1 * out, knee=0.15 + 0.25 * out),
    }


ACTIONS: dict[str, Action] = {
    "walk": Action(0.95, _walk, (Impact("step", 0.3), Impact("step", 0.8))),
    "run": Action(1.4, _run, (Impact("step", 0.0, 1.5), Impact("step", 0.5, 1.5))),
    "stamp": Action(0.95, _stamp, (Impact("stamp", 0.55),)),
    "jump": Action(0.75, _jump, (Impact("step", 0.42, 0.4), Impact("landing", 0.72))),
    "jumping jack": Action(0.95, _jumping_jack, (Impact("step", 0.0, 1.4), Impact("step", 0.5, 1.4))),
    "squat": Action(0.65, _squat),
    "bow": Action(0.6, _bow),
    "wave": Action(1.6, _wave_hand),
    "clap": Action(1.7, _clap, (Impact("clap", 0.5),)),
    "punch": Action(0.95, _punch),
    "kick": Action(0.8, _kick, (Impact("step", 0.74, 0.9),)),
    "throw": Action(0.75, _throw, (Impact("step", 0.58, 0.8),)),
}
"""Name -> action, in the order of the classes."""
