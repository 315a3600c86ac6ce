"""The figures of a results folder. Each kind chooses by what records hold, never by a baseline's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from benchmark.errors import UserError, unknown
from benchmark.reporting.figures.drawing import Drawing
from benchmark.reporting.output import make_folder
from benchmark.reporting.results import Results
from benchmark.reporting.style import style

KINDS = (
    "comparison", "gains", "label_fractions", "hyperparameters", "critical_difference",
    "performance_profiles", "curves", "costs", "frontier", "fidelity", "tuning", "probe_map", "correlations",
    "embedding_maps", "measures", "diagnostics",
)  # fmt: skip
"""Modules of this package in the order of the page; each has `drawings(results)`."""


class Saved(NamedTuple):
    """A drawing with the files that it was written to; none where it could not be drawn."""

    drawing: Drawing
    paths: list[Path]


def all_drawings(results: Results) -> Iterator[Drawing]:
    """Every figure that these records allow, and those they don't, with the reason."""
    for kind in KINDS:
        yield from drawings_of(results, kind)


def drawings_of(results: Results, kind: str, also: Iterable[str] = ()) -> Iterator[Drawing]:
    """The figures of one kind. Raises UserError for an unknown one; `also` are names to offer then."""
    if kind not in KINDS:
        raise unknown("kind of figure", kind, [*also, *KINDS])
    return import_module(f"{__name__}.{kind}").drawings(results)


def draw(results: Results, kind: str) -> dict[str, Figure]:
    """The figures of one kind, by their names, for a notebook; `figure.savefig(...)` writes one.

    Args:
        kind: `comparison`, `gains`, `curves`, ...: the name of a module of this package.

    Raises:
        UserError: for a kind that there isn't.
    """
    with matplotlib.rc_context(style()):  # pyright: ignore[reportArgumentType] - plain names of settings
        return {each.name: each.draw() for each in drawings_of(results, kind) if each.draw}


def save_figures(results: Results, folder: Path) -> list[Saved]:
    """Writes every figure into the folder as PNG (200 dpi) and PDF.

    One that can't be drawn from what its runs left is named in the problems, and costs no other.
    """
    make_folder(folder)
    return [_saved(results, each, folder) for each in all_drawings(results)]


def _saved(results: Results, drawing: Drawing, folder: Path) -> Saved:
    if drawing.draw is None:
        return Saved(drawing, [])
    try:
        return Saved(drawing, save_drawing(drawing, folder))
    except UserError:
        raise
    except Exception as error:  # what a run left may be anything; the other figures are none of its business
        reason = f"could not be drawn ({type(error).__name__}: {' '.join(str(error).split())})"
        results.problems.append(f"figure {drawing.name}: {reason}")
        return Saved(replace(drawing, draw=None, reason=reason), [])


def save_drawing(drawing: Drawing, folder: Path) -> list[Path]:
    """Draws one figure in the style of all and writes its PNG and PDF."""
    with matplotlib.rc_context(style()):  # pyright: ignore[reportArgumentType] - plain names of settings
        return drawing.save(folder)
