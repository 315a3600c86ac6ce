"""The embedded dataset: people of different style perform twelve actions, seen, heard and tracked.

The motions are frozen: a change here, or in the modules that this one draws with, changes every number made
with them. What was looked at while they were made: the contact sheet, and how well the teachers and the
students from scratch did with other people. No distillation method was run before they were frozen, and the
people to test on were drawn afterwards.

`python -m tasks.synthetic.motions --preview motions.png` writes a contact sheet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from tasks.synthetic.motion.actions import ACTIONS, REST, as_pose
from tasks.synthetic.motion.figure import CHANNELS, JOINTS, Build, mirrored, positions
from tasks.synthetic.motion.recording import (
    HEIGHT,
    SECONDS,
    SKELETON_FRAMES,
    VIDEO_FRAMES,
    WIDTH,
    Camera,
    Sound,
    film,
    hear,
    log_mel,
    track,
    turned,
)

SEED = 11
CLASSES = tuple(ACTIONS)
FRAMES = 96
"""Frames of a performance; motion capture and camera take every third and every eighth."""

LIMBS = slice(CHANNELS.index("left arm flexion"), None)
BENT = [number for number, name in enumerate(CHANNELS) if name.endswith(("knee", "elbow", "lift"))]
"""Channels that don't go below 0: knees and elbows bend one way, and feet don't sink into the floor."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A person: build, tempo and amplitude (1: middling), handedness, and the ways in which pose and each
    action differ from the textbook.

    posture [channels]: added to every pose; habits: action -> [2, channels], how far each channel swings
    along with the action's cycle (sine and cosine); shades: of shirt, trousers and skin, 0 to 1, as they
    differ from what is behind
    """

    build: Build
    tempo: float
    amplitude: float
    left_handed: bool
    posture: np.ndarray
    habits: dict[str, np.ndarray]
    sound: Sound
    shades: tuple[float, ...]


@dataclass(frozen=True)
class Clip:
    """A performance: joints [FRAMES, J, 3] in metres, the figure facing along x, and the impacts as
    (seconds, kind, loudness)."""

    joints: np.ndarray
    impacts: list[tuple[float, str, float]]


def make_subject(seed: int, number: int) -> Subject:
    """Subject `number` of the population of `seed`."""
    random = np.random.Generator(np.random.PCG64([seed, number]))
    stature = random.uniform(0.88, 1.1)
    typical = asdict(Build())
    lengths = {name: length * stature * random.uniform(0.9, 1.1) for name, length in typical.items()}
    posture = 0.12 * random.uniform(-1, 1, len(CHANNELS))
    posture[: LIMBS.start] *= [0.8, 0.5, 0.5, 0]
    habits = {}
    for name, action in ACTIONS.items():
        span = np.ptp(action.pose(np.linspace(0, 1, 32)), axis=0)
        habits[name] = (0.03 + 0.25 * span) * random.uniform(-1, 1, (2, len(CHANNELS)))
        habits[name][:, CHANNELS.index("lift")] = 0
    return Subject(
        Build(**lengths),
        tempo=random.uniform(0.8, 1.25),
        amplitude=random.uniform(0.8, 1.25),
        left_handed=bool(random.random() < 0.25),
        posture=posture,
        habits=habits,
        sound=Sound(random.uniform(60, 160), random.uniform(900, 2200), random.uniform(0.1, 0.8),
                    random.uniform(0.4, 1.3)),
        shades=tuple(random.random(3)),
    )  # fmt: skip


def perform(subject: Subject, name: str, random: np.random.Generator) -> Clip:
    """A clip of SECONDS in which `subject` begins an action at some point of its cycle, from a stand."""
    action = ACTIONS[name]
    time = np.linspace(0, SECONDS, FRAMES, endpoint=False)
    rate = action.frequency * subject.tempo * random.uniform(0.85, 1.18)
    sway = 0.04 * np.sin(2 * np.pi * (random.uniform(0.4, 0.9) * time + random.random()))
    phase = random.random() + rate * time + sway
    onset = random.uniform(-0.5, 0.4)
    effort = np.clip((time - onset) / 0.3, 0, 1)
    effort = (effort * effort * (3 - 2 * effort))[:, None]
    rest = as_pose(REST, FRAMES)
    sine, cosine = np.sin(2 * np.pi * phase)[:, None], np.cos(2 * np.pi * phase)[:, None]
    habit = subject.habits[name] * random.uniform(0.5, 1.5, subject.habits[name].shape)
    amplitude = subject.amplitude * random.uniform(0.9, 1.1)
    moving = amplitude * (action.pose(phase) - rest) + sine * habit[0] + cosine * habit[1]
    pose = rest + subject.posture + _fidget(time, random) + effort * moving
    pose[:, BENT] = np.maximum(pose[:, BENT], 0)
    joints = positions(mirrored(pose) if subject.left_handed else pose, subject.build)
    impacts = []
    for impact in action.impacts:
        for cycle in np.arange(np.ceil(phase[0] - impact.phase), phase[-1] - impact.phase):
            moment = float(np.interp(cycle + impact.phase, phase, time))
            strength = float(np.interp(moment, time, effort[:, 0])) * random.uniform(0.6, 1.2)
            impacts.append((moment, impact.kind, impact.loudness * strength))
    return Clip(joints, impacts)


def record(subject: Subject, clip: Clip, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Skeleton float32 [3 J, 32], video uint8 [2, 12, 20, 16] and wave float64 [samples] of a clip."""
    camera = Camera(
        yaw=random.uniform(-0.6, 0.6),
        pitch=random.uniform(0.0, 0.25),
        scale=random.uniform(8.0, 9.2),
        floor=(HEIGHT - random.uniform(1, 3), WIDTH / 2 + random.uniform(-1.5, 1.5)),
    )
    joints = turned(clip.joints, camera.yaw)
    ends = [number for number, joint in enumerate(JOINTS) if joint.endswith(("hand", "foot"))]
    velocity = np.diff(clip.joints[:, ends], axis=0) * FRAMES / SECONDS
    speed = np.linalg.norm(velocity, axis=2).max(axis=1)
    return (
        track(joints[:: FRAMES // SKELETON_FRAMES], random),
        film(joints[:: FRAMES // VIDEO_FRAMES], camera, subject.shades, random),
        hear(clip.impacts, speed, subject.sound, random),
    )


def motions(subjects: range, takes: int, seed: int) -> Arrays:
    """Every action `takes` times by each subject; N = subjects * 12 * takes clips, in that order.

    skeleton float32 [N, 3 J, 32], video uint8 [N, 2, 12, 20, 16], audio float32 [N, 24, 32] (log-mel),
    label int64 [N], subject int64 [N]
    """
    clips: dict[str, list[np.ndarray]] = {"skeleton": [], "video": [], "audio": []}
    who = []
    for number in subjects:
        subject = make_subject(seed, number)
        waves = []
        for label, name in enumerate(CLASSES):
            for take in range(takes):
                random = np.random.Generator(np.random.PCG64([seed, number, label, take]))
                skeleton, video, wave = record(subject, perform(subject, name, random), random)
                clips["skeleton"].append(skeleton)
                clips["video"].append(video)
                waves.append(wave)
                who.append((label, number))
        clips["audio"].extend(log_mel(np.stack(waves)))
    labels, groups = np.array(who, dtype=np.int64).T
    stacked = {name: np.stack(each) for name, each in clips.items()}
    return {**stacked, "label": labels.copy(), "subject": groups.copy()}


def _fidget(time: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Slow idle movements [T, channels] of trunk and limbs."""
    rates, starts = random.uniform(0.3, 1.2, len(CHANNELS)), random.random(len(CHANNELS))
    sizes = 0.06 * random.uniform(0, 1, len(CHANNELS))
    sizes[CHANNELS.index("lift")] = 0
    return sizes * np.sin(2 * np.pi * (rates * time[:, None] + starts))
