"""Takes a colour and a depth picture of a scene, as cameras do: with grain, noise, rounding and holes."""

from __future__ import annotations

import numpy as np

from tasks.synthetic.rendering.scenes import Scene
from tasks.synthetic.rendering.solids import View, cast, shade

SIDE = 40
OVERSAMPLING = 2

GRAIN = 7
"""Each colour value gets the sum of three uniform draws from -GRAIN..GRAIN, in 255ths."""

DEPTH_NOISE, DEPTH_STEP = 0.003, 0.003
"""Spread of the depth at 1 m and width of its quantisation steps, in metres; both grow with its square."""

FARTHEST = 8.0
EDGE, GRAZING = 0.2, 0.12
"""A jump in depth (metres) beside which the sensor often sees nothing, and the cosine below which it seldom
does."""


def photograph(scene: Scene, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scene as uint8 RGB [3, 40, 40], int16 depth [40, 40] in millimetres and mask int64 [40, 40].

    Colours are means of 2 x 2 rays; depth and mask are those of the nearest of them.
    """
    view = cast(scene.solids, scene.camera, SIDE * OVERSAMPLING)
    colours = shade(scene.solids, view, scene.camera, scene.light, scene.ambient)
    colours = colours.reshape(3, SIDE, OVERSAMPLING, SIDE, OVERSAMPLING).mean(axis=(2, 4))
    exposed = 255 * np.sqrt(np.clip(colours * np.array(scene.tint)[:, None, None], 0, 1))
    # A normal draw goes through platform-dependent logarithms; the sum of three uniform integers doesn't.
    grain = random.integers(-GRAIN, GRAIN + 1, (3, *exposed.shape), dtype=np.int32).sum(axis=0)
    rgb = np.clip(np.rint(exposed).astype(np.int32) + grain, 0, 255).astype(np.uint8)
    blocks = _blocks(view.depth)
    nearest = blocks.argmin(axis=-1)[..., None]
    depth = np.take_along_axis(blocks, nearest, axis=-1)[..., 0]
    solid = np.take_along_axis(_blocks(view.solid), nearest, axis=-1)[..., 0]
    parts = np.array([each.part for each in scene.solids])
    facing = np.take_along_axis(_blocks(_cosine(scene, view)), nearest, axis=-1)[..., 0]
    shine = np.array([each.material.shine for each in scene.solids])[solid]
    return rgb, sense(depth, facing, shine, rgb, random), parts[solid]


def _blocks(image: np.ndarray) -> np.ndarray:
    """[80, 80] -> [40, 40, 4]: the rays of each pixel."""
    fine = image.reshape(SIDE, OVERSAMPLING, SIDE, OVERSAMPLING)
    return fine.transpose(0, 2, 1, 3).reshape(SIDE, SIDE, -1)


def _cosine(scene: Scene, view: View) -> np.ndarray:
    """How squarely each ray meets its surface: 1 head on, 0 grazing."""
    gaze = np.array(scene.camera.position)[:, None, None] - view.points
    return (gaze * view.normals).sum(axis=0) / np.sqrt((gaze**2).sum(axis=0))


def sense(
    depth: np.ndarray, facing: np.ndarray, shine: np.ndarray, rgb: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """True depth in metres -> what a depth sensor says, int16 millimetres, 0 where it says nothing.

    Noise and quantisation grow with the square of the distance, as a structured-light sensor's do; holes are
    at jumps of the depth, where surfaces are met at a grazing angle, are shiny or dark, and beyond the range.
    """
    spread = random.integers(-100, 101, (3, *depth.shape)).sum(axis=0) / 100.0
    step = np.maximum(DEPTH_STEP * depth**2, 0.001)
    measured = np.rint((depth + DEPTH_NOISE * depth**2 * spread) / step) * step
    jump = _bend(1 / depth) * depth**2 > EDGE
    dark = rgb.max(axis=0) < 50
    blind = np.maximum.reduce(
        [0.3 * jump, 0.7 * (facing < GRAZING), 0.6 * shine**2, 0.3 * dark, np.full_like(depth, 0.005)]
    )
    lost = (random.random(depth.shape) < blind) | (depth > FARTHEST)
    return np.where(lost, 0, np.rint(1000 * measured)).astype(np.int16)


def _bend(disparity: np.ndarray) -> np.ndarray:
    """The larger second difference along rows or columns: zero on planes, whose disparity is linear."""
    padded = np.pad(disparity, 1, mode="edge")
    across = np.abs(padded[1:-1, :-2] + padded[1:-1, 2:] - 2 * disparity)
    return np.maximum(across, np.abs(padded[:-2, 1:-1] + padded[2:, 1:-1] - 2 * disparity))
