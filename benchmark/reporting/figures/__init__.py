"""The figures of a results folder. Each kind chooses by what records hold, never by a baseline's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib

from benchmark.reporting.figures import (
    comparison,
    correlations,
    costs,
    critical_difference,
    curves,
    embedding_maps,
    fidelity,
    gains,
    hyperparameters,
    label_fractions,
    probe_map,
    transport_plans,
)
from benchmark.reporting.figures.drawing import Drawing
from benchmark.reporting.results import Results
from benchmark.reporting.style import STYLE

KINDS = (
    comparison,
    gains,
    label_fractions,
    hyperparameters,
    critical_difference,
    curves,
    costs,
    fidelity,
    probe_map,
    correlations,
    embedding_maps,
    transport_plans,
)
"""In the order of the page; each has `drawings(results)`."""


class Saved(NamedTuple):
    """A drawing with the files that it was written to; none where it could not be drawn."""

    drawing: Drawing
    paths: list[Path]


def all_drawings(results: Results) -> Iterator[Drawing]:
    """Every figure that these records allow, and those they don't, with the reason."""
    for kind in KINDS:
        yield from kind.drawings(results)


def save_figures(results: Results, folder: Path) -> list[Saved]:
    """Writes every figure into the folder as PNG (200 dpi) and PDF."""
    folder.mkdir(parents=True, exist_ok=True)
    return [Saved(each, save_drawing(each, folder) if each.draw else []) for each in all_drawings(results)]


def save_drawing(drawing: Drawing, folder: Path) -> list[Path]:
    """Draws one figure in the style of all and writes its PNG and PDF."""
    with matplotlib.rc_context(STYLE):  # pyright: ignore[reportArgumentType] - plain names of settings
        return drawing.save(folder)
