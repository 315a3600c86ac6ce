"""Saved figures as images within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from benchmark.reporting.figures import Saved
from benchmark.reporting.figures.drawing import DPI

LIMIT = 8_000_000  # bytes of all images together, before base64
SCALES = (1.0, 0.75, 0.5, 0.35)


@dataclass(frozen=True)
class Picture:
    """An image with its words."""

    title: str
    caption: str
    source: str
    """a data URI"""
    width: int
    height: int
    files: list[tuple[str, str]]
    """`("PDF", "figures/x.pdf")`: where they lie beside the page"""


def pictures(saved: Iterable[Saved]) -> list[Picture]:
    """The PNG of each saved figure in 256 colours; smaller ones where all together would be too heavy."""
    files = [(each, path) for each in saved for path in each.paths if path.suffix == ".png"]
    for scale in SCALES:
        found, size = [], 0
        for each, path in files:
            found.append(_picture(each, path, scale))
            size += len(found[-1].source) * 3 // 4
            if size > LIMIT and scale != SCALES[-1]:
                break
        else:
            break
    return found if files else []


def _picture(saved: Saved, path: Path, scale: float) -> Picture:
    with Image.open(path) as image:
        width, height = image.size
        pixels = image.convert("RGB")
    if scale != 1:
        pixels = pixels.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    pixels.quantize(256, dither=Image.Dither.NONE).save(stream, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    shown = (round(width * 96 / DPI), round(height * 96 / DPI))
    files = [(each.suffix[1:].upper(), f"figures/{quote(each.name)}") for each in saved.paths]
    return Picture(saved.drawing.title, saved.drawing.caption, source, *shown, files)
