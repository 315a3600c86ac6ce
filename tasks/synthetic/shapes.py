"""The embedded dataset: twelve geometric figures among clutter, drawn the same way everywhere from one seed.

The figures are frozen: a change here changes every number made with them. How hard they are was fixed before
any method was trained on them: the noise is such that the teacher gets more than nine in ten right, and short
of all. The images to test on were drawn afterwards.

`python -m tasks.synthetic.shapes --preview shapes.png` writes a contact sheet.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from tasks.synthetic.preview import caption, preview

SIDE = 32
OVERSAMPLING = 4
"""Figures are drawn without anti-aliasing on a finer grid and averaged in integers: the same everywhere."""

SHEET_IMAGES, SHEET_ZOOM, SHEET_NAME = 10, 2, 140
"""Of the contact sheet: images per class, pixels per pixel, and the width of the names."""

SUBPIXEL_BITS = 4
CHUNK = 500

NOISE = 24
"""Each pixel gets the sum of three uniform draws from -NOISE..NOISE, a standard deviation of 24 or so."""

DARK, MEDIUM = (0, 90), (0, 180)
"""Channel ranges of the background and of the strokes; figures are brighter."""

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


def _rotation(radians: float) -> np.ndarray:
    return np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])


def _cross(half: float) -> np.ndarray:
    """A plus sign with arms of length 1 and width 2 * half."""
    arm = np.array([[-half, -half], [-half, -1.0], [half, -1.0]])
    return np.concatenate([arm @ _rotation(quarter * np.pi / 2).T for quarter in range(4)])


def _heart() -> np.ndarray:
    lobes = _arc(-0.35, 0.15, 0.56, (-0.42, -0.3)), _arc(-0.15, 0.35, 0.56, (0.42, -0.3))
    return np.concatenate([*lobes, [[0, 1.05]]])


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
    "heart": [_heart()],
}
"""Every figure is its own mirror image, so that a horizontal flip keeps the class."""

CLASSES = tuple(FIGURES)


def shapes(num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws N = num_samples images, equally many per class: (uint8 [N, 3, 32, 32] RGB, int64 [N] labels)."""
    random = np.random.Generator(np.random.PCG64(seed))
    labels = random.permutation(np.arange(num_samples) % len(CLASSES))
    images = np.empty((num_samples, 3, SIDE, SIDE), np.uint8)
    for start in range(0, num_samples, CHUNK):
        chunk = labels[start : start + CHUNK]
        scenes = np.stack([_scene(int(label), random) for label in chunk])
        # Rows, then columns: over both axes at once NumPy takes three times as long for the same sums.
        rows = scenes.reshape(len(chunk), SIDE, OVERSAMPLING, -1).sum(axis=2, dtype=np.uint16)
        fine = rows.reshape(len(chunk), SIDE, SIDE, OVERSAMPLING, 3)
        coarse = fine.sum(axis=3, dtype=np.int32) // OVERSAMPLING**2
        # A normal draw goes through platform-dependent logarithms; the sum of three uniform integers doesn't.
        noise = random.integers(-NOISE, NOISE + 1, (3, *coarse.shape), dtype=np.int32).sum(axis=0)
        images[start : start + CHUNK] = np.clip(coarse + noise, 0, 255).transpose(0, 3, 1, 2)
    return images, labels.astype(np.int64)


def _scene(label: int, random: np.random.Generator) -> np.ndarray:
    """One canvas, uint8 [128, 128, 3]: background, clutter, the figure, and often a stroke across it."""
    canvas = _background(SIDE * OVERSAMPLING, random)
    for _ in range(random.integers(5)):
        _stroke(canvas, random)
    for _ in range(random.integers(3)):
        distractor = FIGURES[CLASSES[random.integers(len(CLASSES))]]
        _fill(canvas, distractor, _colour(DARK, random), random, radius=(2.0, 3.5), shift=14.0)
    _fill(canvas, FIGURES[CLASSES[label]], _tint(random), random, radius=(5.0, 9.0), shift=4.0)
    if random.random() < 0.5:
        _stroke(canvas, random)
    return canvas


def _colour(channel_range: tuple[int, int], random: np.random.Generator) -> tuple[int, ...]:
    return tuple(random.integers(*channel_range, 3).tolist())


def _tint(random: np.random.Generator) -> tuple[int, ...]:
    """A bright colour of any hue: it tells nothing of the class."""
    hue = random.random()
    saturation, value = 0.3 + 0.3 * random.random(), 0.7 + 0.3 * random.random()
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))


def _background(side: int, random: np.random.Generator) -> np.ndarray:
    """A linear gradient between two near colours, along a random axis."""
    start = random.integers(*DARK, 3)
    stop = np.clip(start + random.integers(-60, 61, 3), 0, 255)
    ramp = np.arange(side)[:, None]
    line = (start * (side - 1 - ramp) + stop * ramp) // (side - 1)
    across = np.expand_dims(line, int(random.integers(2)))
    return np.ascontiguousarray(np.broadcast_to(across, (side, side, 3)).astype(np.uint8))


def _stroke(canvas: np.ndarray, random: np.random.Generator) -> None:
    """Draws a straight line of random colour and width."""
    start, stop = random.integers(0, len(canvas), (2, 2)).tolist()
    cv2.line(canvas, start, stop, _colour(MEDIUM, random), int(random.integers(3, 9)))


def _fill(
    canvas: np.ndarray,
    contours: Contours,
    colour: tuple[int, ...],
    random: np.random.Generator,
    *,
    radius: tuple[float, float],
    shift: float,
) -> None:
    """Draws a figure at a random size, place, tilt and stretch; radius and shift in pixels of the image."""
    scale = (radius[0] + (radius[1] - radius[0]) * random.random()) * OVERSAMPLING
    centre = SIDE * OVERSAMPLING / 2 + (2 * random.random(2) - 1) * shift * OVERSAMPLING
    turn, stretch = _rotation(random.random() - 0.5), 0.85 + 0.3 * random.random()
    placed = [(points * [stretch, 1 / stretch] @ turn.T) * scale + centre for points in contours]
    fixed = [np.round(points * 2**SUBPIXEL_BITS).astype(np.int32) for points in placed]
    cv2.fillPoly(canvas, fixed, colour, cv2.LINE_8, SUBPIXEL_BITS)


def contact_sheet(seed: int = 0) -> np.ndarray:
    """A picture, uint8 [H, W, 3] RGB: a row per class with its name and some images."""
    images, labels = shapes(SHEET_IMAGES * len(CLASSES), seed)
    rows = []
    for number, name in enumerate(CLASSES):
        row = np.concatenate(list(images[labels == number].transpose(0, 2, 3, 1)), axis=1)
        row = row.repeat(SHEET_ZOOM, axis=0).repeat(SHEET_ZOOM, axis=1)
        rows.append(np.concatenate([caption(name, len(row), SHEET_NAME), row], axis=1))
    return np.concatenate(rows)


if __name__ == "__main__":
    preview("Draws embedded shapes: a row per class.", contact_sheet)
