"""Seats, tables and beds of the embedded rooms: a few solids each, the back to +y, around the origin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.synthetic.rendering.solids import (
    BOX,
    ELLIPSOID,
    FRUSTUM,
    Material,
    Solid,
    Vector,
)

PARTS = (
    "wall", "floor", "ceiling", "panel", "bed", "table", "seat", "storage", "fixture", "device", "object",
)  # fmt: skip
"""Classes of the mask. A panel is flat on a wall (picture, window, mirror, blackboard), a fixture is plumbing
or a stove."""

WALL, FLOOR, CEILING, PANEL, BED, TABLE, SEAT, STORAGE, FIXTURE, DEVICE, OBJECT = range(len(PARTS))

BLACK = Material((0.06, 0.06, 0.07), shine=0.5)
STEEL = Material((0.55, 0.56, 0.58), shine=0.6)
CERAMIC = Material((0.92, 0.93, 0.94), shine=0.5)
PAPER = Material((0.9, 0.89, 0.85))


@dataclass(frozen=True)
class Look:
    """The materials of one scene's furniture."""

    wood: Material
    fabric: Material
    accent: Material


@dataclass(frozen=True)
class Piece:
    """Solids and the extent in metres of the floor that they stand on; `solids` of a hung piece carry their
    height."""

    solids: tuple[Solid, ...]
    width: float
    depth: float


Make = Callable[[Look, np.random.Generator], Piece]


def between(random: np.random.Generator, low: float, high: float) -> float:
    """A uniform draw."""
    return low + (high - low) * float(random.random())


def bright(random: np.random.Generator) -> Material:
    """A plain material of any strong colour."""
    channels = 0.1 + 0.8 * random.permutation([0.0, 1.0, random.random()])
    return Material(tuple(channels.tolist()))


def box(part: int, material: Material, at: Vector, size: Vector, yaw: float = 0.0) -> Solid:
    """A box with the middle of its underside at `at`, of full size (x, y, z)."""
    return _solid(BOX, part, material, at, size, yaw)


def ball(part: int, material: Material, at: Vector, size: Vector) -> Solid:
    """An ellipsoid that touches `at` from above, of full size (x, y, z)."""
    return _solid(ELLIPSOID, part, material, at, size)


def pillar(part: int, material: Material, at: Vector, size: tuple[float, float], taper: float = 1.0) -> Solid:
    """An upright frustum on `at`; size is (diameter, height)."""
    return _solid(FRUSTUM, part, material, at, (size[0], size[0], size[1]), taper=taper)


def _solid(
    kind: int, part: int, material: Material, at: Vector, size: Vector, yaw: float = 0.0, taper: float = 1.0
) -> Solid:
    half = (size[0] / 2, size[1] / 2, size[2] / 2)
    return Solid(kind, part, material, (at[0], at[1], at[2] + half[2]), half, yaw, taper)


def _legs(
    part: int, material: Material, width: float, depth: float, height: float, thick: float = 0.06
) -> list[Solid]:
    spots = [(x * (width - thick) / 2, y * (depth - thick) / 2) for x in (-1, 1) for y in (-1, 1)]
    return [box(part, material, (x, y, 0), (thick, thick, height)) for x, y in spots]


def _chair(look: Look, x: float, y: float, yaw: float, height: float = 0.45) -> list[Solid]:
    parts = [
        box(SEAT, look.fabric, (0, 0, height - 0.06), (0.42, 0.42, 0.06)),
        box(SEAT, look.fabric, (0, 0.19, height), (0.42, 0.05, 0.45)),
        *_legs(SEAT, look.wood, 0.4, 0.4, height - 0.06, 0.05),
    ]
    return [each.moved((x, y, 0), yaw) for each in parts]


def chair(look: Look, random: np.random.Generator) -> Piece:
    """A chair turned anyhow."""
    return Piece(tuple(_chair(look, 0, 0, between(random, -3, 3))), 0.6, 0.6)


def table(look: Look, width: float, depth: float, height: float) -> list[Solid]:
    """A table top on four legs."""
    top = box(TABLE, look.wood, (0, 0, height - 0.06), (width, depth, 0.06))
    return [top, *_legs(TABLE, look.wood, width - 0.05, depth - 0.05, height - 0.06)]


def dining_set(look: Look, random: np.random.Generator) -> Piece:
    """A laid table with chairs along both sides, often a lamp above it."""
    width, depth = between(random, 1.2, 1.9), between(random, 0.8, 1.0)
    solids = table(look, width, depth, 0.75)
    for x in np.linspace(-width / 2 + 0.35, width / 2 - 0.35, 2 if width < 1.6 else 3):
        for side in (-1, 1):
            shift = depth / 2 + between(random, -0.05, 0.15)
            solids += _chair(look, float(x), side * shift, (side < 0) * np.pi + between(random, -0.2, 0.2))
            solids.append(pillar(OBJECT, CERAMIC, (float(x), side * depth / 4, 0.75), (0.24, 0.03)))
    if random.random() < 0.6:
        solids.append(pillar(OBJECT, look.accent, (0, 0, 1.6), (0.5, 0.25), 0.4))
    if random.random() < 0.5:
        solids.append(pillar(OBJECT, look.accent, (0, 0, 0.75), (0.12, 0.2), 1.3))
    return Piece(tuple(solids), width + 0.2, depth + 1.0)


def desk(look: Look, random: np.random.Generator) -> Piece:
    """A desk with a screen, papers, drawers and a swivel chair."""
    width, depth = between(random, 1.2, 1.6), 0.7
    x, chair_x = between(random, -0.25, 0.25), between(random, -0.25, 0.25)
    seat = [
        pillar(SEAT, BLACK, (chair_x, -0.55, 0), (0.5, 0.08)),
        pillar(SEAT, BLACK, (chair_x, -0.55, 0.08), (0.08, 0.35)),
        box(SEAT, look.fabric, (chair_x, -0.55, 0.43), (0.48, 0.48, 0.08)),
        box(SEAT, look.fabric, (chair_x, -0.8, 0.55), (0.44, 0.07, 0.5)),
    ]
    top = [
        box(DEVICE, BLACK, (x, 0.15, 0.84), (0.55, 0.04, 0.34)),
        box(DEVICE, BLACK, (x, 0.17, 0.75), (0.12, 0.1, 0.1)),
        box(OBJECT, PAPER, (x - 0.45, -0.05, 0.75), (0.22, 0.3, 0.03)),
    ]
    drawers = box(TABLE, look.wood, (width / 2 - 0.25, 0.02, 0), (0.42, 0.6, 0.68))
    solids = [*table(look, width, depth, 0.75), drawers, *top, *seat]
    return Piece(tuple(solids), width, depth + 0.7)


def school_desks(look: Look, random: np.random.Generator) -> Piece:
    """Rows of small desks, each with a chair before it, all looking the same way."""
    columns, rows = int(random.integers(2, 4)), int(random.integers(2, 4))
    solids: list[Solid] = []
    for column in range(columns):
        for row in range(rows):
            x, y = (column - (columns - 1) / 2) * 1.0, (row - (rows - 1) / 2) * 1.05
            shift = (x, y + 0.15, 0.0)
            solids += [each.moved(shift, 0) for each in table(look, 0.7, 0.45, 0.68)]
            solids += _chair(look, x, y - 0.3 + between(random, -0.08, 0.08), np.pi, 0.4)
            if random.random() < 0.4:
                solids.append(box(OBJECT, PAPER, (x, y + 0.12, 0.68), (0.22, 0.3, 0.04)))
    return Piece(tuple(solids), columns * 1.0, rows * 1.05)


def sofa(look: Look, random: np.random.Generator) -> Piece:
    """A sofa or an armchair, with cushions."""
    width = between(random, 0.9, 2.1)
    solids = [
        box(SEAT, look.fabric, (0, -0.05, 0.08), (width - 0.3, 0.75, 0.35)),
        box(SEAT, look.fabric, (0, 0.32, 0.08), (width, 0.2, 0.75)),
    ]
    for side in (-1, 1):
        solids.append(box(SEAT, look.fabric, (side * (width / 2 - 0.09), -0.05, 0.08), (0.18, 0.8, 0.52)))
        if random.random() < 0.7:
            at = (side * (width / 2 - 0.38), 0.14, 0.43)
            solids.append(ball(SEAT, look.accent, at, (0.42, 0.18, 0.38)))
    return Piece(tuple(solids), width, 0.9)


def low_table(look: Look, random: np.random.Generator) -> Piece:
    """A sofa table, square or round, with a few things on it."""
    width, depth = between(random, 0.7, 1.1), between(random, 0.5, 0.7)
    if random.random() < 0.4:
        foot = pillar(TABLE, look.wood, (0, 0, 0), (0.15, 0.36))
        solids = [foot, pillar(TABLE, look.wood, (0, 0, 0.36), (width, 0.05))]
    else:
        solids = table(look, width, depth, 0.41)
    solids.append(box(OBJECT, look.accent, (0.12, 0, 0.41), (0.25, 0.2, 0.05), between(random, 0, 3)))
    solids.append(pillar(OBJECT, CERAMIC, (-0.15, 0.05, 0.41), (0.1, 0.16), 1.4))
    return Piece(tuple(solids), width, depth)


def television(look: Look, random: np.random.Generator) -> Piece:
    """A wide screen on a low board."""
    width = between(random, 1.2, 1.7)
    board = box(STORAGE, look.wood, (0, 0, 0), (width, 0.42, 0.45))
    foot = box(DEVICE, BLACK, (0, 0.05, 0.45), (0.3, 0.2, 0.08))
    screen = box(DEVICE, BLACK, (0, 0.05, 0.53), (width * 0.75, 0.06, width * 0.42))
    return Piece((board, foot, screen), width, 0.42)


def bed(look: Look, random: np.random.Generator) -> Piece:
    """A bed with its head to the wall: board, mattress, blanket and pillows."""
    width, length = between(random, 0.95, 1.8), between(random, 1.95, 2.15)
    solids = [
        box(BED, look.wood, (0, 0, 0.05), (width, length, 0.25)),
        box(BED, PAPER, (0, 0, 0.3), (width - 0.06, length - 0.06, 0.18)),
        box(BED, look.fabric, (0, -0.3, 0.3), (width + 0.02, length - 0.6, 0.22)),
        box(BED, look.wood, (0, length / 2, 0), (width + 0.06, 0.08, between(random, 0.8, 1.15))),
    ]
    for x in (-1, 1) if width > 1.3 else (0,):
        at = (x * width / 4, length / 2 - 0.28, 0.46)
        solids.append(ball(BED, PAPER, at, (0.6, 0.38, 0.2)))
    return Piece(tuple(solids), width, length)


def crib(look: Look, random: np.random.Generator) -> Piece:
    """A child's bed with high rails of bars."""
    width, length, height = 0.75, between(random, 1.2, 1.4), between(random, 0.85, 1.0)
    solids = [
        box(BED, PAPER, (0, 0, 0.3), (width - 0.08, length - 0.08, 0.14)),
        box(BED, look.fabric, (0, -0.2, 0.42), (width - 0.12, length * 0.55, 0.06)),
    ]
    for side in (-1, 1):
        solids.append(box(BED, look.wood, (0, side * length / 2, 0.1), (width, 0.05, height - 0.1)))
        solids.append(box(BED, look.wood, (side * width / 2, 0, height - 0.06), (0.05, length, 0.06)))
        solids.append(box(BED, look.wood, (side * width / 2, 0, 0.25), (0.05, length, 0.06)))
        for y in np.linspace(-length / 2, length / 2, 5)[1:-1]:
            at = (side * width / 2, float(y), 0.3)
            solids.append(box(BED, look.wood, at, (0.04, 0.05, height - 0.3)))
    return Piece(tuple(solids), width, length)


def reading_table(look: Look, random: np.random.Generator) -> Piece:
    """A long table with a few chairs, books and a lamp on it."""
    width, depth = between(random, 1.2, 1.8), 0.8
    solids = table(look, width, depth, 0.75)
    for side in (-1, 1):
        if random.random() < 0.6:
            yaw = (side < 0) * np.pi + between(random, -0.5, 0.5)
            solids += _chair(look, between(random, -0.4, 0.4), side * (depth / 2 + 0.15), yaw)
    for _ in range(3):
        at = (between(random, -0.5, 0.5), between(random, -0.25, 0.25), 0.75)
        book = (0.24, 0.17, between(random, 0.03, 0.12))
        solids.append(box(OBJECT, bright(random), at, book, between(random, 0, 3)))
    return Piece(tuple(solids), width, depth + 0.7)
