"""The leaderboard's command: what it admits, what it refuses and why, and what it writes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import leaderboard
from benchmark.checksums import ARRAYS, HISTORY, WEIGHTS, file_checksums
from benchmark.leaderboard import main
from benchmark.records import LAST, Record, Selection, Trial, read_record, write_record
from benchmark.reporting import archive
from tests.reporting.fake_records import altered, arrays_of, make_record, write_run

SAMPLES = 40
VERSION = {"wcord-bench": "0.1.0", "torch": "2.11.0"}


def made(baseline: str, seed: int, **changes: Any) -> Record:
    """A record whose accuracy forty test samples can have."""
    record = make_record(baseline, seed, provenance={"versions": VERSION}, **changes)
    right = round(SAMPLES * (record.results.score(LAST, "top1") or 0))
    scores = {LAST: {**record.results.scores[LAST], "top1": right / SAMPLES}}
    return altered(record, results={"scores": scores}, about={"num_test": SAMPLES})


def left_by(record: Record) -> dict[str, np.ndarray]:
    """Arrays whose predictions are as good as the record says."""
    arrays = arrays_of(record, samples=SAMPLES)
    label = arrays["test_label"]
    wrong = np.arange(SAMPLES) >= round(SAMPLES * (record.results.score(LAST, "top1") or 0))
    prediction = np.where(wrong, (label + 1) % 6, label).astype(np.int16)
    return {**arrays, "test_prediction": prediction, "test_logits": np.eye(6, dtype=np.float16)[prediction]}


def sealed(path: Path, record: Record) -> None:
    """Writes a run's record with the checksums of the files that are there now."""
    write_record(path / "record.json", dataclasses.replace(record, files=file_checksums(path)))


def recorded(folder: Path, records: Iterable[Record]) -> Path:
    """A results folder of these runs, as the suite leaves them."""
    for record in records:
        path = write_run(folder, record)
        (path / "record.json").unlink()
        np.savez_compressed(path / ARRAYS, **left_by(record))  # pyright: ignore[reportArgumentType]
        (path / WEIGHTS).write_bytes(record.id.encode())
        sealed(path, record)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours: an archive of three methods and three seeds."""
    place = tmp_path_factory.mktemp("leaderboard")
    runs = [made(name, seed) for name in ("scratch", "kd", "fitnet") for seed in range(3)]
    return archive.pack(recorded(place / "ours", runs), place / "reference").parent


@pytest.fixture(autouse=True)
def home(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of which only the leaderboard's files are there."""
    monkeypatch.setattr(archive, "FOLDER", reference)
    monkeypatch.setattr(leaderboard, "SUBMISSIONS", tmp_path / "submissions")
    monkeypatch.setattr(leaderboard, "FILE", tmp_path / "leaderboard.parquet")
    monkeypatch.setattr(leaderboard, "DOCS", tmp_path)
    monkeypatch.setattr(leaderboard, "_version", lambda: VERSION["wcord-bench"])
    return tmp_path


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results that may be submitted: three seeds of a method that is not there yet."""
    folder = tmp_path_factory.mktemp("honest") / "mine"
    return recorded(folder, [made("crd", seed) for seed in range(3)])


@pytest.fixture
def mine(honest: Path, tmp_path: Path) -> Path:
    """A copy of it, to be altered."""
    return Path(shutil.copytree(honest, tmp_path / "mine"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that is refused."""
    assert main(list(map(str, arguments))) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("benchmark.leaderboard: ")
    assert printed.out == ""
    return line


# --- what fits ---


def test_what_fits_is_added_and_stands_on_the_page(
    mine: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(mine)]) == 0
    places = capsys.readouterr().out.splitlines()
    assert len(places) == 1
    assert "CRD, n 3: rank " in places[0]
    assert places[0].endswith(" of 4")

    assert main(["add", str(mine), "--by", "Ada", "--code", "https://example.org/crd"]) == 0
    assert "mine.tar.xz; now: python -m benchmark.leaderboard build" in capsys.readouterr().out
    assert json.loads((home / "submissions" / "mine.json").read_text()) == {
        "by": "Ada",
        "code": "https://example.org/crd",
    }

    assert main(["build"]) == 0
    frame = pd.read_parquet(home / "leaderboard.parquet").set_index("baseline")
    assert (frame.loc["crd", "submitted_by"], frame.loc["crd", "archives"]) == ("Ada", "mine")
    assert set(frame.loc["kd", ["group", "n"]]) == {frame.loc["crd", "group"], 3}
    page = (home / "leaderboard.md").read_text()
    assert "| Ada " in page
    assert "Shapes (synthetic), resnet20-resnet8" in page


def test_an_archive_is_judged_by_the_others_and_its_runs_fit_once(
    mine: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(mine), "--by", "Ada"]) == 0
    packed = home / "submissions" / "mine.tar.xz"
    assert main(["check", str(packed)]) == 0
    elsewhere = Path(shutil.copy(packed, home / "copy.tar.xz"))
    capsys.readouterr()
    for path in (elsewhere, mine):
        assert main(["check", str(path)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert all("this run is in mine already: leave it out" in line for line in lines)


def test_few_runs_fit_without_a_rank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorded(tmp_path / "few", [made("crd", seed) for seed in range(2)])
    assert main(["check", str(folder)]) == 0
    assert "CRD, n 2: no rank (fewer than 3 runs)" in capsys.readouterr().out


# --- what does not ---


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").iterdir())


def record_of(path: Path) -> Record:
    record = read_record(path / "record.json")
    assert record is not None
    return record


def rewrite(path: Path, **changes: Any) -> None:
    """A record with other content, and the checksum that fits."""
    record = record_of(path)
    write_record(path / "record.json", altered(record, **changes))


def rearranged(path: Path, **arrays: np.ndarray) -> None:
    """A run with other arrays, and checksums that fit."""
    record = record_of(path)
    np.savez_compressed(path / ARRAYS, **{**left_by(record), **arrays})  # pyright: ignore[reportArgumentType]
    sealed(path, record)


def scored(path: Path, top1: float) -> None:
    record = record_of(path)
    scores = {**record.results.scores, LAST: {**record.results.scores[LAST], "top1": top1}}
    rewrite(path, results={"scores": scores})


def edited(path: Path) -> None:
    file = path / "record.json"
    content = json.loads(file.read_text())
    content["results"]["scores"][LAST]["top1"] = 0.99
    file.write_text(json.dumps(content))


def flipped(path: Path, name: str) -> None:
    whole = (path / name).read_bytes()
    middle = len(whole) // 2
    (path / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])


def guessed_better(path: Path) -> None:
    label = left_by(record_of(path))["test_label"]
    rearranged(path, test_prediction=label, test_logits=np.eye(6, dtype=np.float16)[label])


def better_than_its_logits(path: Path) -> None:
    rearranged(path, test_prediction=left_by(record_of(path))["test_label"])
    scored(path, 1.0)


def without_predictions(path: Path) -> None:
    record = record_of(path)
    np.savez_compressed(path / ARRAYS, test_label=left_by(record)["test_label"])
    sealed(path, record)


def labelled_anew(path: Path) -> None:
    prediction = left_by(record_of(path))["test_prediction"]
    rearranged(path, test_label=prediction)
    scored(path, 1.0)


def reseeded(path: Path) -> None:
    """The same run once more under another seed, its id, folder and checksums all in order."""
    record = record_of(path)
    copy = path.with_name("another")
    shutil.copytree(path, copy)
    write_record(copy / "record.json", altered(record, id="0" * 16, run={"seed": 7}))


def reseeded_behind_another(path: Path) -> None:
    """The same where a run of another method, with the same arrays, comes first."""
    reseeded(path)
    first = Path(shutil.copytree(path, path.with_name("0")))
    write_record(first / "record.json", altered(record_of(path), id="1" * 16, run={"baseline": "fsp"}))


def two_anchors(path: Path) -> None:
    """A group that is new, with two rows that its differences could be taken to."""
    rewrite(path, run={"baseline": "scratch"}, about={"anchor": True}, condition={"batch_size": 32})
    other = Path(shutil.copytree(path, path.with_name("another")))
    changed = altered(record_of(path), id="0" * 16, provenance={"code_checksum": "another"})
    write_record(other / "record.json", changed)


def copied_from_ours(path: Path) -> None:
    shutil.copy(archive_member(path, "kd"), path / ARRAYS)
    arrays = np.load(path / ARRAYS)
    right = float((arrays["test_prediction"] == arrays["test_label"]).mean())
    rewrite(path, run={"baseline": "kd", "seed": 9})
    scored(path, right)
    sealed(path, record_of(path))


def archive_member(path: Path, baseline: str) -> Path:
    """The arrays of a run of the reference results."""
    with archive.opened("ours", archive.FOLDER) as results:
        record = next(each for each in results.records if each.run.baseline == baseline)
        assert results.folder is not None
        return Path(
            shutil.copy(results.folder / "runs" / record.folder / ARRAYS, path.parents[1] / "stolen.npz")
        )


FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "altered score": (edited, ("record.json", "it was altered after it was written")),
    "altered score, sealed": (
        lambda path: scored(path, 0.99),
        ("its record says 0.9900 for top1, its predictions 0.", "it was altered"),
    ),
    "altered array": (lambda path: flipped(path, ARRAYS), (f"{ARRAYS} is not the one that its run left",)),
    "altered predictions, sealed": (guessed_better, ("its predictions 1.0000: it was altered",)),
    "altered predictions and score": (better_than_its_logits, ("are not those of its logits",)),
    "altered labels": (labelled_anew, ("other labels than the other runs of the same data",)),
    "pickled labels": (
        lambda path: rearranged(path, test_label=np.array([None] * SAMPLES)),
        (f"{ARRAYS} can't be read", "allow_pickle"),
    ),
    "labels in words": (
        lambda path: rearranged(path, test_label=np.array(["cat"] * SAMPLES)),
        ("int16 predictions for <U3 labels, not class numbers",),
    ),
    "predictions between classes": (
        lambda path: rearranged(path, test_prediction=np.full(SAMPLES, 0.5)),
        ("float64 predictions for", "not class numbers"),
    ),
    "logits in words": (
        lambda path: rearranged(path, test_logits=np.full((SAMPLES, 6), "a")),
        ("are not those of its logits",),
    ),
    "no predictions": (without_predictions, ("lacks the predictions or the labels",)),
    "another anchor": (
        lambda path: rewrite(path, run={"baseline": "scratch"}, about={"anchor": True}),
        ("its group has an anchor of other code or settings",),
    ),
    "two anchors": (two_anchors, ("its group has an anchor of other code or settings",)),
    "fewer samples": (lambda path: rewrite(path, about={"num_test": 41}), ("40 test samples", "41")),
    "altered weights": (
        lambda path: flipped(path, WEIGHTS),
        (f"{WEIGHTS} is not the one that its run left",),
    ),
    "altered history": (
        lambda path: flipped(path, HISTORY),
        (f"{HISTORY} is not the one that its run left",),
    ),
    "no arrays": (
        lambda path: ((path / ARRAYS).unlink(), sealed(path, record_of(path))),
        (f"has no {ARRAYS}",),
    ),
    "no checksums": (lambda path: rewrite(path, files=None), ("no checksums of its files",)),
    "no record": (lambda path: (path / "record.json").unlink(), ("not finished (no record.json)",)),
    "dirty commit": (
        lambda path: rewrite(path, provenance={"clean": False}),
        ("was made by code that was not committed",),
    ),
    "no commit": (lambda path: rewrite(path, provenance={"commit": None}), ("it names no commit",)),
    "other threads": (lambda path: rewrite(path, provenance={"threads": 2}), ("1 and 2 threads",)),
    "other fingerprint": (
        lambda path: rewrite(path, provenance={"data_fingerprint": "another"}),
        ("fingerprint another, known is fingerprint-shapes", "--new-data shapes"),
    ),
    "unknown version": (
        lambda path: rewrite(path, provenance={"versions": {"wcord-bench": "9.9"}}),
        ("version 9.9 of the suite, unknown here: 0.1.0",),
    ),
    "no version": (
        lambda path: rewrite(path, provenance={"versions": {"torch": "2.11.0"}}),
        ("it names no version of the suite",),
    ),
    "no teacher": (lambda path: rewrite(path, teacher={"checksum": ""}), ("no checksum of its teacher",)),
    "tuned without trials": (
        lambda path: rewrite(path, condition={"tuning": "tuned"}, selection=Selection(number=1, trials=8)),
        ("it was tuned, and of 8 trials 0 are there",),
    ),
    "one run under two seeds": (reseeded, ("is that of another, a run of another seed: leave it out",)),
    "the same behind another method's": (reseeded_behind_another, ("a run of another seed: leave it out",)),
    "a run of ours under another seed": (copied_from_ours, ("in ours, a run of another seed: leave it out",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_agree_is_one_line_and_is_not_added(
    fault: str, mine: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alter, words = FAULTS[fault]
    path = runs(mine)[1]
    alter(path)
    line = refused(capsys, "add", mine, "--by", "Eve")
    assert all(word in line for word in words), line
    assert not (home / "submissions").exists()


def test_each_run_that_does_not_fit_has_its_line(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in runs(mine)[:2]:
        rewrite(path, provenance={"clean": False})
    scored(runs(mine)[2], 0.99)
    assert main(["check", str(mine)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [path.name in line for path, line in zip(runs(mine), lines, strict=True)] == [True] * 3


@pytest.mark.parametrize("score", [None, 0.99])
def test_a_run_that_is_there_is_refused_whatever_it_says(
    score: float | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded(tmp_path / "again", [made("kd", 0)])
    if score:
        (path,) = runs(folder)
        record = record_of(path)
        altered_run = altered(record, results={"scores": {LAST: {"top1": score}}})
        np.savez_compressed(path / ARRAYS, **left_by(altered_run))  # pyright: ignore[reportArgumentType]
        sealed(path, altered(altered_run, results={"scores": {LAST: {"top1": 1.0}}}))
    line = refused(capsys, "check", folder)
    assert "this run is in ours already" in line
    assert ("with other results" in line) == bool(score)


def test_new_data_is_admitted_where_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorded(tmp_path / "new", [made("crd", seed, dataset="cifar100") for seed in range(3)])
    assert main(["check", str(folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all("none of it is known" in line and "--new-data cifar100" in line for line in lines)
    assert main(["check", str(folder), "--new-data", "cifar100"]) == 0
    assert "CIFAR-100, resnet20-resnet8" in capsys.readouterr().out


def test_a_tuned_run_comes_with_its_trials(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in runs(mine):
        rewrite(path, condition={"tuning": "tuned"}, selection=Selection(number=1, trials=2))
    for number in range(2):
        trial = dataclasses.replace(made("crd", number, tuning="trial"), trial=Trial(number, (0.5,)))
        path = write_run(mine, trial)
        (mine / "trials").mkdir(exist_ok=True)
        sealed(path, trial)
        path.rename(mine / "trials" / path.name)
    assert main(["check", str(mine)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nowhere"], ["nowhere", "no results folder", "NAME.tar.xz"]),
        (["check", "nowhere.tar.xz"], ["nowhere.tar.xz can't be read"]),
        (["check", "empty"], ["empty holds no finished run"]),
        (["add", "mine"], ["nobody is named", "--by"]),
        (["add", "mine", "--by", "Ada", "--name", "../mine"], ["no name for an archive", "--name"]),
        (["add", "mine", "--by", "Ada", "--name", "ours"], ["ours is there already", "--name"]),
        (["chek"], ["chek"]),
        ([], ["build", "check", "add"]),
    ],
)
def test_bad_input_gets_one_line(
    arguments: list[str],
    words: list[str],
    mine: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(mine.parent)
    Path("empty").mkdir()
    line = refused(capsys, *arguments)
    assert all(word in line for word in words), line


def test_a_submission_that_nobody_made_ends_the_build_with_a_line(
    mine: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.pack(mine, home / "submissions")
    line = refused(capsys, "build")
    assert "mine.json can't be read" in line
    assert '{"by": "...", "code": "..."}' in line
    assert not (home / "leaderboard.parquet").exists()


def test_outside_a_checkout_there_is_nothing_to_compare_with(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archive, "FOLDER", tmp_path / "none")
    assert "is made in a checkout of the suite" in refused(capsys, "check", mine)


def test_what_the_system_refuses_and_an_interruption_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leaderboard.parquet").mkdir()
    assert str(tmp_path / "leaderboard.parquet") in refused(capsys, "build")

    def ends(error: BaseException) -> Callable[..., None]:
        def write(*what: object) -> None:
            raise error

        return write

    file = str(tmp_path / "submissions" / "mine.json")
    monkeypatch.setattr(leaderboard, "write_maker", ends(PermissionError(13, "Permission denied", file)))
    mine = recorded(tmp_path / "mine", [made("crd", seed) for seed in range(3)])
    assert main(["add", str(mine), "--by", "Ada"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark.leaderboard: {file}: Permission denied")
    monkeypatch.setattr(leaderboard, "write", ends(KeyboardInterrupt()))
    assert main(["build"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_archive_that_unpacks_to_too_much_is_refused(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = archive.pack(mine, tmp_path)
    monkeypatch.setattr(archive, "LARGEST", 20_000)
    line = refused(capsys, "check", file)
    assert "mine.tar.xz can't be read (it holds more than 20,000 bytes)" in line
