"""The source distribution: what a build and the tests need, and nothing else; its wheel is the checkout's."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.packaging.commands import ROOT, files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("wheel")]

LEFT_OUT = (".ci/", ".gitignore", "results/reference/", "results/submissions/")
MADE = ("PKG-INFO", "setup.cfg", "wcord_bench.egg-info/")
WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_it_holds_every_file_of_the_repository_but_for_the_archives(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        found = {member.name.partition("/")[2] for member in archive if member.isfile()}
    left_out = (*LEFT_OUT, *MADE)
    assert {name for name in found if not name.startswith(MADE)} == {
        name for name in files() if not name.startswith(left_out)
    }


def test_its_wheel_is_that_of_the_checkout(wheel: Path, source: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", WHEEL, str(tmp_path)], cwd=source, capture_output=True, timeout=200, check=True
    )
    (other,) = tmp_path.glob("*.whl")
    assert other.name == wheel.name
    assert content(other) == content(wheel)


def test_its_metadata_are_complete(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    held = content(wheel)
    (found,) = (message_from_bytes(held[name]) for name in held if name.endswith(".dist-info/METADATA"))
    assert (found["Name"], found["Version"]) == ("wcord-bench", project["version"])
    assert found["License-Expression"] == "MIT"
    assert found["Description-Content-Type"] == "text/markdown"
    assert str(found.get_payload()).startswith("# WCoRD-Bench")
    assert found.get_all("Classifier") == project["classifiers"]
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in held)
