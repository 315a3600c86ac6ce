"""Files beside a record that are not what its run left: named, and never in a figure or a table."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark.checksums import ARRAYS, HISTORY, AlteredFile, check_files, file_checksums, open_checked
from benchmark.errors import UserError
from benchmark.records import Record, write_record
from benchmark.reporting import report
from benchmark.reporting.archive import pack
from benchmark.reporting.results import Results, load_records
from tests.reporting.fake_records import arrays_of, make_record, write_run


def recorded(folder: Path, record: Record) -> Path:
    """A run folder as an executor leaves it: the record last, with the checksums of the files beside it."""
    path = write_run(folder, record)
    (path / "record.json").unlink()
    np.savez_compressed(path / ARRAYS, **arrays_of(record))
    write_record(path / "record.json", dataclasses.replace(record, files=file_checksums(path)))
    return path


def flipped(content: bytes, place: int) -> bytes:
    place %= len(content)
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def alter(file: Path, how: str) -> None:
    """Damages a file at its head, in its middle, at its end, or as a whole."""
    whole = file.read_bytes()
    ways = {
        "head": lambda: flipped(whole, 3),
        "middle": lambda: flipped(whole, len(whole) // 2),
        "end": lambda: flipped(whole, -2),
        "cut": lambda: whole[: len(whole) // 2],
        "empty": lambda: b"",
        "longer": lambda: whole + b"\n",
        "another": lambda: (file.parents[1] / "other" / file.name).read_bytes(),
    }
    file.unlink()
    if how in ways:
        file.write_bytes(ways[how]())
    elif how == "folder":
        file.mkdir()


WAYS = ["head", "middle", "end", "cut", "empty", "longer", "another", "folder", "missing"]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of two runs in `tmp_path`."""
    first, second = (recorded(tmp_path, make_record("kd", seed)) for seed in range(2))
    return first, second.rename(second.with_name("other"))


@pytest.mark.parametrize("how", WAYS)
def test_altered_arrays_are_named_in_one_line_and_not_used(
    pair: tuple[Path, Path], tmp_path: Path, how: str
) -> None:
    alter(pair[0] / ARRAYS, how)
    results = Results.read(tmp_path)
    assert not results.problems
    for _ in range(2):
        arrays = {record.folder: results.arrays(record, "test_label") for record in results.records}
        assert {name: list(each) for name, each in arrays.items()} == {
            pair[0].name: [],
            "other": ["test_label"],
        }
    (line,) = results.problems
    assert line.startswith(f"{pair[0].name}: {ARRAYS} ")
    assert "run its command again" in line


@pytest.mark.parametrize("how", WAYS)
def test_an_altered_history_is_named_in_one_line_and_not_drawn(
    pair: tuple[Path, Path], tmp_path: Path, how: str
) -> None:
    whole = Results.read(tmp_path).history
    alter(pair[0] / HISTORY, how)
    results = Results.read(tmp_path)
    (line,) = results.problems
    assert line.startswith(f"{pair[0].name}: {HISTORY} ")
    (other,) = (record.id for record in results.records if record.folder == "other")
    kept = pd.DataFrame(whole[whole["id"] == other]).reset_index(drop=True)
    pd.testing.assert_frame_equal(results.history, kept)


def test_a_flip_anywhere_in_a_file_is_noticed(pair: tuple[Path, Path]) -> None:
    draw, folder = random.Random(0), pair[0]
    checksums = file_checksums(folder)
    for name in checksums:
        whole = (folder / name).read_bytes()
        for _ in range(150):
            (folder / name).write_bytes(flipped(whole, draw.randrange(len(whole))))
            with pytest.raises(AlteredFile, match=name):
                check_files(folder, checksums)
        (folder / name).write_bytes(whole)
    check_files(folder, checksums)


def test_a_file_that_the_run_did_not_leave_is_not_used(tmp_path: Path) -> None:
    record = make_record("kd", 0, "diverged")
    path = write_run(tmp_path, record)
    write_record(path / "record.json", dataclasses.replace(record, files=file_checksums(path)))
    np.savez(path / ARRAYS, **arrays_of(record))
    results = Results.read(tmp_path)
    assert results.arrays(results.records[0]) == {}
    assert len(results.problems) == 1


def test_arrays_are_read_for_their_checksum_once_and_again_after_a_change(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    results = Results.read(tmp_path)
    (record,) = (each for each in results.records if each.folder == pair[0].name)
    assert results.arrays(record, "test_label")
    checked = set(results._checked)
    assert len(checked) == 1
    assert results.where(baseline="kd").arrays(record, "test_embedding")
    assert results._checked == checked
    alter(pair[0] / ARRAYS, "middle")
    assert results.arrays(record, "test_label") == {}


def test_arrays_of_older_records_are_used_as_before(tmp_path: Path) -> None:
    record = make_record("kd", 0)
    np.savez(write_run(tmp_path, record) / ARRAYS, **arrays_of(record))
    results = Results.read(tmp_path)
    assert results.records[0].files is None
    assert results.arrays(results.records[0], "test_label")
    assert not results.problems


def test_a_report_says_what_was_altered_and_leaves_it_out(tmp_path: Path) -> None:
    paths = [recorded(tmp_path, make_record(name, seed)) for name in ("scratch", "kd") for seed in range(2)]
    file = paths[-1] / "record.json"
    text = file.read_text()
    score = json.loads(text)["results"]["scores"]["test@last"]["top1"]
    file.write_text(text.replace(str(score), "0.99"))
    alter(paths[0] / ARRAYS, "middle")
    alter(paths[1] / HISTORY, "middle")
    console = Console(file=io.StringIO(), width=300)
    report(tmp_path, console)
    problems = [line for line in console.file.getvalue().splitlines() if line.startswith("problem")]
    assert sorted(line.split(":")[1].strip() for line in problems) == sorted(
        path.name for path in (paths[0], paths[1], paths[-1])
    )
    assert len(pd.read_csv(tmp_path / "records.csv")) == 3
    page = (tmp_path / "report.html").read_text()
    assert page.count("it was altered after it was written") == 1


def test_altered_arrays_are_not_archived(tmp_path: Path) -> None:
    path = recorded(tmp_path / "some", make_record("kd", 0))
    alter(path / ARRAYS, "middle")
    with pytest.raises(UserError, match="not the one that its run left"):
        pack(tmp_path / "some", tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


# --- while another process writes ---


@contextmanager
def writing(folder: Path) -> Iterator[Callable[[], int]]:
    """A thread that makes run folders, repeats runs in them, and deletes them; how many it has made."""
    halt, made = threading.Event(), [0]

    def write() -> None:
        while not halt.is_set():
            record = make_record("crd", made[0] % 3, epochs=40)
            path = recorded(folder, record)
            time.sleep(0.01)
            # Begun anew: as RunFolder does it, everything is deleted, and the history grows.
            for file in path.iterdir():
                file.unlink()
            for epoch in range(20):
                with (path / HISTORY).open("a") as stream:
                    stream.write(json.dumps({"epoch": epoch, "train": {"loss": 100.0}}) + "\n")
                time.sleep(0.001)
            shutil.rmtree(path)
            made[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield lambda: made[0]
    finally:
        halt.set()
        thread.join()


def test_a_run_that_is_begun_anew_between_its_record_and_its_files_is_not_half_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path, make_record("kd", 0, epochs=40))
    other = recorded(tmp_path, make_record("kd", 1))
    read = load_records.__globals__["read_record"]

    def begun_anew(file: Path) -> Record | None:
        record = read(file)
        if file.parent == path:
            for each in path.iterdir():
                each.unlink()
            (path / HISTORY).write_text('{"epoch": 0, "train": {"loss": 100.0}}\n')
        return record

    monkeypatch.setattr("benchmark.reporting.results.read_record", begun_anew)
    results = Results.read(tmp_path)
    (gone, stays) = sorted(results.records, key=lambda record: record.run.seed)
    assert set(results.history["id"]) == {stays.id}
    assert results.arrays(gone) == {}
    assert all(line.startswith(path.name) for line in results.problems)
    assert other.name == stays.folder


def test_what_is_read_while_runs_are_written_and_deleted_is_whole(tmp_path: Path) -> None:
    stays = [recorded(tmp_path, make_record("kd", seed)).name for seed in range(2)]
    passing = 0
    with writing(tmp_path) as made:
        until = time.monotonic() + 60
        while time.monotonic() < until and (passing < 20 or made() < 20):
            results = Results.read(tmp_path)
            lengths = results.history.groupby("id").size()
            for record in results.records:
                assert lengths.get(record.id, 0) in (0, record.condition.epochs)
                arrays = results.arrays(record)
                assert len(arrays) in (0, len(arrays_of(record)))
                passing += record.folder not in stays
            assert {record.folder for record in results.records} >= {*stays}
            assert not any(line.startswith(tuple(stays)) for line in results.problems)
    assert passing >= 20
    assert made() >= 20


def test_a_report_is_made_while_runs_are_written_and_deleted(tmp_path: Path) -> None:
    for seed in range(2):
        recorded(tmp_path, make_record("kd", seed))
    with writing(tmp_path):
        report(tmp_path, Console(file=io.StringIO()))
    assert "kd" in set(pd.read_csv(tmp_path / "records.csv")["baseline"])


def test_a_folder_that_vanishes_while_it_is_listed_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [recorded(tmp_path, make_record("kd", seed)) for seed in range(2)]
    read = load_records.__globals__["read_record"]

    def vanishing(file: Path) -> Record | None:
        shutil.rmtree(paths[1], ignore_errors=True)
        return read(file)

    monkeypatch.setattr("benchmark.reporting.results.read_record", vanishing)
    records, problems = load_records(tmp_path)
    assert [record.folder for record in records] == [paths[0].name]
    assert problems == []


def test_what_is_opened_stays_what_was_checked(pair: tuple[Path, Path]) -> None:
    checksums = file_checksums(pair[0])
    stream = open_checked(pair[0] / HISTORY, checksums)
    assert stream is not None
    whole = (pair[0] / HISTORY).read_bytes()
    alter(pair[0] / HISTORY, "empty")
    with stream:
        assert stream.read() == whole
