"""Records: one reader, one validator, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.records import (
    CHECKSUM,
    Condition,
    CorruptRecord,
    Metric,
    Provenance,
    Record,
    Results,
    Run,
    Teacher,
    TeacherRecord,
    Trial,
    parse_record,
    plain,
    read_record,
    read_teacher_record,
    sealed,
    write_json,
    write_record,
)

RECORD = Record(
    id="0123456789abcdef",
    run=Run("a_task", "some_data", "big-small", "kd", 3),
    condition=Condition(label_fraction=0.1, epochs=12, overrides={"temperature": 2.0, "recipe.decay": 0.2}),
    status="finished",
    metrics={"top1": Metric("Top-1", "top-1", "max", "%", 100.0, primary=True)},
    results=Results(
        {"test@last": {"top1": 0.5}, "test@best_validation": {"top1": 0.6}},
        best_epoch=4,
        probes={"own": {"linear": 0.7}},
    ),
    teacher=Teacher("t", "c", "big", ("rgb",), {"top1": 0.8}, 100, 200),
    hyperparameters={"temperature": 2.0, "grid": [4, 2]},
    provenance=Provenance(commit="abc", clean=True, threads=2, data_fingerprint="f"),
)

SCHEMA_1 = {
    "schema": 1,
    "id": "0123456789abcdef",
    "run": {"task": "a_task", "dataset": "some_data", "pair": "big-small", "baseline": "kd", "seed": 3},
    "condition": {
        "label_fraction": 0.1,
        "epochs": 12,
        "overrides": "temperature=2.0 recipe.milestones=(0.5, 0.75) teacher_recipe.nesterov=True",
    },
    "status": "finished",
    "about": {"baseline_title": "KD", "teacher": "big", "teacher_modalities": ["rgb"], "num_test": 10},
    "metrics": {
        "top1": {
            "title": "Top-1", "short": "top-1", "direction": "max", "unit": "%", "scale": 100,
            "headline": True,
        }
    },
    "results": {
        "teacher": {"test": {"top1": 0.8}, "probes": {"own": {"linear": 0.9}}},
        "untrained": {"probes": {"own": {"linear": 0.2}}},
        "teacher_parameters": 100,
        "teacher_macs": 200,
        "parameters": 10,
        "macs": 20,
        "test@last": {"top1": 0.5, "kl_to_teacher": None},
        "best_epoch": 4,
        "probes": {"own": {"linear": 0.7}},
    },
    "hyperparameters": {"temperature": 2.0},
    "measurements": {"step_ms": 1.5, "cohort_size": 3},
    "provenance": {"commit": None, "teacher_id": "t", "teacher_checksum": "c", "data_fingerprint": "f"},
}  # fmt: skip


def test_a_record_goes_through_json_and_back(tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", RECORD)
    assert read_record(tmp_path / "record.json") == RECORD


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_finite_number_is_null(value: float, tmp_path: Path) -> None:
    results = dataclasses.replace(RECORD.results, scores={"test@last": {"top1": value}})
    write_record(tmp_path / "record.json", dataclasses.replace(RECORD, results=results))
    found = read_record(tmp_path / "record.json")
    assert found is not None
    assert found.results.score("test@last", "top1") is None


def test_a_missing_file_is_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path / "record.json") is None


def test_a_record_of_schema_1_is_read_as_one_of_today() -> None:
    found = parse_record(SCHEMA_1)
    assert found.condition.overrides == {
        "temperature": 2.0,
        "recipe.milestones": [0.5, 0.75],
        "teacher_recipe.nesterov": True,
    }
    assert found.teacher == Teacher(
        "t", "c", "big", ("rgb",), {"top1": 0.8}, 100, 200, {"own": {"linear": 0.9}}
    )
    assert found.results.scores == {"test@last": {"top1": 0.5, "kl_to_teacher": None}}
    assert found.results.untrained_probes == {"own": {"linear": 0.2}}
    assert found.metrics["top1"].primary
    assert found.measurements.cohort_size == 3
    assert parse_record(plain(found)) == found


def test_a_teachers_record_is_of_a_kind_of_its_own(tmp_path: Path) -> None:
    teacher = TeacherRecord("t", {"architecture": "big"}, "c")
    write_record(tmp_path / "record.json", teacher)
    assert read_teacher_record(tmp_path / "record.json") == teacher
    with pytest.raises(CorruptRecord, match="kind 'teacher', expected 'run'"):
        read_record(tmp_path / "record.json")


def changed(path: str, value: Any) -> dict[str, Any]:
    """The record's plain values with another one at a dotted path, as if they had been written so."""
    content = json.loads(json.dumps(plain(RECORD)))
    *parents, last = path.split(".")
    place = content
    for name in parents:
        place = place[name]
    place[last] = value
    return sealed(content)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema", 4, "schema 4"),
        ("id", 7, r"\$.id"),
        ("status", "perhaps", "perhaps"),
        ("run.seed", 10**40, "run.seed"),
        ("run.seed", -1, "run.seed"),
        ("run", {"task": "a_task"}, "dataset"),
        ("provenance", [], "provenance"),
        ("condition.overrides", "temperature=2", "overrides"),
        ("metrics.top1.direction", "up", "up"),
        ("results.scores", {}, "without test results"),
        ("results.scores", {"test@last": {"top1": "high"}}, "results.scores"),
        ("teacher.test", [0.8], "teacher.test"),
        ("measurements.step_ms", "fast", "step_ms"),
        ("metrics", {}, "without a metric"),
        ("hyperparameters.temperature", 2**63, "temperature: a number of more than 64 bits"),
        ("hyperparameters", {"\ud800": 1}, "a name in hyperparameters: half a letter"),
        ("hyperparameters.grid", ["\udfff"], "grid: half a letter"),
    ],
)
def test_a_record_with_something_wrong_is_named_with_what_is_wrong(
    path: str, value: Any, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(CorruptRecord, match=message) as caught:
        read_record(file)
    assert str(file) in str(caught.value)


def test_the_primary_metric_is_the_marked_one_wherever_it_stands_and_else_the_first() -> None:
    plain_one = dataclasses.replace(RECORD.metrics["top1"], primary=False)
    first = {"top5": plain_one, **RECORD.metrics}
    assert dataclasses.replace(RECORD, metrics=first).primary_metric == "top1"
    assert dataclasses.replace(RECORD, metrics=dict.fromkeys(("b", "a"), plain_one)).primary_metric == "b"
    assert dataclasses.replace(RECORD, metrics={}).primary_metric == ""


def test_a_trial_alone_is_finished_without_a_test_score() -> None:
    untested = Results({"validation@last": {"top1": 0.5}})
    assert dataclasses.replace(RECORD, results=untested, trial=Trial(1)).status == "finished"
    with pytest.raises(ValueError, match="without test results"):
        dataclasses.replace(RECORD, results=untested)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b'{"schema": 1', b"\x80\x81\xff", b'{"schema": 1, "id": 2}', b"[" * 100_000,
     json.dumps({**SCHEMA_1, "provenance": []}).encode(), json.dumps({**SCHEMA_1, "results": 3}).encode()],
    ids=["empty", "list", "null", "half", "binary", "old and empty", "deep", "old provenance", "old results"],
)  # fmt: skip
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(content)
    with pytest.raises(CorruptRecord) as caught:
        read_record(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


TEACHER = TeacherRecord("t", {"architecture": "big", "seed": 1}, "c", files={"weights.safetensors": "ab"})


@pytest.mark.parametrize(
    ("record", "read"),
    [(RECORD, read_record), (TEACHER, read_teacher_record)],
    ids=["run", "teacher"],
)
def test_a_flip_anywhere_in_a_record_is_noticed_or_changes_nothing(
    record: Record | TeacherRecord, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    write_record(file, record)
    whole, draw = file.read_bytes(), random.Random(0)
    noticed = []
    for number in range(600):
        content = bytearray(whole)
        place = draw.randrange(len(content))
        # Single bits as a disk flips them, and whole characters as an editor does: digits for digits.
        digit = number % 2 and chr(content[place]).isdigit()
        content[place] = ord(draw.choice("0123456789")) if digit else content[place] ^ 1 << draw.randrange(8)
        file.write_bytes(content)
        try:
            assert read(file) == record
        except CorruptRecord as error:
            noticed.append(str(error))
    assert len(noticed) > 400
    assert all(str(file) in line and "run its command again" in line for line in noticed)


@pytest.mark.parametrize("how", ["empty", "cut", "folder"])
def test_a_record_that_is_cut_or_replaced_is_noticed(how: str, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_record(file, RECORD)
    whole = file.read_bytes().strip()
    for length in {"empty": [0], "cut": range(1, len(whole), 7), "folder": [0]}[how]:
        file.unlink()
        if how == "folder":
            file.mkdir()
        else:
            file.write_bytes(whole[:length])
        with pytest.raises(CorruptRecord):
            read_record(file)


def test_the_layout_of_a_record_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(dict(reversed(plain(RECORD).items())), indent=3))
    assert read_record(file) == RECORD


def test_a_record_of_schema_2_is_read_and_told_from_one_with_checksums() -> None:
    content = {**plain(RECORD), "schema": 2}
    del content[CHECKSUM], content["files"]
    found = parse_record(content)
    assert found == RECORD
    assert found.files is None
    with_files = dataclasses.replace(RECORD, files={"arrays.npz": "ab"})
    assert parse_record(plain(with_files)).files == {"arrays.npz": "ab"}


@pytest.mark.parametrize("schema", [1, 2, 3])
@pytest.mark.parametrize("left_out", [(), (CHECKSUM,), ("files",)])
def test_a_record_of_today_is_not_taken_for_an_older_one(schema: int, left_out: tuple[str, ...]) -> None:
    content = {name: value for name, value in plain(RECORD).items() if name not in left_out}
    if schema == 3 and not left_out:
        assert parse_record(content) == RECORD
        return
    with pytest.raises(ValueError, match="altered"):
        parse_record({**content, "schema": schema})


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "record.json"
    write_json(file, {"old": 1})

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_json(file, {"new": 2})
    assert json.loads(file.read_text()) == {"old": 1}
