"""The notebook runs from its first cell to its last, and is kept without what it printed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.reporting.fake_records import all_records, write_run

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_notebook_runs_and_draws(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    client = pytest.importorskip("nbclient", reason="nbclient is not installed")
    for record in all_records():
        write_run(tmp_path / "results" / "quick", record)
    folder = tmp_path / "docs" / "notebooks"
    folder.mkdir(parents=True)
    shutil.copy(file, folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(folder)}}
    done = client.NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    outputs = [each for cell in done.cells for each in cell.get("outputs", ())]
    assert sum("image/png" in each.get("data", {}) for each in outputs) == 3
    assert any("runs; all of them can be read" in each.get("text", "") for each in outputs)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_notebook_is_kept_without_outputs(file: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    for cell in nbformat.read(file, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
