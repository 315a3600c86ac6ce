"""The embedded dataset: twelve geometric figures among clutter, drawn the same way everywhere from one seed."""

from __future__ import annotations

from collections.abc import Callable

import colorsys
import cv2
import numpy as np

SIDE = 32
OVERSAMPLING = 4
"""Figures are drawn without anti-aliasing on a finer grid and averaged in integers, so that every platform agrees."""

SUBPIXEL_BITS = 4
CHUNK = 500

Contours = list[np.ndarray]
"""Closed polygons [M, 2] around the origin, about one unit in radius; a second contour is a hole."""


def _arc(start: float, stop: float, radius: float = 1.0, centre: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Points on a circle; angles in turns, clockwise from the top."""
    angles = 2 * np.pi * np.linspace(start, stop, 24)
    return np.stack([centre[0] + radius * np.sin(angles), centre[1] - radius * np.cos(angles)], axis=1)


def _polygon(corners: int, *radii: float) -> np.ndarray:
    """A regular polygon with a corner at the top; several radii take turns (a star)."""
    angles = 2 * np.pi * np.arange(corners) / corners
    reach = np.resize(radii or (1.0,), corners)
    return np.stack([reach * np.sin(angles), -reach * np.cos(angles)], axis=1)


def _cross(half_width: float) -> np.ndarray:
    corner, c = np.array([[-1.0, -1.0]]), half_width
    arm = np.array([[-c, -c], [-c, -1.0], [c, -1.0]])
    quarter_turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in np.arange(4) * np.pi / 2]
    del corner
    return np.concatenate([arm @ turn.T for turn in quarter_turns])


FIGURES: dict[str, Contours] = {
    "disc": [_arc(0, 1)],
    "ring": [_arc(0, 1), 0.6 * _arc(0, 1)],
    "triangle": [1.15 * _polygon(3)],
    "square": [1.1 * _polygon(4)],
    "rhombus": [_polygon(4) * [0.7, 1.2]],
    "pentagon": [1.05 * _polygon(5)],
    "star": [_polygon(10, 1.2, 0.55)],
    "four-pointed star": [_polygon(8, 1.25, 0.5)],
    "cross": [_cross(0.36)],
    "crescent": [np.concatenate([_arc(0.13, 0.87), _arc(0.81, 0.19, 0.75, (0, -0.45))])],
    "half disc": [1.15 * _arc(-0.25, 0.25) + [0, 0.45]],
    "heart": [
        np.concatenate([_arc(-0.35, 0.15, 0.56, (-0.42, -0.3)), _arc(-0.15, 0.35, 0.56, (0.42, -0.3)), [[0, 1.05]]])
    ],
}
"""Every figure is its own mirror image, so a horizontal flip keeps the class."""

CLASSES = tuple(FIGURES)


def shapes(num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws `num_samples` images: (uint8 [N, 3, 32, 32] RGB, int64 [N] labels, classes as equal as N allows)."""
    random = np.random.Generator(np.random.PCG64(seed))
    labels = random.permutation(np.arange(num_samples) % len(CLASSES))
    images = np.empty((num_samples, 3, SIDE, SIDE), np.uint8)
    for start in range(0, num_samples, CHUNK):
        chunk = labels[start : start + CHUNK]
        canvases = np.stack([_scene(CLASSES[label], random) for label in chunk])
        fine = canvases.reshape(len(chunk), SIDE, OVERSAMPLING, SIDE, OVERSAMPLING, 3)
        coarse = fine.sum(axis=(2, 4), dtype=np.int32) // OVERSAMPLING**2
        # The sum of three uniform integers is close enough to a normal draw, and the same on every platform.
        noise = random.integers(-NOISE, NOISE + 1, (3, *coarse.shape), dtype=np.int32).sum(axis=0)
        images[start : start + CHUNK] = np.clip(coarse + noise, 0, 255).transpose(0, 3, 1, 2)
    return images, labels.astype(np.int64)


NOISE = 14
HUE_SPREAD = 0.2
SAT = (0.3, 0.3)
VAL = 0.7
DARK = (0, 130)
BRIGHT = (110, 256)
STROKE = (0, 256)
TILT = 0.5
SPREAD = 4.0
RADIUS = (5.5, 10.5)
CLUTTER = 4
OCCLUSION = 0.5
DISTRACTORS = 2


def _scene(figure: str, random: np.random.Generator) -> np.ndarray:
    """One canvas uint8 [128, 128, 3]: background, clutter behind, the figure, and a bar before it."""
    side = SIDE * OVERSAMPLING
    canvas = _background(side, random)
    for _ in range(random.integers(CLUTTER + 1)):
        _stroke(canvas, random)
    names = CLASSES
    for _ in range(random.integers(DISTRACTORS + 1)):
        _fill(canvas, FIGURES[names[random.integers(len(names))]], _colour(random, DARK), random, radius=(2.0, 3.5), spread=14.0)
    hue = CLASSES.index(figure) / len(CLASSES) + HUE_SPREAD * (2 * random.random() - 1)
    tint = colorsys.hsv_to_rgb(hue % 1, SAT[0] + SAT[1] * random.random(), VAL + (1 - VAL) * random.random())
    colour = tuple(round(255 * c) for c in tint)
    _fill(canvas, FIGURES[figure], colour, random, radius=RADIUS, spread=SPREAD)
    if random.random() < OCCLUSION:
        _stroke(canvas, random)
    return canvas


def _colour(random: np.random.Generator, band) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(*band, 3))
    return red, green, blue


def _background(side: int, random: np.random.Generator) -> np.ndarray:
    """A linear gradient between two near colours, along a random axis."""
    start = random.integers(*DARK, 3)
    stop = np.clip(start + random.integers(-60, 61, 3), 0, 255)
    ramp = np.arange(side)[:, None]
    line = (start * (side - 1 - ramp) + stop * ramp) // (side - 1)
    axis = int(random.integers(2))
    return np.ascontiguousarray(np.broadcast_to(np.expand_dims(line, axis), (side, side, 3)).astype(np.uint8))


def _stroke(canvas: np.ndarray, random: np.random.Generator) -> None:
    """A straight line of random colour and width across the canvas."""
    side = len(canvas)
    ends = random.integers(0, side, (2, 2)).tolist()
    cv2.line(canvas, ends[0], ends[1], _colour(random, STROKE), int(random.integers(3, 9)))


def _fill(canvas, contours, colour, random, *, radius, spread) -> None:
    """Draws a figure with random size, place, rotation and a mild stretch."""
    scale = (radius[0] + (radius[1] - radius[0]) * random.random()) * OVERSAMPLING
    centre = SIDE * OVERSAMPLING / 2 + (2 * random.random(2) - 1) * spread * OVERSAMPLING
    angle, stretch = TILT * (2 * random.random() - 1), 0.85 + 0.3 * random.random()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = [(points * [stretch, 1 / stretch] @ turn.T) * scale + centre for points in contours]
    fixed = [np.round(points * 2**SUBPIXEL_BITS).astype(np.int32) for points in placed]
    cv2.fillPoly(canvas, fixed, colour, cv2.LINE_8, SUBPIXEL_BITS)
