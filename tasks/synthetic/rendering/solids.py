"""A small ray caster: boxes, ellipsoids and frustums with procedural textures, seen by a pinhole camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

BOX, ELLIPSOID, FRUSTUM = range(3)
PLAIN, PLANKS, TILES, CHECKER, SPECKLE, SPINES = range(6)
NEAR = 0.05
"""Nothing nearer to the camera than this, in metres, is seen."""

Colour = tuple[float, float, float]
"""Red, green and blue, each 0..1."""

Vector = tuple[float, float, float]
"""x to the right, y away from the camera, z up, in metres."""


def scaled(colour: Colour, factor: float) -> Colour:
    """A colour that is lighter or darker by a factor."""
    red, green, blue = colour
    return factor * red, factor * green, factor * blue


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface looks; `second` is the pattern's other colour, `period` its size in metres."""

    colour: Colour
    second: Colour = (0.0, 0.0, 0.0)
    pattern: int = PLAIN
    period: float = 0.1
    shine: float = 0.0


@dataclass(frozen=True, slots=True)
class Solid:
    """A convex solid standing upright, turned by `yaw` (radians, counter-clockwise from above).

    part    what it belongs to: the class of its pixels in the mask
    half    half of its extent along each of its own axes; a frustum's x and y are those of its lower end
    taper   a frustum's upper radius over its lower one: 1 for a cylinder, 0 for a cone
    """

    kind: int
    part: int
    material: Material
    centre: Vector
    half: Vector
    yaw: float = 0.0
    taper: float = 1.0

    def moved(self, shift: Vector, yaw: float) -> Solid:
        """Turned around the origin's vertical axis by `yaw`, then shifted."""
        x, y, z = self.centre
        cosine, sine = np.cos(yaw), np.sin(yaw)
        centre = (cosine * x - sine * y + shift[0], sine * x + cosine * y + shift[1], z + shift[2])
        return replace(self, centre=centre, yaw=self.yaw + yaw)

    def mirrored(self) -> Solid:
        """Its image with left and right exchanged."""
        x, y, z = self.centre
        return replace(self, centre=(-x, y, z), yaw=-self.yaw)

    def matrix(self) -> np.ndarray:
        """World offsets to the frame in which the solid spans -1..1 along each axis, [3, 3]."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        return turn / np.array(self.half)[:, None]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; yaw turns to the left, pitch upwards; `focal` is in half widths of the image."""

    position: Vector
    yaw: float = 0.0
    pitch: float = 0.0
    focal: float = 1.4

    def axes(self) -> np.ndarray:
        """Rows: right, up and forward in the world, [3, 3]."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        level, rise = np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([-sine * level, cosine * level, rise])
        right = np.array([cosine, sine, 0.0])
        up = np.array([sine * rise, -cosine * rise, level])
        return np.stack([right, up, forward])

    def rays(self, side: int) -> np.ndarray:
        """Directions [3, side, side] through the pixels' centres; one unit long along the optical axis, so
        that a ray's parameter is the depth."""
        steps = (2 * np.arange(side) + 1) / side - 1
        across, down = np.meshgrid(steps / self.focal, steps / self.focal)
        local = np.stack([across, -down, np.ones_like(across)])
        return np.tensordot(self.axes().T, local, axes=1)


@dataclass(frozen=True)
class View:
    """What each of side x side rays meets: depth in metres, which solid, where and at what angle.

    points and normals are [3, side, side]; `local` are the points in metres along the solid's own axes and
    `facing` the solid's axis that the surface looks along.
    """

    depth: np.ndarray
    solid: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    local: np.ndarray
    facing: np.ndarray


class _Table:
    """The geometry of S solids: kind, taper, cosine and sine of yaw [S], centre and half [S, 3]."""

    def __init__(self, solids: Sequence[Solid]):
        self.kind = np.array([solid.kind for solid in solids])
        self.taper = np.array([solid.taper for solid in solids])
        self.centre = np.array([solid.centre for solid in solids])
        self.half = np.array([solid.half for solid in solids])
        yaw = np.array([solid.yaw for solid in solids])
        self.cosine, self.sine = np.cos(yaw), np.sin(yaw)

    def windows(self, camera: Camera, side: int) -> np.ndarray:
        """First and last row and column (exclusive) that each solid's bounding box can be seen in, [S, 4]."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        reach = np.maximum(1.0, self.taper)[:, None]
        x, y, z = np.moveaxis(self.half[:, None] * signs, 2, 0)
        x, y = x * reach, y * reach
        cosine, sine = self.cosine[:, None], self.sine[:, None]
        corners = np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)
        local = (corners + self.centre[:, None] - camera.position) @ camera.axes().T
        right, up, forward = np.moveaxis(local, 2, 0)
        down = (1 - up / forward * camera.focal) * side / 2
        across = (1 + right / forward * camera.focal) * side / 2
        ends = [down.min(1), down.max(1), across.min(1), across.max(1)]
        ends = np.stack([np.floor(ends[0]), np.ceil(ends[1]), np.floor(ends[2]), np.ceil(ends[3])], axis=1)
        # A box that reaches behind the camera may be seen anywhere, one that is wholly behind it nowhere.
        ends[forward.min(axis=1) < NEAR] = [0, side, 0, side]
        ends[forward.max(axis=1) < NEAR] = 0
        return np.clip(ends, 0, side).astype(int)


def cast(solids: Sequence[Solid], camera: Camera, side: int) -> View:
    """Follows one ray per pixel to the nearest solid; they must close the scene, so that every ray ends."""
    rays, origin, table = camera.rays(side), np.array(camera.position), _Table(solids)
    depth, nearest = np.full((side, side), np.inf), np.zeros((side, side), np.int64)
    # A ray along a face divides by zero; what comes of it never compares as nearer.
    with np.errstate(divide="ignore", invalid="ignore"):
        for number, (top, bottom, left, right) in enumerate(table.windows(camera, side).tolist()):
            if top == bottom or left == right:
                continue
            solid, matrix = solids[number], solids[number].matrix()
            seen = rays[:, top:bottom, left:right]
            ray = (matrix @ seen.reshape(3, -1)).reshape(seen.shape)
            start = (matrix @ (origin - table.centre[number]))[:, None, None]
            distance = _INTERSECT[solid.kind](start, ray, solid.taper)
            before = depth[top:bottom, left:right]
            closer = distance < before
            np.copyto(before, distance, where=closer)
            nearest[top:bottom, left:right][closer] = number
    points = origin[:, None, None] + depth * rays
    return View(depth, nearest, points, *_surfaces(table, nearest, points))


def _box(start: np.ndarray, ray: np.ndarray, taper: float) -> np.ndarray:
    """Ray parameter where [-1, 1]^3 is entered; infinite where it is missed."""
    low, high = (-1 - start) / ray, (1 - start) / ray
    near, far = np.minimum(low, high), np.maximum(low, high)
    enter = np.maximum(np.maximum(near[0], near[1]), near[2])
    leave = np.minimum(np.minimum(far[0], far[1]), far[2])
    return np.where((enter < leave) & (enter > NEAR), enter, np.inf)


def _ellipsoid(start: np.ndarray, ray: np.ndarray, taper: float) -> np.ndarray:
    """Ray parameter where the unit ball is entered; infinite where it is missed."""
    square, half = (ray * ray).sum(axis=0), (start * ray).sum(axis=0)
    root = half**2 - square * ((start * start).sum(axis=0) - 1)
    enter = (-half - np.sqrt(np.maximum(root, 0))) / square
    return np.where((root > 0) & (enter > NEAR), enter, np.inf)


def _frustum(start: np.ndarray, ray: np.ndarray, taper: float) -> np.ndarray:
    """Ray parameter where the frustum from z = -1 (radius 1) to z = 1 (radius `taper`) is entered."""
    slope, middle = (taper - 1) / 2, (taper + 1) / 2
    (x, y, z), (dx, dy, dz) = start, ray
    radius = middle + slope * z
    square = dx**2 + dy**2 - (slope * dz) ** 2
    half = x * dx + y * dy - slope * dz * radius
    root = half**2 - square * (x**2 + y**2 - radius**2)
    spread = np.sqrt(np.maximum(root, 0))
    found = np.full(dx.shape, np.inf)
    for enter in ((-half - spread) / square, (-half + spread) / square):
        valid = (root > 0) & (enter > NEAR) & (np.abs(z + enter * dz) <= 1)
        found = np.where(valid & (enter < found), enter, found)
    for end, limit in ((-1, 1.0), (1, taper)):
        enter = (end - z) / dz
        inside = (x + enter * dx) ** 2 + (y + enter * dy) ** 2 <= limit**2
        found = np.where(inside & (enter > NEAR) & (enter < found), enter, found)
    return found


_INTERSECT = {BOX: _box, ELLIPSOID: _ellipsoid, FRUSTUM: _frustum}


def _surfaces(table: _Table, which: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Normals and local points [3, ...] in metres, and facing axes [...], of the points on solids `which`."""
    kind, half = table.kind[which], np.ascontiguousarray(table.half.T)[:, which]
    cosine, sine, slope = table.cosine[which], table.sine[which], (table.taper[which] - 1) / 2
    x, y, z = points - np.ascontiguousarray(table.centre.T)[:, which]
    local = np.stack([cosine * x + sine * y, cosine * y - sine * x, z])
    unit = local / half
    size = np.abs(unit)
    largest = np.maximum(np.maximum(size[0], size[1]), size[2])
    is_box, is_frustum = kind == BOX, kind == FRUSTUM
    flat = is_frustum & (size[2] > 1 - 1e-9)
    gradient = np.where(is_box & (size < largest), 0.0, unit)
    gradient[2] = np.where(is_frustum & ~flat, -slope * (slope + 1 + slope * unit[2]), gradient[2])
    gradient[:2] *= ~flat
    gradient /= half
    gradient /= np.sqrt((gradient * gradient).sum(axis=0))
    x, y, z = gradient
    normals = np.stack([cosine * x - sine * y, sine * x + cosine * y, z])
    return normals, local, np.abs(gradient).argmax(axis=0)


def shade(solids: Sequence[Solid], view: View, camera: Camera, light: Vector, ambient: float) -> np.ndarray:
    """Colours [3, side, side], about 0..1: texture in a point light and ambient light, with highlights."""
    beam = np.array(light)[:, None, None] - view.points
    distance = np.sqrt((beam**2).sum(axis=0))
    beam = beam / distance
    gaze = np.array(camera.position)[:, None, None] - view.points
    between = beam + gaze / np.sqrt((gaze**2).sum(axis=0))
    between /= np.sqrt((between**2).sum(axis=0)) + 1e-9
    lambert = np.maximum((beam * view.normals).sum(axis=0), 0) / (1 + 0.08 * distance**2)
    shine = np.array([solid.material.shine for solid in solids])[view.solid]
    highlight = shine * np.maximum((between * view.normals).sum(axis=0), 0) ** 24
    return _texture(solids, view) * (ambient + (1.15 - ambient) * lambert) + 0.6 * highlight


def _texture(solids: Sequence[Solid], view: View) -> np.ndarray:
    """The colour [3, ...] of every point's material, pattern included."""
    materials = [solid.material for solid in solids]
    first = np.array([each.colour for each in materials]).T[:, view.solid]
    second = np.array([each.second for each in materials]).T[:, view.solid]
    pattern = np.array([each.pattern for each in materials])[view.solid]
    period = np.array([each.period for each in materials])[view.solid]
    # The surface's own two axes: x and y on top, the horizontal one and z on the sides.
    across = np.where(view.facing == 0, view.local[1], view.local[0]) / period
    along = np.where(view.facing == 2, view.local[1], view.local[2]) / period
    column, row = np.floor(across).astype(np.int64), np.floor(along).astype(np.int64)
    joint = (across - column < 0.12) | (along - row < 0.12)
    share = np.select(
        [pattern == PLANKS, pattern == TILES, pattern == CHECKER, pattern == SPECKLE],
        [_hash(column, np.floor(along / 8 + _hash(column, 0)), view.solid), joint, (column + row) % 2,
         _hash(column, row, view.solid)],
        0.0,
    )  # fmt: skip
    mixed = first + share * (second - first)
    channels = np.stack([_hash(column, channel, view.solid) for channel in range(3)])
    return np.where(pattern == SPINES, first + channels * (second - first), mixed)


def _hash(*keys: np.ndarray | float) -> np.ndarray:
    """A value in 0..1 that looks random, the same wherever the integer keys are."""
    mixed = np.uint64(0x9E3779B97F4A7C15)
    for key in keys:
        mixed = (mixed ^ np.asarray(key).astype(np.int64).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = mixed ^ (mixed >> np.uint64(29))
    return np.asarray((mixed >> np.uint64(40)).astype(np.float64) / 2.0**24)
