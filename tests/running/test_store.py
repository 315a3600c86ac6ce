"""Run folders: what they hold while a run is under way and when it is finished."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmark.checksums import file_checksums
from benchmark.errors import UserError
from benchmark.records import Condition, Metric, Record, Run, read_record
from benchmark.running.store import RunFolder, check_writable

RECORD = Record(
    "x",
    Run("task", "data", "pair", "kd", 0),
    Condition(),
    "diverged",
    reason="not finite in epoch 1: task",
    metrics={"top1": Metric("Top-1 accuracy", "top-1", "max", "%", 100.0, primary=True)},
)


def test_a_folder_without_a_record_is_not_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"id": "x"})
    assert read_record(folder.record) is None


def test_a_finished_run_reads_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"id": "x"})
    folder.log_epoch({"epoch": 0, "learning_rate": 0.1, "terms": {"task": float("nan")}})
    folder.finish(RECORD)
    found = read_record(folder.record)
    assert found == dataclasses.replace(RECORD, files=file_checksums(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "history.jsonl").read_text())["terms"] == {"task": None}
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_beginning_again_clears_what_an_interrupted_run_left(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({})
    folder.log_epoch({"epoch": 0, "learning_rate": 0.1})
    folder.begin({})
    assert not (tmp_path / "run" / "history.jsonl").exists()


def test_a_results_folder_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="--results-dir"):
        check_writable(tmp_path / "results" / "name")
