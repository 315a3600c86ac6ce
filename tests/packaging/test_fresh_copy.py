"""A copy of the source tree: a file dropped into baselines/ is all that a new method needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.packaging.commands import ROOT
from tests.test_cli import PLUGIN

pytestmark = pytest.mark.xdist_group("copy")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in ("benchmark", "baselines", "tasks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run_all.py", folder)
    (folder / "baselines" / "my_method.py").write_text(PLUGIN)
    return folder


def command(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "run_all.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_dropped_into_baselines_is_listed(copy: Path) -> None:
    assert "my_method" in command(copy, "--list")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_it_trains_on_the_embedded_data_and_stands_in_table_and_frame(copy: Path) -> None:
    small = ["--seeds", "0", "--train-samples", "100", "--teacher-samples", "100", "--epochs", "1"]
    small += ["--teacher-epochs", "1"]
    command(copy, "--tasks", "compression", "--baselines", "scratch", "my_method", "--no-probes", *small)
    results = copy / "results" / "quick"
    assert "My method" in (results / "tables" / "compression.md").read_text()
    frame = pd.read_parquet(results / "records.parquet")
    assert set(frame["baseline"]) == {"scratch", "my_method"}
