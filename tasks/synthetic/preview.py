"""The command line of the embedded datasets: `--preview FILE` writes a contact sheet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np


def preview(description: str, draw: Callable[[], np.ndarray]) -> None:
    """Writes the picture uint8 [H, W, 3] RGB that `draw` makes; exit code 2 and a line where it can't."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--preview", type=Path, required=True, metavar="FILE", help="the picture to write")
    file = parser.parse_args(sys.argv[1:]).preview
    if file.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        parser.error(f"{file}: name a .png file")
    if not cv2.imwrite(str(file), draw()[..., ::-1]):
        parser.error(f"{file} can't be written: name a file in a folder that is there")
    print(f"wrote {file}")


def caption(text: str, height: int, width: int) -> np.ndarray:
    """Black words on white, uint8 [height, width, 3]."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    place = (4, height // 2 + 5)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas
