"""What the registry knows of a baseline: the year of its paper and the version of its code."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.contracts import Distiller
from benchmark.plugins import Baseline


def described(file: Path, paper: str = "") -> Baseline:
    return Baseline("some", "Some", "method", Distiller, file, paper)


@pytest.mark.parametrize(
    ("paper", "year"),
    [("Tian et al., ICLR 2020", "2020"), ("A 1999 idea, CVPR 2019", "2019"), ("ISO 12345", ""), ("", "")],
)
def test_the_year_is_the_last_one_that_the_paper_names(paper: str, year: str) -> None:
    assert described(Path("some.py"), paper).year == year


def test_the_checksum_covers_the_code_that_a_file_shares_with_its_neighbours(tmp_path: Path) -> None:
    file, shared, other = (tmp_path / name for name in ("some.py", "_shared.py", "other.py"))
    file.write_text("from baselines._shared import loss\n")
    shared.write_text("def loss(): return 1\n")
    other.write_text("x = 1\n")
    first = described(file).code_checksum
    shared.write_text("def loss():  # only a comment\n    return 1\n")
    other.write_text("x = 2\n")
    assert described(file).code_checksum == first
    shared.write_text("def loss(): return 2\n")
    assert described(file).code_checksum != first


def test_the_checksum_of_a_file_is_the_same_in_every_version_of_python(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("class Some(Base):\n    def loss(self): return [], f'{self.x:>{2}}', None\n")
    assert described(file).code_checksum == "ea297ce28665ba84"


def test_the_checksum_covers_modules_of_the_same_package_however_they_are_imported(tmp_path: Path) -> None:
    file, shared = tmp_path / "some.py", tmp_path / "losses.py"
    for text in ("from . import losses\n", "from my_package import losses as ours\n"):
        file.write_text(text)
        sums = set()
        for value in (1, 2):
            shared.write_text(f"x = {value}\n")
            sums.add(described(file).code_checksum)
        assert len(sums) == 2, text
