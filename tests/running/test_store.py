"""Records: written whole or not at all, read whole or named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.running import store
from benchmark.running.store import PARTS, CorruptRecord, RunFolder, check_writable, read_record, write_json

RECORD = {part: {} for part in PARTS} | {"id": "x"}


def test_a_folder_without_a_record_is_not_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"id": "x"})
    assert folder.record() is None


def test_a_finished_run_reads_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"id": "x"})
    folder.log_epoch({"epoch": 0, "learning_rate": 0.1, "terms": {"task": float("nan")}})
    folder.finish(RECORD)
    assert folder.record() == RECORD | {"schema": store.SCHEMA}
    assert json.loads((tmp_path / "run" / "history.jsonl").read_text())["terms"] == {"task": None}
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_beginning_again_clears_what_an_interrupted_run_left(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({})
    folder.log_epoch({"epoch": 0, "learning_rate": 0.1})
    folder.begin({})
    assert not (tmp_path / "run" / "history.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": 1', "can't be read"),
        ("[]", "not a record"),
        ('{"schema": 1, "id": 2}', "lacks run"),
        ("", "can't"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(content)
    with pytest.raises(CorruptRecord, match=message) as caught:
        read_record(file)
    assert str(file) in str(caught.value)


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "record.json"
    write_json(file, {"old": 1})
    monkeypatch.setattr(store.os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_json(file, {"new": 2})
    assert json.loads(file.read_text()) == {"old": 1}


def test_a_results_folder_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="--results-dir"):
        check_writable(tmp_path / "results" / "name")
