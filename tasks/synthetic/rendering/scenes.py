"""Composes the embedded scenes: a room, furniture where it is free, a camera, a light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.synthetic.rendering.furniture import CEILING, FLOOR, WALL, Look, Piece, between
from tasks.synthetic.rendering.layouts import KINDS, Kind, Slot
from tasks.synthetic.rendering.solids import BOX, Camera, Colour, Material, Solid, Vector

TYPICAL = 0.7
"""How often a surface (floor, walls, wood, fabric, accent) has a material of the room's own kind; else it is
that of any kind: colours are a strong cue, never an answer."""

TINT = 0.12
"""How far the light's colour strays, per channel."""

CLUTTER = 1
"""Pieces of any kind of room that stand in a scene beside its own, at most."""

TRIES = 8
"""Places that a piece is tried at before the room does without it."""

HEIGHT = 2.5
"""Of every room, in metres."""

Place = tuple[float, float, float, float]
"""The floor that a piece takes: from x to x, from y to y."""


@dataclass(frozen=True)
class Scene:
    """Everything that decides an image."""

    solids: tuple[Solid, ...]
    camera: Camera
    light: Vector
    tint: Colour
    ambient: float

    def mirrored(self) -> Scene:
        """The scene with left and right exchanged."""
        x, y, z = self.camera.position
        camera = Camera((-x, y, z), -self.camera.yaw, self.camera.pitch, self.camera.focal)
        light = (-self.light[0], *self.light[1:])
        return Scene(tuple(each.mirrored() for each in self.solids), camera, light, self.tint, self.ambient)


def compose(kind: str, random: np.random.Generator) -> Scene:
    """Furnishes a room of this kind and puts a camera and a light into it."""
    room = _Room(KINDS[kind], random)
    room.furnish()
    camera = Camera(
        (between(random, -0.25, 0.25) * room.width, 0.25, between(random, 1.3, 1.75)),
        between(random, -0.3, 0.3),
        between(random, -0.42, -0.2),
        between(random, 1.3, 1.6),
    )
    light = (between(random, -0.4, 0.4) * room.width, between(random, 0.1, 0.7) * room.length, 2.3)
    red, green, blue = (1 + between(random, -TINT, TINT) for _ in range(3))
    scene = Scene(tuple(room.solids), camera, light, (red, green, blue), between(random, 0.3, 0.5))
    return scene.mirrored() if random.random() < 0.5 else scene


class _Room:
    """A box of a room, x from -width / 2 to width / 2 and y from 0 to length, that fills up with pieces."""

    def __init__(self, kind: Kind, random: np.random.Generator):
        self.kind, self.random = kind, random
        self.width, self.length = between(random, *kind.width), between(random, *kind.length)
        self._taken: list[Place] = []
        self._hung: list[Place] = []
        self.look = Look(self._material("woods"), self._material("fabrics"), self._material("accents"))
        self.solids = self._shell()

    def _material(self, surface: str) -> Material:
        """One of the room's own materials, or of another kind's; a little lighter or darker."""
        random = self.random
        names = list(KINDS)
        other = KINDS[names[int(random.integers(len(names)))]]
        choices = getattr(self.kind if random.random() < TYPICAL else other, surface)
        material = choices[int(random.integers(len(choices)))]
        red, green, blue = (between(random, 0.85, 1.12) * between(random, 0.94, 1.06) for _ in range(3))
        first, second = (
            (min(1.0, colour[0] * red), min(1.0, colour[1] * green), min(1.0, colour[2] * blue))
            for colour in (material.colour, material.second)
        )
        return Material(first, second, material.pattern, material.period, material.shine)

    def _shell(self) -> list[Solid]:
        """Floor, ceiling and the three walls before the camera; what is behind it is never seen."""
        w, d, h, thick = self.width, self.length, HEIGHT, 0.05
        floor, wall = self._material("floors"), self._material("walls")
        ceiling = Material((0.88, 0.88, 0.86))
        middle, wide, deep = d / 2, w / 2 + 2 * thick, d / 2 + 1.0
        return [
            Solid(BOX, FLOOR, floor, (0, middle, -thick), (wide, deep, thick)),
            Solid(BOX, CEILING, ceiling, (0, middle, h + thick), (wide, deep, thick)),
            Solid(BOX, WALL, wall, (0, d + thick, h / 2), (wide, thick, h / 2)),
            Solid(BOX, WALL, wall, (-w / 2 - thick, middle, h / 2), (thick, deep, h / 2)),
            Solid(BOX, WALL, wall, (w / 2 + thick, middle, h / 2), (thick, deep, h / 2)),
        ]

    def furnish(self) -> None:
        """Its own pieces first, in the order of its kind, then some of any kind."""
        for slot in self.kind.slots:
            for _ in range(slot.most):
                if self.random.random() < slot.chance:
                    self._place(slot)
        others = [slot for kind in KINDS.values() for slot in kind.slots if slot.stray]
        for _ in range(int(self.random.integers(CLUTTER + 1))):
            self._place(others[int(self.random.integers(len(others)))])

    def _place(self, slot: Slot) -> None:
        """Puts the piece where its slot says, if a free place is found."""
        taken = self._hung if slot.where.startswith("hung") else self._taken
        for _ in range(TRIES):
            piece = slot.make(self.look, self.random)
            side = self._side(slot.where)
            x, y, yaw = self._spot(piece, side)
            if self._is_free(piece, side, x, y, taken):
                self.solids += [each.moved((x, y, 0.0), yaw) for each in piece.solids]
                return

    def _side(self, where: str) -> str:
        """The wall that a piece goes to, or "middle"."""
        if where in ("wall", "hung"):
            return ("back", "back", "left", "right")[int(self.random.integers(4))]
        return "back" if where in ("back", "hung back") else "middle"

    def _spot(self, piece: Piece, side: str) -> tuple[float, float, float]:
        """A random position and yaw along a wall, or anywhere on the floor before the camera."""
        random, gap = self.random, 0.04
        across = max(0.0, self.width / 2 - piece.width / 2 - 0.05)
        if side == "back":
            return between(random, -across, across), self.length - piece.depth / 2 - gap, 0.0
        if side == "middle":
            front = 1.5 + piece.depth / 2
            back = max(front, self.length - piece.depth / 2 - 0.1)
            return (
                between(random, -across, across),
                between(random, front, back),
                between(random, -0.15, 0.15),
            )
        sign = -1 if side == "left" else 1
        low, high = 1.1 + piece.width / 2, max(1.2 + piece.width / 2, self.length - piece.width / 2 - 0.1)
        return sign * (self.width / 2 - piece.depth / 2 - gap), between(random, low, high), -sign * np.pi / 2

    def _is_free(self, piece: Piece, side: str, x: float, y: float, taken: list[Place]) -> bool:
        """Whether nothing stands there, within the room; notes the place as taken."""
        width, depth = (piece.depth, piece.width) if side in ("left", "right") else (piece.width, piece.depth)
        if y + depth / 2 > self.length + 0.01 or abs(x) + width / 2 > self.width / 2 + 0.01:
            return False
        place = (x - width / 2, x + width / 2, y - depth / 2, y + depth / 2)
        if piece.width and any(_overlap(place, other) for other in taken):
            return False
        if piece.width:
            taken.append(place)
        return True


def _overlap(a: Place, b: Place) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
