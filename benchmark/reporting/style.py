"""The one look of all figures: colour-blind-safe, legible in print at the width of one column."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

COLUMN = 3.5  # width of one printed column, inches

# Grey for the anchor; then Okabe and Ito's palette without its yellow, which is too faint for a line, and its
# black, which is the teacher's; wine and indigo of Paul Tol's instead.
COLOURS = (
    "#5A5A5A", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#332288",
)  # fmt: skip
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)))
MARKS = {"method": "D", "control": "s", "reference": "o"}
"""By role: what colours, which are those of baselines, can't tell."""
TEACHER_COLOUR = "#000000"
ANCHOR_COLOUR = COLOURS[0]

# Paul Tol's "muted" scheme and Okabe and Ito's, for the classes of a map, where no line is drawn.
CLASS_COLOURS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255",
    "#AA4499", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#000000", "#999999",
)  # fmt: skip


class Look(NamedTuple):
    """How a line is drawn: places in COLOURS and DASHES, which the page has too."""

    colour: int
    dash: int

    @property
    def line(self) -> dict[str, Any]:
        return {"color": COLOURS[self.colour], "linestyle": DASHES[self.dash]}


ANCHOR = Look(0, 0)


def baseline_looks(baselines: Iterable[str], anchors: Iterable[str]) -> dict[str, Look]:
    """Baseline -> its look, the same in every figure: 40 that differ, grey for the anchors.

    Neighbours differ in colour and dash, for readers who can't tell all colours apart.
    """
    anchors = set(anchors)
    others = [name for name in baselines if name not in anchors]
    found = {name: Look(1 + k % (len(COLOURS) - 1), k % len(DASHES)) for k, name in enumerate(others)}
    return found | dict.fromkeys(anchors, ANCHOR)


def looks(by_label: Mapping[str, Look]) -> dict[str, Look]:
    """Label -> look, from label -> look of its baseline: each further line of a baseline has another dash, or
    any look that is free where those are taken; there are 40."""
    taken, seen = set(by_label.values()), set()
    found = {}
    for label, look in by_label.items():
        if look in seen:
            own = [look._replace(dash=(look.dash + k) % len(DASHES)) for k in range(1, len(DASHES))]
            others = [Look(colour, dash) for dash in range(len(DASHES)) for colour in range(1, len(COLOURS))]
            found[label] = next((each for each in (*own, *others) if each not in taken), own[0])
        else:
            found[label] = look
        seen.add(look)
        taken.add(found[label])
    return found


FONT = "DejaVu Sans"  # ships with the drawing library: the same picture on every machine
SMALL_FONT = "DejaVu Sans Common"
COMMON = ((0x20, 0x250), (0x370, 0x400), (0x2000, 0x2070), (0x2190, 0x2300), (0x25A0, 0x2600))
"""Latin, Greek, punctuation, arrows, operators and shapes."""


@cache
def style() -> dict[str, Any]:
    """Settings of matplotlib. Titles and labels are plain text: a dollar sign starts no formula."""
    return {
        "text.parse_math": False,
        "font.size": 8,
        "font.family": [_small_font(), FONT],
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.3,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "pdf.fonttype": 42,
        "svg.hashsalt": "wcord-bench",
    }


def _small_font() -> str:
    """The name of the font's common characters as a font of their own.

    Every PDF holds the characters that it uses; to cut them out of six thousand takes longer than to draw.
    """
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from matplotlib import font_manager

    font = TTFont(font_manager.findfont(FONT), recalcBBoxes=False)
    for table in ("GSUB", "GPOS", "GDEF", "kern", "FFTM"):
        del font[table]
    cutter = subset.Subsetter(subset.Options(notdef_outline=True, name_IDs=["*"]))
    cutter.populate(unicodes=[each for start, end in COMMON for each in range(start, end)])
    cutter.subset(font)
    for entry in font["name"].names:
        if entry.nameID in (1, 4, 16):
            entry.string = SMALL_FONT.encode(entry.getEncoding())
    handle, name = tempfile.mkstemp(suffix=".ttf")
    os.close(handle)
    font.save(name)
    atexit.register(Path(name).unlink, missing_ok=True)
    font_manager.fontManager.addfont(name)
    return SMALL_FONT
