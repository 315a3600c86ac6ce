"""Contact sheets of the embedded datasets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.synthetic import motions, preview, rooms, shapes
from tasks.synthetic.motions import contact_sheet as motion_sheet

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("draw", "classes", "columns"),
    [
        (shapes.contact_sheet, shapes.CLASSES, 1),
        (lambda: rooms.contact_sheet(num_scenes=2), rooms.CLASSES, 2),
        (motion_sheet, motions.CLASSES, 1),
    ],
    ids=["shapes", "rooms", "motions"],
)
def test_a_contact_sheet_has_a_place_for_every_class(
    draw: Callable[[], np.ndarray], classes: tuple[str, ...], columns: int
) -> None:
    sheet = draw()
    assert sheet.dtype == np.uint8
    places = [
        place
        for column in np.array_split(sheet, columns, axis=1)
        for place in np.split(column, len(classes) // columns)
    ]
    assert len({place.tobytes() for place in places}) == len(classes)
    assert all(place.std() > 20 for place in places)


def test_a_preview_is_written_with_its_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["synthetic", "--preview", str(file)])
    preview.preview("Draws red.", lambda: np.full((4, 6, 3), (250, 10, 20), np.uint8))
    assert cv2.imread(str(file))[0, 0].tolist() == [20, 10, 250]
    assert str(file) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"), [("missing/sheet.png", "can't be written"), ("sheet.txt", "name a .png file")]
)
def test_a_preview_that_cannot_be_written_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["synthetic", "--preview", str(tmp_path / name)])
    with pytest.raises(SystemExit) as stopped:
        preview.preview("Draws black.", lambda: np.zeros((4, 4, 3), np.uint8))
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "rooms", "motions"])
def test_each_generator_is_a_program(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", f"tasks.synthetic.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert "--preview FILE" in done.stdout
