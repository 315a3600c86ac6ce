"""Two commands on one results folder: no run is trained twice, none is emptied under its owner."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.running import locks
from benchmark.running.local import Executor
from benchmark.running.locks import Claim, locked, owner, sweep
from tests.command import forked, records, run, words

HOLD = """
import sys, time
from pathlib import Path
from benchmark.running.locks import Claim
with Claim() as claim:
    print(claim.take(Path(sys.argv[1])), flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(file: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that has the lock by now."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_a_lock_has_one_owner_who_is_named(tmp_path: Path) -> None:
    file = tmp_path / "locks" / "a.lock"
    process = holder(file, 60)
    with Claim() as claim:
        assert not claim.take(file)
        assert f"process {process.pid}" in owner(file)
        assert claim.take(tmp_path / "b.lock")
    process.kill()
    process.wait()
    assert not (tmp_path / "b.lock").exists()


def test_a_killed_owner_gives_its_lock_up_and_its_file_is_swept(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.lock", 60)
    sweep(tmp_path)
    assert (tmp_path / "a.lock").exists()
    process.kill()
    process.wait()
    assert (tmp_path / "a.lock").exists()
    sweep(tmp_path)
    assert not (tmp_path / "a.lock").exists()


def test_who_waits_says_for_whom_and_goes_on_when_the_owner_is_gone(tmp_path: Path) -> None:
    process, said = holder(tmp_path / "a.lock", 1.0), []
    began = time.monotonic()
    with locked(tmp_path / "a.lock", said.append, "the teacher"):
        assert process.wait() == 0
    assert time.monotonic() - began < 60
    (line,) = said
    assert line.startswith("waiting for the teacher, which ")
    assert f"process {process.pid}" in line
    assert not (tmp_path / "a.lock").exists()


def test_many_who_want_one_lock_have_it_one_after_another(tmp_path: Path, monkeypatch) -> None:
    """Each removes the file while others wait at it: two of them never hold it at once."""
    monkeypatch.setattr(locks, "PATIENCE", 0.001)
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with locked(tmp_path / "a.lock", lambda line: None, "it"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 120
    assert set(most) == {1}


def test_what_another_command_is_at_is_left_to_it_and_then_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While this command trains the first cohort another one records a run of the second."""
    arguments = ("--seeds", "0", "1")
    run(tmp_path / "other", *arguments, baselines=("kd",))
    monkeypatch.setattr(locks, "PATIENCE", 0.05)
    (slug,) = (each for each in records(tmp_path / "other") if "-seed1-" in each)
    runs, trained = tmp_path / "t" / "runs", []
    runs.mkdir(parents=True)
    process = holder(runs / f"{slug}.lock", 600)
    cohort, waits = Executor._cohort, Executor.wait_and_perform

    def noted(executor, spec, specs):
        trained.extend(each.slug for each in specs)
        cohort(executor, spec, specs)

    def other_is_done(executor, spec, specs):
        assert [each.slug for each in specs] == [slug]
        (tmp_path / "other" / "t" / "runs" / slug).rename(runs / slug)
        process.kill()
        process.wait()
        waits(executor, spec, specs)

    monkeypatch.setattr(Executor, "_cohort", noted)
    monkeypatch.setattr(Executor, "wait_and_perform", other_is_done)
    assert run(tmp_path, *arguments, baselines=("scratch", "kd")) == 0
    assert len(records(tmp_path)) == 4
    assert len(trained) == 3
    assert slug not in trained
    assert not list(runs.glob("*.lock"))


def test_two_whole_commands_at_once_train_each_run_once(tmp_path: Path, forks: BaseContext) -> None:
    results, output = tmp_path / "results", tmp_path / "told"
    grid = ("--baselines", "scratch", "kd", "--seeds", "0", "1", "2", "--teacher-epochs", "1")
    commands = [forked(forks, output, main, words(results, *grid)) for _ in range(2)]
    for command in commands:
        command.join(100)
    told = output.read_text()
    assert [command.exitcode for command in commands] == [0, 0], told
    assert len(records(results)) == 6
    epochs = Counter(
        (file.parent.name, line.count('"epoch"'))
        for file in (results / "t" / "runs").glob("*/history.jsonl")
        for line in file.read_text().splitlines()
    )
    assert len(epochs) == 6
    assert set(epochs.values()) == {2}
    assert told.count("epoch 1/1") == 1, "the teacher was trained more than once"
    assert not list(results.rglob("*.lock"))
