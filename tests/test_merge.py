"""Results folders merged into one: each run once, nothing overwritten, and whole at every moment."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.checksums import CHECKED, EARLIER_OUTPUTS, HISTORY, WEIGHTS, file_checksums
from benchmark.merge import main, merge
from benchmark.records import (
    Record,
    TeacherRecord,
    Trial,
    read_record,
    read_teacher_record,
    write_record,
)
from benchmark.reporting.results import Results
from tests.command import records, run
from tests.reporting.fake_records import altered, make_record, write_run

NAMES, SHORT = ("scratch", "kd"), ("--epochs", "1", "--teacher-epochs", "1")


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: its bytes and when it was written."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# --- trained runs ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny grid as a whole, and each half of it, in results folders `whole`, `first` and `second`."""
    place = tmp_path_factory.mktemp("trained")
    for results, seeds in {"whole": ("0", "1"), "first": ("0",), "second": ("1",)}.items():
        assert run(place / results, "--seeds", *seeds, *SHORT, baselines=NAMES) == 0
    return place


def test_two_halves_of_a_grid_merged_are_the_whole_grid(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [str(trained / half / "t") for half in ("first", "second")]
    before = content(trained)
    assert main([*sources, "--into", str(tmp_path / "t")]) == 0
    assert content(trained) == before
    printed = capsys.readouterr()
    assert "runs: 4 added, 0 there already" in printed.out
    assert "teachers: 1 added, 0 there already" in printed.out
    assert printed.err == ""

    merged, whole = records(tmp_path), records(trained / "whole")
    assert merged.keys() == whole.keys()
    for name, record in merged.items():
        for part in ("id", "run", "condition", "status", "results", "teacher", "hyperparameters", "files"):
            assert getattr(record, part) == getattr(whole[name], part), part
        assert set(record.files or {}) == set(CHECKED) - {EARLIER_OUTPUTS}
        assert file_checksums(tmp_path / "t" / "runs" / name) == record.files
    (teacher,) = (tmp_path / "teachers").iterdir()
    assert file_checksums(teacher) == file_checksums(trained / "whole" / "teachers" / teacher.name)

    results = Results.read(tmp_path / "t")
    assert {record.folder for record in results.records} == whole.keys()
    assert results.problems == []
    assert all(len(results.arrays(record)) for record in results.records)
    monkeypatch.setattr("benchmark.training.loop.Loop.run", lambda *_: pytest.fail("it trained"))
    assert run(tmp_path, "--seeds", "0", "1", *SHORT, baselines=NAMES) == 0


def test_the_same_command_again_changes_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(trained / half / "t") for half in ("second", "whole", "first", "second")]
    arguments += ["--into", str(tmp_path / "t")]
    assert main(arguments) == 0
    before = content(tmp_path)
    assert not [name for name in before if ".merging" in name]
    capsys.readouterr()
    assert main(arguments) == 0
    assert "runs: 0 added, 4 there already" in capsys.readouterr().out
    assert content(tmp_path) == before


def test_a_run_whose_score_was_altered_is_repeated_by_the_next_command(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "first", tmp_path, dirs_exist_ok=True)
    before = records(tmp_path)
    file = next((tmp_path / "t" / "runs").glob("*-kd-*/record.json"))
    text = file.read_text()
    place = text.index("0.", text.index("test@last")) + 2
    file.write_text(text[:place] + ("8" if text[place] != "8" else "3") + text[place + 1 :])
    assert run(tmp_path, *SHORT, baselines=NAMES) == 0
    printed = capsys.readouterr().out
    assert f"{file} is not valid: it was altered" in printed
    assert "this run is repeated" in printed
    after = records(tmp_path)
    assert {name: (each.results, each.files) for name, each in after.items()} == {
        name: (each.results, each.files) for name, each in before.items()
    }


def test_altered_weights_of_a_teacher_are_no_checkpoint(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (teacher,) = (trained / "first" / "teachers").iterdir()
    copy = Path(shutil.copytree(teacher, tmp_path / "teacher"))
    weights = copy / WEIGHTS
    arguments = ("--teacher-checkpoint", str(weights))
    assert run(tmp_path / "r", *arguments, baselines=("kd",)) == 0
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run(tmp_path / "s", *arguments, baselines=("kd",)) == 2
    assert f"{WEIGHTS} is not the one that its run left" in capsys.readouterr().err


# --- written runs ---


def recorded(folder: Path, record: Record, kind: str = "runs") -> Path:
    """A run folder with a file of weights, its record last and with the checksums of the files."""
    path = write_run(folder, record)
    if kind != "runs":
        (folder / kind).mkdir(exist_ok=True)
        path = path.rename(folder / kind / path.name)
    (path / WEIGHTS).write_bytes(record.id.encode())
    write_record(path / "record.json", dataclasses.replace(record, files=file_checksums(path)))
    return path


def taught(results: Path, record: Record, weights: str = "00") -> Path:
    """A trained teacher of a record, among those of the results."""
    path = results / "teachers" / f"teacher-{record.teacher.id[:8]}"
    path.mkdir(parents=True)
    (path / WEIGHTS).write_bytes(weights.encode())
    teacher = TeacherRecord(record.teacher.id, {"seed": 0}, weights, files=file_checksums(path))
    write_record(path / "record.json", teacher)
    return path


def merged(tmp_path: Path, *names: str, into: str = "c/t") -> int:
    """The exit code of a merge of `a/t`, `b/t`, ... into `c/t`."""
    return main([*(str(tmp_path / name / "t") for name in names), "--into", str(tmp_path / into)])


def folders(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} if place.is_dir() else set()


def other(record: Record) -> Record:
    """The same run with another score."""
    scores = {"test@last": {"top1": 0.123}}
    return altered(record, results={"scores": scores})


def test_two_results_of_one_run_are_named_and_none_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, alone, differs = (make_record("kd", seed) for seed in range(3))
    for name in ("a", "b"):
        recorded(tmp_path / name / "t", same)
        recorded(tmp_path / name / "t", differs if name == "a" else other(differs))
    taken = recorded(tmp_path / "b" / "t", alone)
    for order in (("a", "b"), ("b", "a")):
        assert merged(tmp_path, *order) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert all(str(tmp_path / name / "t" / "runs") in lines[0] for name in ("a", "b"))
        assert "differ in their results" in lines[0]
        found = Results.read(tmp_path / "c" / "t")
        assert {record.id for record in found.records} == {same.id, alone.id}
        assert taken.name in folders(tmp_path / "c" / "t" / "runs")


def test_what_is_there_already_stays_whatever_others_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record("kd", 0)
    recorded(tmp_path / "c" / "t", record)
    recorded(tmp_path / "a" / "t", other(record))
    before = content(tmp_path / "c")
    assert merged(tmp_path, "a") == 2
    assert "differ in their results" in capsys.readouterr().err
    assert content(tmp_path / "c") == before


def damage(path: Path, name: str) -> None:
    whole = (path / name).read_bytes()
    middle = len(whole) // 2
    (path / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])


@pytest.mark.parametrize("name", ["record.json", HISTORY, WEIGHTS])
def test_a_damaged_run_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    good, bad = (recorded(tmp_path / "a" / "t", make_record("kd", seed)) for seed in range(2))
    damage(bad, name)
    assert merged(tmp_path, "a") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(bad) in line
    assert name in line
    assert folders(tmp_path / "c" / "t" / "runs") == {good.name}
    # Another folder has the same run as it should be: that one is taken.
    recorded(tmp_path / "b" / "t", make_record("kd", 1))
    assert merged(tmp_path, "a", "b") == 2
    assert file_checksums(tmp_path / "c" / "t" / "runs" / bad.name) == file_checksums(
        tmp_path / "b" / "t" / "runs" / bad.name
    )


@pytest.mark.parametrize("there", ["unfinished", "damaged", "file"])
def test_a_folder_in_the_place_of_a_run_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    source = recorded(tmp_path / "a" / "t", make_record("kd", 0))
    target = tmp_path / "c" / "t" / "runs" / source.name
    target.parent.mkdir(parents=True)
    if there == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        name = "snapshot.pt" if there == "unfinished" else "record.json"
        (target / name).write_text("mine")
    before = content(tmp_path / "c")
    assert merged(tmp_path, "a") == 2
    assert "delete that folder" in capsys.readouterr().err
    assert content(tmp_path / "c") == before


def test_unfinished_runs_are_counted_and_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path / "a" / "t", make_record("kd", 0))
    (tmp_path / "a" / "t" / "runs" / "begun").mkdir()
    assert merged(tmp_path, "a") == 0
    assert "not finished, so not taken: 1" in capsys.readouterr().out
    assert "begun" not in folders(tmp_path / "c" / "t" / "runs")


def test_a_failed_run_does_not_stand_against_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record("kd", 0)
    failed = dataclasses.replace(record, status="failed", reason="out of memory")
    recorded(tmp_path / "a" / "t", failed)
    recorded(tmp_path / "b" / "t", record)
    assert merged(tmp_path, "a", "b") == 0
    assert [each.status for each in Results.read(tmp_path / "c" / "t").records] == ["finished"]
    assert merged(tmp_path, "a") == 0  # it is there already, and better
    assert merged(tmp_path, "a", into="d/t") == 0
    capsys.readouterr()
    assert merged(tmp_path, "b", into="d/t") == 2  # what is there is never overwritten, not even a failure
    assert "differ in their status" in capsys.readouterr().err
    assert [each.status for each in Results.read(tmp_path / "d" / "t").records] == ["failed"]


def test_trials_and_chosen_settings_come_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        trial = dataclasses.replace(make_record("kd", 0, epochs=ord(name)), trial=Trial(1, (0.5,)))
        recorded(tmp_path / name / "t", trial, "trials")
        tuned = tmp_path / name / "t" / "tuned"
        tuned.mkdir()
        (tuned / "shapes.yaml").write_text(f"set: {{kd: {{weight: {ord(name)}}}}}\n")
    assert merged(tmp_path, "a", "b") == 0
    assert len(Results.read(tmp_path / "c" / "t").trials) == 2
    assert "97" in (tmp_path / "c" / "t" / "tuned" / "shapes.yaml").read_text()
    assert "shapes.yaml stays as it is" in capsys.readouterr().out


def test_teachers_come_along_where_they_are_lacking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record("kd", 0)
    stranger = altered(record, teacher={"id": "another"})
    for name in ("a", "b"):
        recorded(tmp_path / name / "t", record)
        taught(tmp_path / name, record)
        taught(tmp_path / name, stranger)  # of other results that lie beside these
    assert merged(tmp_path, "a", "b") == 0
    assert folders(tmp_path / "c" / "teachers") == {f"teacher-{record.teacher.id[:8]}"}
    assert merged(tmp_path, "a", into="a/u") == 0  # neighbours have one folder of teachers
    assert len(folders(tmp_path / "a" / "teachers")) == 2
    capsys.readouterr()

    shutil.rmtree(tmp_path / "b" / "teachers")
    taught(tmp_path / "b", record, weights="11")
    before = content(tmp_path / "c")
    assert merged(tmp_path, "b") == 2
    assert "differ in their checksum" in capsys.readouterr().err
    assert content(tmp_path / "c") == before

    damage(taught(tmp_path / "e", record), WEIGHTS)
    recorded(tmp_path / "e" / "t", record)
    assert merged(tmp_path, "e", into="f/t") == 2
    assert f"{WEIGHTS} is not the one" in capsys.readouterr().err
    assert folders(tmp_path / "f" / "teachers") == set()


def test_a_merge_that_is_interrupted_anywhere_leaves_whole_runs_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = [make_record("kd", seed) for seed in range(3)]
    for record in some:
        recorded(tmp_path / "a" / "t", record)
    teacher = taught(tmp_path / "a", some[0])
    copy, copies = shutil.copyfile, [0]

    def interrupted(source: Path, target: Path) -> None:
        copies[0] += 1
        if copies[0] > halt:
            target.write_bytes(source.read_bytes()[:10])
            raise KeyboardInterrupt
        copy(source, target)

    halt = 0
    for halt in range(12):
        copies[0] = 0
        into = f"c{halt}/t"
        monkeypatch.setattr(shutil, "copyfile", interrupted)
        assert main([str(tmp_path / "a" / "t"), "--into", str(tmp_path / into)]) == (130 if halt < 11 else 0)
        results = Results.read(tmp_path / into)
        assert results.problems == []
        assert len(results.records) == min(halt // 3, 3)
        monkeypatch.setattr(shutil, "copyfile", copy)
        assert merged(tmp_path, "a", into=into) == 0
        assert len(Results.read(tmp_path / into).records) == 3
        assert read_teacher_record(tmp_path / f"c{halt}" / "teachers" / teacher.name / "record.json")
        assert not list((tmp_path / f"c{halt}").rglob(".merging*"))


def test_a_killed_merge_is_cleared_away_and_a_living_one_is_not(tmp_path: Path) -> None:
    recorded(tmp_path / "a" / "t", make_record("kd", 0))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    into = tmp_path / "c" / "t"
    left = [into / f".merging-{platform.node()}-{number}" / "run" for number in (dead.pid, os.getppid())]
    for path in left:
        path.mkdir(parents=True)
    assert merged(tmp_path, "a") == 0
    assert [path.exists() for path in left] == [False, True]


def test_a_run_that_is_written_anew_or_vanishes_while_it_is_copied_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = (recorded(tmp_path / "a" / "t", make_record("kd", seed)) for seed in range(3))
    copy = shutil.copyfile

    def changing(source: Path, target: Path) -> None:
        if source.parent == first:
            write_record(first / "record.json", other(make_record("kd", 0)))
        shutil.rmtree(second, ignore_errors=True)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", changing)
    assert merged(tmp_path, "a") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [str(path) in line for path, line in zip((first, second), lines, strict=True)] == [True, True]
    assert folders(tmp_path / "c" / "t" / "runs") == {third.name}
    assert read_record(tmp_path / "c" / "t" / "runs" / third.name / "record.json") is not None


def test_older_records_are_merged_without_weights_too(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "t", make_record("kd", 0))  # as an archive has it: no checksums, no weights
    assert merge([tmp_path / "a" / "t"], tmp_path / "c" / "t").left_out == []
    assert len(Results.read(tmp_path / "c" / "t").records) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--into"]),
        (["a/t"], ["--into"]),
        (["a/t", "--into", "c", "--unto", "c"], ["--unto"]),
        (["--into", "c"], ["no results folder"]),
        (["nowhere", "--into", "c"], ["nowhere", "holds no runs", "results/quick"]),
        (["a/t", "a/t/../t", "--into", "a/t"], ["a/t", "itself", "--into"]),
        (["a/t", "--into", "file"], ["file", "can't be written", "--into"]),
        (["a/t", "--into", "file/c"], ["file/c", "can't be written", "--into"]),
    ],
)
def test_bad_input_gets_one_line(
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded(tmp_path / "a" / "t", make_record("kd", 0))
    Path("file").write_text("")
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark.merge: ")
    assert all(word in line for word in words), line
    assert not Path("c").exists()


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path / "a" / "t", make_record("kd", 0))

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(source))

    copy = shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", full)
    assert merged(tmp_path, "a") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left" in line
    monkeypatch.setattr(shutil, "copyfile", copy)
    assert merged(tmp_path, "a") == 0


def test_help_says_what_the_command_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "usage: python -m benchmark.merge" in capsys.readouterr().out
