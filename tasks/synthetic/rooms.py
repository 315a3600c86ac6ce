"""The embedded dataset: rooms of ten kinds in colour and depth, drawn alike everywhere from one seed.

The rooms are frozen: a change here, or in the modules that this one draws with, changes every number made
with them. What was looked at while they were made: the contact sheet, and how well three trainings did on
other scenes, which are the teacher on colour, and the student from scratch on depth with a tenth of the
labels and with all of them. No distillation method was run before they were frozen, and the scenes to test on
were drawn afterwards.

`python -m tasks.synthetic.rooms --preview rooms.png` writes a contact sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.synthetic.preview import caption, preview
from tasks.synthetic.rendering.layouts import KINDS
from tasks.synthetic.rendering.scenes import compose
from tasks.synthetic.rendering.sensor import SIDE, photograph

CLASSES = tuple(KINDS)

SHEET_SCENES, SHEET_ZOOM, CAPTION = 6, 3, 18
"""Of the contact sheet: scenes per class, pixels per pixel and the captions' height."""

PART_COLOURS = np.array(
    [
        (200, 200, 200), (125, 95, 65), (240, 240, 240), (95, 175, 240), (180, 70, 160), (205, 145, 45),
        (215, 65, 60), (95, 65, 35), (70, 200, 200), (25, 25, 30), (70, 160, 70),
    ],
    np.uint8,
)  # fmt: skip
"""RGB of the mask's classes on the contact sheet."""


@dataclass(frozen=True)
class Rendered:
    """N scenes: rgb uint8 [N, 3, 40, 40], depth int16 [N, 1, 40, 40] in millimetres (0: a hole), mask int64
    [N, 40, 40] into PARTS, label int64 [N] into CLASSES."""

    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    label: np.ndarray


def rooms(num_samples: int, seed: int) -> Rendered:
    """Draws N = num_samples scenes; each has a generator of its own, so that fewer are a prefix of more, with
    equally many of every class in each ten."""
    rgb = np.empty((num_samples, 3, SIDE, SIDE), np.uint8)
    depth = np.empty((num_samples, 1, SIDE, SIDE), np.int16)
    mask = np.empty((num_samples, SIDE, SIDE), np.int64)
    label = np.arange(num_samples, dtype=np.int64) % len(CLASSES)
    for number in range(num_samples):
        random = np.random.Generator(np.random.PCG64([seed, number]))
        scene = compose(CLASSES[label[number]], random)
        rgb[number], depth[number, 0], mask[number] = photograph(scene, random)
    return Rendered(rgb, depth, mask, label)


def contact_sheet(num_scenes: int = SHEET_SCENES, seed: int = 0) -> np.ndarray:
    """A picture, uint8 [H, W, 3] RGB: per class its name and a few scenes, colour above depth above mask."""
    drawn = rooms(num_scenes * len(CLASSES), seed)
    strips = []
    for number, name in enumerate(CLASSES):
        chosen = np.flatnonzero(drawn.label == number)
        rows = [
            drawn.rgb[chosen].transpose(0, 2, 3, 1),
            _grey(drawn.depth[chosen, 0]),
            PART_COLOURS[drawn.mask[chosen]],
        ]
        strip = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
        strip = strip.repeat(SHEET_ZOOM, axis=0).repeat(SHEET_ZOOM, axis=1)
        strips.append(np.concatenate([caption(name, CAPTION, strip.shape[1]), strip]))
    half = len(strips) // 2
    gap = np.full((half * len(strips[0]), 8, 3), 255, np.uint8)
    return np.concatenate([np.concatenate(strips[:half]), gap, np.concatenate(strips[half:])], axis=1)


def _grey(depth: np.ndarray) -> np.ndarray:
    """Depths [N, H, W] in millimetres as grey, near dark and far light, holes in red."""
    grey = np.clip(depth.astype(np.int32) * 255 // 5500, 0, 255).astype(np.uint8)
    return np.where(
        (depth == 0)[..., None], np.array([190, 30, 30], np.uint8), grey[..., None].repeat(3, axis=-1)
    )


if __name__ == "__main__":
    preview("Draws embedded rooms: colour above depth (holes red) above parts.", contact_sheet)
