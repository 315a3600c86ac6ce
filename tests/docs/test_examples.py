"""The Python of the documentation runs as it stands, on tiny data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from benchmark.cli import main
from benchmark.records import Record
from tests.command import numbers, records, run
from tests.docs.blocks import commands, pages, python_of, text_of
from tests.docs.plugins import with_tasks, written
from tests.reporting.fake_records import make_record, write_run

RUN_BY = {
    "README.md": "test_every_baseline_shown_trains",
    "docs/adding_a_baseline.md": "test_every_baseline_shown_trains",
    "docs/adding_a_dataset.md": "test_the_dataset_shown_is_read_and_trained_on",
    "docs/adding_a_task.md": "test_the_task_shown_trains",
    "docs/adding_an_architecture.md": "tests/models/test_architectures.py",
    "docs/analysing_results.md": "tests/reporting/test_notebook.py",
    "docs/library.md": "tests/test_docs.py",
    "docs/losses.md": "tests/test_docs.py",
    "docs/reports.md": "test_the_frames_shown_come_from_a_results_folder",
    "docs/tutorial.md": "test_the_tutorial_leads_to_its_figures",
}
"""Page with Python -> the test that runs all of it."""

TINY = ["--epochs=1", "--teacher-epochs=1", "--train-samples=80", "--teacher-samples=120", "--no-probes"]


def test_every_page_with_python_has_a_test_that_runs_it() -> None:
    assert {page for page in pages() if python_of(page)} == RUN_BY.keys()
    for place in RUN_BY.values():
        assert place in globals() or Path(__file__).parents[2].joinpath(place).is_file(), place


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("page", ["README.md", "docs/adding_a_baseline.md"])
def test_every_baseline_shown_trains(page: str, tmp_path: Path) -> None:
    files = written(page, tmp_path)
    assert len(files) == len(python_of(page))
    given = [word for file in files.values() for word in ("--plugin", str(file))]
    assert run(tmp_path, *given, baselines=("scratch", *files)) == 0
    found = {record.run.baseline: record for record in records(tmp_path).values() if _as_planned(record)}
    assert found.keys() == {"scratch", *files}


def _as_planned(record: Record) -> bool:
    assert record.status == "finished", record.reason
    return record.condition.epochs == 2  # and not the longer scratch beside a first stage


def test_the_baseline_of_two_stages_is_the_same_alone_and_keeps_its_buffer(tmp_path: Path) -> None:
    file = str(written("docs/adding_a_baseline.md", tmp_path)["codes"])
    assert run(tmp_path / "alone", "--plugin", file, baselines=("codes",)) == 0
    assert run(tmp_path / "company", "--plugin", file, baselines=("scratch", "kd", "codes")) == 0
    (alone,) = records(tmp_path / "alone").values()
    company = [each for each in records(tmp_path / "company").values() if each.run.baseline == "codes"]
    assert numbers(alone) == numbers(company[0])
    assert alone.measurements.first_stages_s > 0


def test_the_task_shown_trains(tmp_path: Path) -> None:
    with with_tasks("docs/adding_a_task.md", tmp_path):
        assert run(tmp_path, *TINY, "--seeds", "0", task="my_task", baselines=("kd",)) == 0
    (record,) = records(tmp_path).values()
    assert record.about.synthetic


def two_wrists(folder: Path) -> None:
    """Files in the layout that the page describes: five people, three actions."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        label = np.arange(60) % 3
        wave = np.sin(np.arange(64) * 0.2 * (label[:, None, None] + 1)) + np.zeros((60, 3, 64))
        senses = {name: (wave + draw.normal(size=wave.shape)).astype("f4") for name in ("left", "right")}
        np.savez(folder / f"{split}.npz", **senses, label=label, person=np.arange(60) // 3 % 5)


def test_the_dataset_shown_is_read_and_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_wrists(tmp_path / "data" / "two_wrists")
    data = ["--data-dir", str(tmp_path / "data"), "--epochs", "1", "--teacher-epochs", "1", "--seeds", "0"]
    with with_tasks("docs/adding_a_dataset.md", tmp_path):
        assert run(tmp_path, *data, task="two_wrists", baselines=("kd",)) == 0
        (record,) = records(tmp_path).values()
        assert record.about.num_classes == 3
        (tmp_path / "data" / "two_wrists" / "test.npz").write_bytes(b"PK")
        assert run(tmp_path, *data, task="two_wrists", baselines=("crd",)) == 2
        assert "test.npz can't be read" in capsys.readouterr().err
        (tmp_path / "data" / "two_wrists" / "test.npz").unlink()
        assert run(tmp_path, *data, task="two_wrists", baselines=("crd",)) == 2
        assert "two_wrists not found" in capsys.readouterr().err


def test_the_frames_shown_come_from_a_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scratch", "kd", "crd"):
        for seed in range(3):
            write_run(tmp_path / "results" / "quick", make_record(name, seed))
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    for text in python_of("docs/reports.md"):
        exec(text, scope)
    assert len(scope["runs"]) == 9
    assert set(scope["against_kd"]["baseline"]) == {"scratch", "crd"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tutorial_leads_to_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_shapes: None
) -> None:
    page = "docs/tutorial.md"
    written(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = [each for each in commands(page) if each.startswith("python run_all.py --tasks")]
    for number, command in enumerate(shown):
        arguments = re.sub(r"--seeds( \d+)+", "--seeds 0", command).split()[2:]
        report = ["--no-report"] if number < len(shown) - 1 else []
        assert main([*arguments, *TINY, *report]) == 0
    exec(next(text for text in python_of(page) if "@baseline" not in text), {})
    folder = tmp_path / "results" / "tutorial"
    named = re.findall(r"^\| `([\w./]+)` \|", text_of(page), re.MULTILINE)
    assert "figures/compression_comparison.png" in named
    assert [file for file in named if not (folder / file).is_file()] == []
    assert "My first" in (folder / "tables" / "compression.txt").read_text()
    assert (tmp_path / "curves.png").is_file()
