"""Camera, microphone and motion capture: what is recorded of a moving figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.signal import lfilter
from torchaudio.transforms import MelSpectrogram

from tasks.synthetic.motion.figure import BONES, JOINTS

SECONDS = 2
SKELETON_FRAMES, VIDEO_FRAMES = 32, 12
HEIGHT, WIDTH = 20, 16
OVERSAMPLING = 4
"""Frames are drawn without anti-aliasing on a finer grid and averaged in integers: the same everywhere."""

SUBPIXEL_BITS = 4
LEAST, MOST = 90, 150
"""How far clothes stand out from the wall, in grey levels of 255."""

PIXEL_NOISE = 6
"""Each pixel gets the sum of three uniform draws from -PIXEL_NOISE..PIXEL_NOISE."""

JOINT_NOISE = 0.06
"""The same for the coordinates of joints, in metres."""

SAMPLE_RATE = 8000
MELS, SOUND_FRAMES = 24, 32
HISS = 0.04
"""Amplitude of the microphone's white noise; a footfall has about 0.3."""

THICKNESS = {
    "neck": 0.38, "head": 0.14, "shoulder": 0.17, "elbow": 0.14, "hand": 0.11, "hip": 0.22, "knee": 0.21,
    "foot": 0.15,
}  # fmt: skip
"""Diameter in metres of the bone that ends in a joint, in wide clothes."""

HEAD_RADIUS = 0.14
CLOTHES = {"neck": 0, "shoulder": 0, "elbow": 0, "hip": 1, "knee": 1, "foot": 1, "head": 2, "hand": 2}
"""Which of a person's three shades (shirt, trousers, skin) a bone has."""


@dataclass(frozen=True)
class Camera:
    """Where the camera stands: turned about the figure (yaw), looking down (pitch), pixels per metre, and
    the image position (row, column) in pixels of the floor below the figure."""

    yaw: float
    pitch: float
    scale: float
    floor: tuple[float, float]


@dataclass(frozen=True)
class Sound:
    """How a person sounds: the pitch in Hz of footfalls and claps, the share of noise in a footfall, and
    loudness."""

    step_pitch: float
    clap_pitch: float
    hardness: float
    loudness: float


def turned(joints: np.ndarray, yaw: float) -> np.ndarray:
    """Joints [T, J, 3] in the camera's frame: x towards it, y to the right of the image, z up."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    return joints @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])


def track(joints: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Motion capture of joints [T, J, 3] in the camera's frame: float32 [3 J, T].

    Centred on the mean position of the pelvis, in units of the trunk's length, with noise; again and again
    the joints of a limb stand still for a while, as trackers hold what they lose sight of.
    """
    noisy = joints + JOINT_NOISE * random.uniform(-1, 1, (3, *joints.shape)).sum(axis=0)
    for _ in range(random.integers(2, 8)):
        limb = JOINTS.index("left shoulder") + 3 * random.integers(4)
        start, length = random.integers(len(joints)), random.integers(8, 33)
        noisy[start : start + length, limb : limb + 3] = noisy[start, limb : limb + 3]
    trunk = np.linalg.norm(noisy[:, 1] - noisy[:, 0], axis=1).mean()
    centred = (noisy - noisy[:, 0].mean(axis=0)) / trunk
    # Rounded, so that the last bits of a processor's sines don't reach the fingerprint.
    return np.round(centred, 3).reshape(len(joints), -1).T.astype(np.float32)


def film(
    joints: np.ndarray, camera: Camera, shades: Sequence[float], random: np.random.Generator
) -> np.ndarray:
    """Video of joints [T, J, 3] in the camera's frame, with clutter behind the figure, bars that pass before
    it, and noise: uint8 [2, T, 20, 16].

    Channel 0 is brightness, channel 1 its change since the frame before: 128 + half the difference. Small
    networks see movement in it from the first epochs on.

    shades: of shirt, trousers and skin, 0 to 1: how far they stand out from the wall, LEAST to MOST
    """
    size = HEIGHT * OVERSAMPLING, WIDTH * OVERSAMPLING
    wall = int(random.integers(30, 100))
    background = _scene(size, wall, random)
    bars = [_Bar.drawn(size, random) for _ in range(random.integers(3))]
    greys = [wall + LEAST + (MOST - LEAST) * each for each in shades]
    height = joints[..., 2] * np.cos(camera.pitch) - joints[..., 0] * np.sin(camera.pitch)
    points = np.stack([camera.floor[1] + camera.scale * joints[..., 1],
                       camera.floor[0] - camera.scale * height], axis=-1) * OVERSAMPLING  # fmt: skip
    fixed = np.round(points * 2**SUBPIXEL_BITS).astype(np.int32)
    canvases = np.empty((len(joints), *size), np.uint8)
    for frame, canvas in enumerate(canvases):
        canvas[:] = background
        _draw(canvas, fixed[frame], joints[frame, :, 0], camera.scale * OVERSAMPLING, greys)
        for bar in bars:
            bar.draw(canvas, frame)
    fine = canvases.reshape(len(joints), HEIGHT, OVERSAMPLING, WIDTH, OVERSAMPLING)
    coarse = fine.sum(axis=(2, 4), dtype=np.int32) // OVERSAMPLING**2
    noise = random.integers(-PIXEL_NOISE, PIXEL_NOISE + 1, (3, *coarse.shape), dtype=np.int32).sum(axis=0)
    brightness = np.clip(coarse + noise, 0, 255)
    change = np.diff(brightness, axis=0, prepend=brightness[:1])
    return np.stack([brightness, 128 + change // 2]).astype(np.uint8)


def hear(
    impacts: Sequence[tuple[float, str, float]],
    speed: np.ndarray,
    sound: Sound,
    random: np.random.Generator,
) -> np.ndarray:
    """What the microphone gets, [SECONDS * SAMPLE_RATE]: impacts (seconds, kind, loudness), the rush of air
    of limbs at `speed` [T] in metres per second, noise, and now and then a knock from elsewhere."""
    length = SECONDS * SAMPLE_RATE
    time = np.arange(length) / SAMPLE_RATE
    air = lfilter([0.3, 0, -0.3], [1, -1.2, 0.6], random.uniform(-1, 1, length))
    strength = np.interp(time, np.linspace(0, SECONDS, len(speed)), np.minimum(speed / 6, 1.2) ** 3)
    wave = 0.08 * sound.loudness * strength * air + HISS * random.uniform(-1, 1, length)
    wave += 0.01 * np.sin(2 * np.pi * (random.uniform(80, 200) * time + random.random()))
    for moment, kind, loudness in impacts:
        _add(wave, moment, sound.loudness * loudness * _burst(kind, sound, random))
    for _ in range(random.integers(5)):
        knock = Sound(random.uniform(100, 600), random.uniform(800, 2500), random.random(), 1.0)
        kind = ("step", "clap")[random.integers(2)]
        _add(wave, random.uniform(0, SECONDS), random.uniform(0.2, 0.8) * _burst(kind, knock, random))
    return wave


def log_mel(waves: np.ndarray) -> np.ndarray:
    """Logarithms of mel spectrograms of waves [N, samples]: float32 [N, MELS, SOUND_FRAMES]."""
    # In double precision and rounded: the same whatever the number of threads and the order of sums.
    transform = MelSpectrogram(
        SAMPLE_RATE, n_fft=512, hop_length=SECONDS * SAMPLE_RATE // SOUND_FRAMES, n_mels=MELS
    ).double()
    power = transform(torch.from_numpy(waves))[..., :SOUND_FRAMES]
    return np.round(np.log(power.numpy() + 1e-2), 2).astype(np.float32)


def _burst(kind: str, sound: Sound, random: np.random.Generator) -> np.ndarray:
    """The sound of one impact; a quarter of a second."""
    time = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    noise = random.uniform(-1, 1, len(time))
    if kind == "clap":
        ring = np.asarray(lfilter([1, 0, -1], _resonance(sound.clap_pitch, 0.85), noise))
        return 0.25 * ring * np.exp(-time / 0.012)
    depth = {"step": 1.0, "stamp": 0.8, "landing": 0.65}[kind]
    decay = {"step": 0.03, "stamp": 0.06, "landing": 0.09}[kind]
    force = {"step": 0.3, "stamp": 0.6, "landing": 0.6}[kind]
    thump = np.sin(2 * np.pi * sound.step_pitch * depth * time) * np.exp(-time / decay)
    slap = sound.hardness * np.asarray(lfilter([0.4], [1, -0.6], noise)) * np.exp(-time / 0.015)
    return force * (thump + slap)


def _resonance(frequency: float, radius: float) -> list[float]:
    """Denominator of a two-pole resonator."""
    return [1, -2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE), radius**2]


def _add(wave: np.ndarray, moment: float, burst: np.ndarray) -> None:
    start = int(moment * SAMPLE_RATE)
    part = wave[start : start + len(burst)]
    part += burst[: len(part)]


def _scene(size: tuple[int, int], wall: int, random: np.random.Generator) -> np.ndarray:
    """A wall of one grey and a floor of another, with boxes and strokes about, uint8 [*size]."""
    scene = np.full(size, wall, np.uint8)
    scene[int(size[0] * random.uniform(0.7, 0.9)) :] = wall + int(random.integers(-25, 26))
    for _ in range(random.integers(3)):
        corner, extent = random.integers(0, size[0], 2), random.integers(6, 28, 2)
        grey = int(random.integers(20, 150))
        if random.random() < 0.5:
            cv2.rectangle(scene, corner.tolist(), (corner + extent).tolist(), grey, cv2.FILLED)
        else:
            stop = random.integers(0, size[0], 2).tolist()
            cv2.line(scene, corner.tolist(), stop, grey, int(random.integers(3, 9)))
    return scene


@dataclass(frozen=True)
class _Bar:
    """A bar before the figure, across the image along `axis`; canvas pixels, and pixels per frame."""

    axis: int
    start: float
    drift: float
    width: int
    grey: int

    @classmethod
    def drawn(cls, size: tuple[int, int], random: np.random.Generator) -> _Bar:
        axis = int(random.integers(2))
        return cls(
            axis, random.uniform(0, size[axis]), random.uniform(-6, 6), int(random.integers(6, 18)),
            int(random.integers(20, 200)),
        )  # fmt: skip

    def draw(self, canvas: np.ndarray, frame: int) -> None:
        begin = int(self.start + self.drift * frame) % canvas.shape[self.axis]
        part = slice(begin, begin + self.width)
        canvas[(part, slice(None)) if self.axis == 0 else (slice(None), part)] = self.grey


def _draw(
    canvas: np.ndarray, points: np.ndarray, nearness: np.ndarray, scale: float, greys: Sequence[float]
) -> None:
    """Draws the figure with joints at points [J, 2] (fixed point), far limbs first and a little darker."""
    for parent, joint in sorted(BONES, key=lambda bone: (nearness[bone[0]] + nearness[bone[1]], bone)):
        part = JOINTS[joint].split()[-1]
        depth = float(nearness[parent] + nearness[joint])
        grey = round(min(max(greys[CLOTHES[part]] + 20 * depth, 0), 255))
        width = max(1, round(THICKNESS[part] * scale))
        cv2.line(canvas, points[parent].tolist(), points[joint].tolist(), grey, width, cv2.LINE_8,
                 SUBPIXEL_BITS)  # fmt: skip
        if part == "head":
            radius = round(HEAD_RADIUS * scale * 2**SUBPIXEL_BITS)
            cv2.circle(canvas, points[joint].tolist(), radius, grey, cv2.FILLED, cv2.LINE_8, SUBPIXEL_BITS)
