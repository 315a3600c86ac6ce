"""Storage, fixtures, things on walls and on floors of the embedded rooms; built as the furniture is."""

from __future__ import annotations

import numpy as np

from tasks.synthetic.rendering.furniture import (
    BLACK,
    CERAMIC,
    FIXTURE,
    FLOOR,
    OBJECT,
    PANEL,
    PAPER,
    STEEL,
    STORAGE,
    TABLE,
    Look,
    Piece,
    ball,
    between,
    box,
    bright,
    pillar,
    table,
)
from tasks.synthetic.rendering.solids import CHECKER, PLANKS, SPECKLE, SPINES, Material, scaled

GLASS = Material((0.72, 0.82, 0.9), shine=0.9)
LEAF = Material((0.16, 0.42, 0.15), (0.26, 0.55, 0.2), SPECKLE, 0.06)


def toys(look: Look, random: np.random.Generator) -> Piece:
    """Balls, blocks and a ring tower on the floor."""
    solids = []
    for _ in range(int(random.integers(3, 7))):
        at, size = (between(random, -0.5, 0.5), between(random, -0.5, 0.5), 0.0), between(random, 0.12, 0.32)
        kind, material = int(random.integers(3)), bright(random)
        if kind == 0:
            solids.append(ball(OBJECT, material, at, (size, size, size)))
        elif kind == 1:
            solids.append(box(OBJECT, material, at, (size, size, size), between(random, 0, 3)))
        else:
            solids.append(pillar(OBJECT, material, at, (size, 1.4 * size), 0.2))
    return Piece(tuple(solids), 1.2, 1.2)


def nightstand(look: Look, random: np.random.Generator) -> Piece:
    """A small cabinet with a lamp."""
    height = between(random, 0.45, 0.6)
    solids = (
        box(STORAGE, look.wood, (0, 0, 0), (0.45, 0.4, height)),
        pillar(OBJECT, STEEL, (0, 0, height), (0.06, 0.2)),
        pillar(OBJECT, look.accent, (0, 0, height + 0.18), (0.3, 0.22), 0.6),
    )
    return Piece(solids, 0.45, 0.4)


def wardrobe(look: Look, random: np.random.Generator) -> Piece:
    """A tall cupboard with two doors."""
    width, height = between(random, 0.9, 1.6), between(random, 1.8, 2.15)
    solids = [box(STORAGE, look.wood, (0, 0, 0), (width, 0.58, height))]
    for side in (-1, 1):
        door = (side * width / 4, -0.29, 0.08)
        solids.append(box(STORAGE, look.wood, door, (width / 2 - 0.03, 0.04, height - 0.14)))
        solids.append(box(STORAGE, STEEL, (side * 0.06, -0.33, height / 2), (0.03, 0.04, 0.2)))
    return Piece(tuple(solids), width, 0.62)


def chest(look: Look, random: np.random.Generator) -> Piece:
    """A waist-high cabinet with drawers and something on it."""
    width, height = between(random, 0.8, 1.5), between(random, 0.75, 0.95)
    solids = [box(STORAGE, look.wood, (0, 0, 0), (width, 0.45, height))]
    for row in range(3):
        at = (0, -0.23, 0.06 + row * (height - 0.08) / 3)
        solids.append(box(STORAGE, look.wood, at, (width - 0.08, 0.03, height / 3 - 0.06)))
    x = between(random, -0.3, 0.3)
    solids.append(pillar(OBJECT, look.accent, (x, 0, height), (0.2, between(random, 0.15, 0.35)), 0.6))
    return Piece(tuple(solids), width, 0.46)


def bookcase(look: Look, random: np.random.Generator) -> Piece:
    """An open case: boards, and on each a row of books."""
    width, height = between(random, 0.8, 1.3), between(random, 1.7, 2.2)
    solids = [box(STORAGE, look.wood, (0, 0.15, 0), (width, 0.04, height))]
    for side in (-1, 1):
        solids.append(box(STORAGE, look.wood, (side * width / 2, 0, 0), (0.05, 0.34, height)))
    dark = scaled(look.accent.colour, 0.25)
    spines = Material(dark, (0.85, 0.7, 0.55), SPINES, 0.05)
    for level in np.linspace(0.05, height - 0.05, 6):
        solids.append(box(STORAGE, look.wood, (0, 0, float(level)), (width, 0.34, 0.04)))
        if level < height - 0.1 and random.random() < 0.85:
            length = between(random, 0.45, 0.95) * (width - 0.1)
            at = (
                (width - 0.1 - length) / 2 * (1 if random.random() < 0.5 else -1),
                0.04,
                float(level) + 0.04,
            )
            solids.append(box(STORAGE, spines, at, (length, 0.2, between(random, 0.2, 0.29))))
    return Piece(tuple(solids), width + 0.05, 0.36)


def counter(look: Look, random: np.random.Generator) -> Piece:
    """A kitchen counter with a sink and a stove, a hood above."""
    width, stove = between(random, 1.6, 2.4), 1 if random.random() < 0.5 else -1
    solids = [
        box(STORAGE, look.wood, (0, 0, 0), (width, 0.6, 0.84)),
        box(STORAGE, STEEL, (0, -0.01, 0.84), (width + 0.02, 0.62, 0.05)),
        box(FIXTURE, BLACK, (stove * width / 4, -0.02, 0.1), (0.58, 0.6, 0.72)),
        box(FIXTURE, BLACK, (stove * width / 4, 0, 0.89), (0.58, 0.5, 0.02)),
        box(FIXTURE, STEEL, (-stove * width / 4, 0, 0.89), (0.5, 0.4, 0.02)),
        pillar(FIXTURE, STEEL, (-stove * width / 4, 0.22, 0.89), (0.05, 0.3)),
        pillar(OBJECT, STEEL, (stove * width / 4 + 0.12, 0.05, 0.91), (0.24, 0.17)),
        pillar(FIXTURE, STEEL, (stove * width / 4, 0.1, 1.55), (0.6, 0.3), 0.4),
        box(STORAGE, look.wood, (-stove * width / 4, 0.12, 1.5), (width / 2, 0.34, 0.65)),
    ]
    return Piece(tuple(solids), width, 0.62)


def fridge(look: Look, random: np.random.Generator) -> Piece:
    """A tall refrigerator."""
    height, material = between(random, 1.5, 1.9), CERAMIC if random.random() < 0.6 else STEEL
    solids = (
        box(STORAGE, material, (0, 0, 0), (0.62, 0.6, height)),
        box(STORAGE, material, (0, -0.31, 0.05), (0.58, 0.04, height * 0.62)),
        box(STORAGE, material, (0, -0.31, height * 0.66), (0.58, 0.04, height * 0.31)),
    )
    return Piece(solids, 0.62, 0.64)


def bathtub(look: Look, random: np.random.Generator) -> Piece:
    """A tub: an outer wall around water."""
    width, depth = between(random, 1.5, 1.8), 0.75
    water = Material((0.55, 0.75, 0.8), shine=0.8)
    solids = [box(FIXTURE, water, (0, 0, 0), (width - 0.1, depth - 0.1, 0.38))]
    for side in (-1, 1):
        solids.append(box(FIXTURE, CERAMIC, (side * (width / 2 - 0.05), 0, 0), (0.1, depth, 0.56)))
        solids.append(box(FIXTURE, CERAMIC, (0, side * (depth / 2 - 0.05), 0), (width, 0.1, 0.56)))
    solids.append(pillar(FIXTURE, STEEL, (width / 2 - 0.1, 0, 0.56), (0.06, 0.2)))
    return Piece(tuple(solids), width, depth)


def toilet(look: Look, random: np.random.Generator) -> Piece:
    """A bowl with its lid and the tank behind it."""
    solids = (
        pillar(FIXTURE, CERAMIC, (0, -0.1, 0), (0.26, 0.36), 1.4),
        box(FIXTURE, CERAMIC, (0, -0.08, 0.36), (0.38, 0.46, 0.06)),
        box(FIXTURE, CERAMIC, (0, 0.22, 0.3), (0.42, 0.2, 0.5)),
    )
    return Piece(solids, 0.5, 0.65)


def basin(look: Look, random: np.random.Generator) -> Piece:
    """A wash basin on a pedestal, a mirror above it."""
    solids = (
        pillar(FIXTURE, CERAMIC, (0, 0.05, 0), (0.18, 0.72), 0.8),
        pillar(FIXTURE, CERAMIC, (0, 0, 0.72), (0.3, 0.16), 1.7),
        box(FIXTURE, STEEL, (0, 0.18, 0.88), (0.05, 0.05, 0.14)),
        box(PANEL, GLASS, (0, 0.24, 1.2), (0.55, 0.03, 0.7)),
    )
    return Piece(solids, 0.55, 0.5)


def workbench(look: Look, random: np.random.Generator) -> Piece:
    """A bench with a vice and a tool board above it."""
    width = between(random, 1.4, 2.1)
    solids = [
        *table(look, width, 0.65, 0.88),
        box(TABLE, look.wood, (0, 0, 0.25), (width - 0.1, 0.5, 0.05)),
        box(OBJECT, look.accent, (-width / 4, -0.2, 0.88), (0.22, 0.16, 0.2)),
        box(OBJECT, look.accent, (width / 5, 0, 0.3), (0.4, 0.35, 0.25)),
        box(PANEL, Material((0.55, 0.45, 0.33)), (0, 0.3, 1.15), (width, 0.03, 0.75)),
    ]
    for x in np.linspace(-width / 2 + 0.15, width / 2 - 0.15, 5):
        length = between(random, 0.2, 0.5)
        tool = (float(x), 0.26, 1.8 - length)
        solids.append(box(OBJECT, bright(random), tool, (between(random, 0.05, 0.14), 0.06, length)))
    return Piece(tuple(solids), width, 0.66)


def barrels(look: Look, random: np.random.Generator) -> Piece:
    """One to three drums."""
    solids = []
    for x in range(int(random.integers(1, 4))):
        material = look.accent if random.random() < 0.5 else STEEL
        at = (x * 0.58 - 0.5, between(random, -0.08, 0.08), 0)
        solids.append(pillar(OBJECT, material, at, (0.52, between(random, 0.7, 0.9))))
    return Piece(tuple(solids), 1.6, 0.6)


def crates(look: Look, random: np.random.Generator) -> Piece:
    """A few boxes, some upon others."""
    cardboard, solids, height = Material((0.62, 0.47, 0.3), (0.5, 0.37, 0.22), PLANKS, 0.12), [], 0.0
    for _ in range(int(random.integers(1, 4))):
        size, yaw = between(random, 0.3, 0.55), between(random, -0.4, 0.4)
        at = (between(random, -0.15, 0.15), between(random, -0.05, 0.05), height)
        solids.append(box(OBJECT, cardboard, at, (size, size, 0.7 * size), yaw))
        height += 0.7 * size
    return Piece(tuple(solids), 0.6, 0.6)


def plant(look: Look, random: np.random.Generator) -> Piece:
    """A plant in a pot."""
    size = between(random, 0.3, 0.6)
    solids = (
        pillar(OBJECT, look.accent, (0, 0, 0), (0.24, 0.32), 1.4),
        pillar(OBJECT, LEAF, (0, 0, 0.32), (0.05, size)),
        ball(OBJECT, LEAF, (0, 0, 0.3 + size / 3), (size, size, 1.3 * size)),
    )
    return Piece(solids, 0.45, 0.45)


def floor_lamp(look: Look, random: np.random.Generator) -> Piece:
    """A lamp with a conical shade on a pole."""
    height = between(random, 1.3, 1.6)
    solids = (
        pillar(OBJECT, STEEL, (0, 0, 0), (0.3, 0.04)),
        pillar(OBJECT, STEEL, (0, 0, 0.04), (0.05, height)),
        pillar(OBJECT, look.accent, (0, 0, height), (0.42, 0.3), 0.5),
    )
    return Piece(solids, 0.4, 0.4)


def rug(look: Look, random: np.random.Generator) -> Piece:
    """A carpet on the floor; other things may stand on it."""
    size = (between(random, 1.2, 2.2), between(random, 1.0, 1.6), 0.012)
    dark = scaled(look.accent.colour, 0.6)
    woven = Material(look.accent.colour, dark, SPECKLE if random.random() < 0.5 else CHECKER, 0.18)
    return Piece((box(FLOOR, woven, (0, 0, 0), size),), 0.0, 0.0)


def picture(look: Look, random: np.random.Generator) -> Piece:
    """A framed picture at eye height."""
    width, height = between(random, 0.4, 1.0), between(random, 0.4, 0.7)
    painted = Material(bright(random).colour, bright(random).colour, SPECKLE, 0.15)
    at = between(random, 1.25, 1.5)
    solids = (
        box(PANEL, look.wood, (0, 0.01, at - 0.05), (width + 0.1, 0.03, height + 0.1)),
        box(PANEL, painted, (0, -0.005, at), (width, 0.03, height)),
    )
    return Piece(solids, width, 0.05)


def window(look: Look, random: np.random.Generator) -> Piece:
    """A window with a cross bar, curtains on its sides."""
    width = between(random, 0.9, 1.5)
    solids = [
        box(PANEL, PAPER, (0, 0.01, 0.95), (width + 0.12, 0.03, 1.22)),
        box(PANEL, GLASS, (0, -0.005, 1.0), (width, 0.03, 1.1)),
        box(PANEL, PAPER, (0, -0.02, 1.0), (0.05, 0.03, 1.1)),
    ]
    for side in (-1, 1) if random.random() < 0.5 else ():
        solids.append(box(PANEL, look.fabric, (side * width / 2, -0.04, 0.7), (0.28, 0.08, 1.6)))
    return Piece(tuple(solids), width + 0.3, 0.1)


def blackboard(look: Look, random: np.random.Generator) -> Piece:
    """A long board, green or white, on a frame with a ledge."""
    width = between(random, 1.9, 2.6)
    slate = Material((0.1, 0.26, 0.19)) if random.random() < 0.7 else CERAMIC
    solids = (
        box(PANEL, look.wood, (0, 0.01, 0.9), (width + 0.1, 0.04, 1.1)),
        box(PANEL, slate, (0, -0.015, 0.95), (width, 0.03, 1.0)),
        box(PANEL, look.wood, (0, -0.06, 0.88), (width, 0.12, 0.04)),
    )
    return Piece(solids, width, 0.12)


def shelf(look: Look, random: np.random.Generator) -> Piece:
    """An open metal rack with boxes and cans."""
    width, height = between(random, 1.0, 1.6), 1.9
    solids = [
        box(STORAGE, STEEL, (x * width / 2, y * 0.2, 0), (0.05, 0.05, height))
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    for level in (0.15, 0.7, 1.25, 1.85):
        solids.append(box(STORAGE, STEEL, (0, 0, level), (width, 0.45, 0.04)))
        for x in (-0.3, 0.0, 0.3) if level < 1.5 else ():
            kind, size = random.random(), between(random, 0.18, 0.36)
            at, material = (x * width, 0, level + 0.04), bright(random)
            if kind < 0.4:
                solids.append(box(OBJECT, material, at, (size, 0.3, size)))
            elif kind < 0.8:
                solids.append(pillar(OBJECT, material, at, (0.8 * size, size)))
    return Piece(tuple(solids), width, 0.46)
