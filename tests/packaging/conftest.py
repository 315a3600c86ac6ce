"""The distributions of the suite and of the example, each built once; and the wheel, installed."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.packaging.commands import ROOT, built, command, files

SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
"""What `python -m build --sdist` calls."""
EXAMPLE = "docs/examples/wcord-bench-example"


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, in which a build may leave its files."""
    folder = tmp_path_factory.mktemp("source")
    for name in files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return folder


@pytest.fixture(scope="session")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    command(sys.executable, "-c", SDIST, folder, cwd=source)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pip builds it of the source distribution."""
    return built(sdist, tmp_path_factory.mktemp("wheel") / "built")


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it, inside a git repository of somebody else's.

    It sees the libraries that the tests run with, but not the checkout.
    """
    home = tmp_path_factory.mktemp("somebody")
    command("git", "init", "--quiet", home, cwd=home)
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    command("git", *author, "commit", "--quiet", "--allow-empty", "-m", "theirs", cwd=home)
    command(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    (site,) = (home / "venv" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--python", home / "venv" / "bin" / "python"]
    command(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    return home


@pytest.fixture(scope="session")
def example(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package of plugins installed in it."""
    folder = tmp_path_factory.mktemp("example")
    wheel, site = built(source / EXAMPLE, folder / "built"), folder / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    command(*pip, "--target", site, wheel, cwd=folder)
    return site
