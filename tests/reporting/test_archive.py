"""Reference results as archives: what may be archived, and that it comes back whole."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmark.checksums import file_checksums, is_output
from benchmark.errors import UserError
from benchmark.records import Record, write_record
from benchmark.reporting.archive import commands, main, opened, pack
from benchmark.reporting.results import Results
from tests.reporting.fake_records import altered, arrays_of, make_record, write_run


def written(folder: Path, *records: Record) -> None:
    for record in records:
        run = write_run(folder, record)
        np.savez(run / "arrays.npz", **arrays_of(record))
        np.savez(run / "outputs.npz", apart_embedding=np.ones((2, 3)))
        (run / "weights.safetensors").write_bytes(b"weights")


def test_an_archive_gives_back_records_histories_and_arrays(tmp_path: Path) -> None:
    folder = tmp_path / "some"
    written(folder, make_record("kd", 0), make_record("kd", 1))
    before = Results.read(folder)
    file = pack(folder, tmp_path / "reference")
    assert file == tmp_path / "reference" / "some.tar.xz"
    with opened("some", tmp_path / "reference") as after:
        assert after.records == before.records
        assert after.history.equals(before.history)
        for record in before.records:
            ours, theirs = before.arrays(record), after.arrays(record)
            assert ours.keys() - theirs.keys() == {"apart_embedding"}
            assert theirs
            assert all((ours[name] == theirs[name]).all() for name in theirs)
            assert before.arrays(record, "test_label", "apart_embedding").keys() == {
                "test_label", "apart_embedding"
            }  # fmt: skip
        assert after.folder is not None
        assert not list(after.folder.rglob("weights*"))
    assert pack(folder, tmp_path / "again").read_bytes() == file.read_bytes()


def test_the_outputs_among_an_earlier_runs_arrays_are_left(tmp_path: Path) -> None:
    folder, record = tmp_path / "some", make_record("kd", 0)
    run = write_run(folder, record)
    arrays = {name: array for name, array in arrays_of(record).items() if not is_output(name)}
    np.savez(run / "arrays.npz", **arrays, test_embedding=np.ones((2, 3)), test_logits=np.ones((2, 3)))
    write_record(run / "record.json", dataclasses.replace(record, files=file_checksums(run)))
    (before,) = Results.read(folder).records
    file = pack(folder, tmp_path / "reference")
    with opened("some", tmp_path / "reference") as after:
        (packed,) = after.records
        assert dataclasses.replace(packed, files=before.files) == before
        found = after.arrays(packed)
        assert found.keys() == arrays.keys()
        assert all((found[name] == arrays[name]).all() for name in arrays)
        assert after.folder is not None
        assert not after.problems
        assert pack(after.folder, tmp_path / "again", "some").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clean": False}, "made by code that was not committed"),
        ({"clean": None}, "made by code that was not committed"),
        ({"threads": 7}, "threads"),
    ],
)
def test_what_may_not_be_cited_is_not_archived(
    tmp_path: Path, changes: dict, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "some", make_record("kd", 0), altered(make_record("kd", 1), provenance=changes))
    assert main([str(tmp_path / "some")]) == 2
    assert reason in capsys.readouterr().err


def test_a_run_without_arrays_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"):
        pack(tmp_path, tmp_path / "reference")
    write_run(tmp_path / "some", make_record("kd", 0))
    with pytest.raises(UserError, match=r"has no arrays\.npz"):
        pack(tmp_path / "some", tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_a_missing_or_damaged_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.tar.xz").write_bytes(b"no archive")
    for name in ("bad", "none"):
        with pytest.raises(UserError, match=rf"{name}\.tar\.xz can't be read"), opened(name, tmp_path):
            pass


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE], ids=["hard", "soft", "pipe"]
)
def test_an_archive_of_anything_but_files_is_one_line(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("runs/some/record.json")
    member.type, member.linkname = kind, "elsewhere"
    with tarfile.open(tmp_path / "bad.tar.xz", "w:xz") as archive:
        archive.addfile(member)
    with pytest.raises(UserError, match=r"record\.json is no file"), opened("bad", tmp_path):
        pass


def test_an_archive_writes_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar.xz", "w:xz") as archive:
        archive.addfile(tarfile.TarInfo("../out.json"))
    with pytest.raises(UserError, match="can't be read"), opened("bad", tmp_path):
        pass


def test_commands_stand_once_in_the_order_of_their_first_run() -> None:
    def run(command: str, finished: str):
        record = make_record()
        told = dataclasses.replace(record.provenance, command=command, finished=finished)
        return dataclasses.replace(record, provenance=told)

    assert commands([run("b", "2026-02"), run("a", "2026-01"), run("b", "2026-03")]) == ["a", "b"]
