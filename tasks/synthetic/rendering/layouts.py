"""The ten kinds of embedded rooms: their sizes, their materials and what stands where in them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.synthetic.rendering import fittings as fit
from tasks.synthetic.rendering import furniture as fur
from tasks.synthetic.rendering.furniture import Make
from tasks.synthetic.rendering.solids import CHECKER, PLANKS, SPECKLE, TILES, Colour, Material, scaled

Range = tuple[float, float]
Materials = tuple[Material, ...]


@dataclass(frozen=True)
class Slot:
    """A piece that may stand in a kind of room.

    where    "wall" (any of the three) or "back" (the one opposite the camera), "hung" or "hung back" (on
             the wall, whatever stands before it), "middle" (the floor between the walls)
    chance   of each of the `most` that are tried
    stray    whether it turns up in other kinds of rooms too
    """

    make: Make
    where: str
    chance: float = 1.0
    most: int = 1
    stray: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of room; lengths in metres, from the camera's wall to the one opposite."""

    slots: tuple[Slot, ...]
    floors: Materials
    walls: Materials
    woods: Materials
    fabrics: Materials
    accents: Materials
    width: Range = (2.9, 4.0)
    length: Range = (3.4, 4.5)


def _plain(*colours: Colour, shine: float = 0.0) -> Materials:
    return tuple(Material(each, shine=shine) for each in colours)


def _wood(*colours: Colour) -> Materials:
    return tuple(Material(each, scaled(each, 0.8), PLANKS, 0.09) for each in colours)


def _boards(*colours: Colour) -> Materials:
    return tuple(Material(each, scaled(each, 0.75), PLANKS, 0.16, 0.1) for each in colours)


def _carpet(*colours: Colour) -> Materials:
    return tuple(Material(each, scaled(each, 0.8), SPECKLE, 0.08) for each in colours)


def _tiles(*colours: Colour, period: float = 0.33) -> Materials:
    return tuple(Material(each, scaled(each, 0.62), TILES, period, 0.2) for each in colours)


OAK, WALNUT, BIRCH, MAHOGANY = (0.62, 0.45, 0.27), (0.36, 0.23, 0.14), (0.78, 0.66, 0.47), (0.4, 0.16, 0.1)
WHITE, SLATE = (0.88, 0.88, 0.86), (0.3, 0.32, 0.35)
CHEQUERED = Material((0.85, 0.85, 0.82), (0.15, 0.15, 0.17), CHECKER, 0.4, 0.2)
PLAY_MAT = Material((0.9, 0.5, 0.3), (0.3, 0.65, 0.75), CHECKER, 0.35)

KINDS: dict[str, Kind] = {
    "bathroom": Kind(
        (
            Slot(fit.bathtub, "wall", 0.95),
            Slot(fit.basin, "wall", 0.95),
            Slot(fit.toilet, "wall", 0.95),
            Slot(fit.chest, "wall", 0.3),
            Slot(fit.window, "hung", 0.4),
        ),
        floors=(*_tiles((0.8, 0.85, 0.88), (0.45, 0.62, 0.72)), CHEQUERED),
        walls=_tiles((0.82, 0.88, 0.9), (0.6, 0.8, 0.82), (0.88, 0.88, 0.86), period=0.25),
        woods=_plain(WHITE, (0.7, 0.78, 0.8)),
        fabrics=_plain(WHITE, (0.5, 0.75, 0.8)),
        accents=_plain((0.3, 0.65, 0.75), (0.85, 0.85, 0.8)),
        width=(2.5, 3.4),
        length=(3.0, 3.9),
    ),
    "bedroom": Kind(
        (
            Slot(fur.bed, "wall"),
            Slot(fit.nightstand, "wall", 0.6, 2, stray=True),
            Slot(fit.wardrobe, "wall", 0.7),
            Slot(fit.chest, "wall", 0.4, stray=True),
            Slot(fit.rug, "middle", 0.4),
            Slot(fit.window, "hung", 0.7),
            Slot(fit.picture, "hung", 0.5),
        ),
        floors=(*_carpet((0.72, 0.64, 0.54), (0.6, 0.52, 0.6)), *_boards(OAK)),
        walls=_plain((0.72, 0.66, 0.78), (0.82, 0.74, 0.64), (0.66, 0.7, 0.8)),
        woods=_wood(WALNUT, OAK),
        fabrics=_plain((0.4, 0.25, 0.48), (0.2, 0.25, 0.48), (0.66, 0.4, 0.45)),
        accents=_plain((0.8, 0.65, 0.75), (0.85, 0.8, 0.6)),
    ),
    "classroom": Kind(
        (
            Slot(fit.blackboard, "hung back", 0.8),
            Slot(fur.school_desks, "middle"),
            Slot(fur.desk, "back", 0.4),
            Slot(fit.bookcase, "wall", 0.3),
            Slot(fit.window, "hung", 0.6, 2),
            Slot(fit.picture, "hung", 0.4, 2),
        ),
        floors=(*_carpet((0.5, 0.56, 0.48)), *_boards(BIRCH)),
        walls=_plain((0.85, 0.82, 0.62), (0.72, 0.8, 0.7)),
        woods=_wood(BIRCH, (0.72, 0.62, 0.5)),
        fabrics=_plain((0.85, 0.45, 0.15), (0.2, 0.42, 0.7)),
        accents=_plain((0.85, 0.75, 0.2), (0.8, 0.25, 0.2)),
        width=(3.4, 4.6),
        length=(4.2, 5.2),
    ),
    "dining room": Kind(
        (
            Slot(fit.rug, "middle", 0.4),
            Slot(fur.dining_set, "middle"),
            Slot(fit.chest, "wall", 0.7, stray=True),
            Slot(fit.wardrobe, "wall", 0.3),
            Slot(fit.picture, "hung", 0.7, 2, stray=True),
            Slot(fit.plant, "wall", 0.3, stray=True),
        ),
        floors=_boards(WALNUT, MAHOGANY),
        walls=_plain((0.6, 0.3, 0.28), (0.84, 0.76, 0.6), (0.66, 0.56, 0.42)),
        woods=_wood(MAHOGANY, WALNUT),
        fabrics=_plain((0.5, 0.14, 0.14), (0.72, 0.62, 0.42)),
        accents=_plain((0.8, 0.62, 0.25), (0.62, 0.16, 0.16)),
    ),
    "kitchen": Kind(
        (
            Slot(fit.counter, "back"),
            Slot(fit.fridge, "wall", 0.8),
            Slot(fit.counter, "wall", 0.35),
            Slot(fur.dining_set, "middle", 0.35),
            Slot(fur.chair, "middle", 0.4),
            Slot(fit.window, "hung", 0.4),
        ),
        floors=(*_tiles((0.68, 0.38, 0.26), (0.75, 0.6, 0.45)), CHEQUERED),
        walls=(*_tiles((0.88, 0.84, 0.66), period=0.2), *_plain((0.88, 0.8, 0.55), (0.72, 0.82, 0.6))),
        woods=(*_plain(WHITE, (0.7, 0.18, 0.15), (0.45, 0.6, 0.4)), *_wood(BIRCH)),
        fabrics=_plain((0.75, 0.2, 0.16), (0.85, 0.75, 0.35)),
        accents=_plain((0.85, 0.35, 0.2), (0.9, 0.8, 0.3)),
    ),
    "library": Kind(
        (
            Slot(fit.bookcase, "wall", 0.95, 4),
            Slot(fur.reading_table, "middle", 0.6),
            Slot(fur.sofa, "middle", 0.5),
            Slot(fit.floor_lamp, "wall", 0.5, stray=True),
            Slot(fit.rug, "middle", 0.4),
        ),
        floors=(*_boards(WALNUT), *_carpet((0.28, 0.4, 0.3), (0.5, 0.2, 0.2))),
        walls=_plain((0.36, 0.46, 0.36), (0.66, 0.56, 0.42)),
        woods=_wood(WALNUT, MAHOGANY, OAK),
        fabrics=_plain((0.38, 0.24, 0.14), (0.18, 0.34, 0.22)),
        accents=_plain((0.2, 0.45, 0.28), (0.55, 0.2, 0.15)),
    ),
    "living room": Kind(
        (
            Slot(fit.rug, "middle", 0.7),
            Slot(fur.sofa, "wall", 0.95, 2),
            Slot(fur.low_table, "middle", 0.8),
            Slot(fur.television, "wall", 0.7),
            Slot(fit.floor_lamp, "wall", 0.4, stray=True),
            Slot(fit.plant, "wall", 0.5, stray=True),
            Slot(fit.picture, "hung", 0.7, 2, stray=True),
            Slot(fit.window, "hung", 0.4),
        ),
        floors=(*_boards(OAK), *_carpet((0.6, 0.58, 0.54))),
        walls=_plain((0.76, 0.72, 0.66), (0.66, 0.7, 0.7), (0.84, 0.8, 0.7)),
        woods=_wood(OAK, WALNUT),
        fabrics=_plain((0.16, 0.46, 0.5), (0.78, 0.6, 0.2), (0.5, 0.48, 0.46)),
        accents=_plain((0.82, 0.45, 0.2), (0.2, 0.5, 0.55)),
        width=(3.2, 4.3),
    ),
    "nursery": Kind(
        (
            Slot(fur.crib, "wall"),
            Slot(fit.toys, "middle", 0.95, 2),
            Slot(fit.chest, "wall", 0.6),
            Slot(fit.wardrobe, "wall", 0.3),
            Slot(fit.rug, "middle", 0.5),
            Slot(fit.window, "hung", 0.5),
            Slot(fit.picture, "hung", 0.6, stray=True),
        ),
        floors=(PLAY_MAT, *_carpet((0.85, 0.7, 0.72), (0.62, 0.75, 0.85))),
        walls=_plain((0.9, 0.7, 0.74), (0.64, 0.8, 0.9), (0.9, 0.87, 0.6)),
        woods=_plain(WHITE, (0.85, 0.75, 0.6)),
        fabrics=_plain((0.9, 0.55, 0.62), (0.4, 0.68, 0.88), (0.95, 0.8, 0.35)),
        accents=_plain((0.95, 0.5, 0.55), (0.35, 0.75, 0.6)),
        width=(2.7, 3.7),
        length=(3.2, 4.2),
    ),
    "office": Kind(
        (
            Slot(fur.desk, "wall", 1.0, 2),
            Slot(fur.desk, "middle", 0.5),
            Slot(fit.bookcase, "wall", 0.5),
            Slot(fit.chest, "wall", 0.4),
            Slot(fit.plant, "wall", 0.4, stray=True),
            Slot(fit.blackboard, "hung", 0.25),
            Slot(fit.window, "hung", 0.6),
        ),
        floors=(*_carpet((0.42, 0.45, 0.5), (0.32, 0.36, 0.46)), *_boards((0.55, 0.5, 0.45))),
        walls=_plain((0.85, 0.86, 0.88), (0.7, 0.75, 0.8)),
        woods=_plain((0.8, 0.8, 0.8), (0.6, 0.6, 0.6), (0.75, 0.66, 0.52)),
        fabrics=_plain((0.12, 0.12, 0.14), (0.22, 0.27, 0.38)),
        accents=_plain((0.25, 0.4, 0.62), (0.6, 0.6, 0.62)),
    ),
    "workshop": Kind(
        (
            Slot(fit.workbench, "wall", 1.0, 2),
            Slot(fit.barrels, "wall", 0.6),
            Slot(fit.crates, "middle", 0.6, 2, stray=True),
            Slot(fit.shelf, "wall", 0.5),
            Slot(fit.crates, "wall", 0.5, 2, stray=True),
            Slot(fur.chair, "middle", 0.3, stray=True),
        ),
        floors=(*_carpet((0.46, 0.46, 0.44), (0.56, 0.53, 0.48)),),
        walls=(*_tiles((0.58, 0.57, 0.55), period=0.4), *_plain((0.62, 0.6, 0.52))),
        woods=_wood((0.7, 0.55, 0.36), (0.5, 0.42, 0.34)),
        fabrics=_plain((0.75, 0.4, 0.1), SLATE),
        accents=_plain((0.8, 0.2, 0.12), (0.9, 0.6, 0.1), (0.15, 0.35, 0.6)),
    ),
}
"""Name -> kind. A kind's materials and pieces overlap with those of others, as in houses."""
