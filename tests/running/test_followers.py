"""A command whose cohorts train in two processes: the numbers of one, one set of folders, and its endings."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.records import Record
from tests.command import begun, forked, numbers, records, run, words

SMALL = [
    *("--pairs", "tiny_plain-tiny_plain", "--epochs", "20", "--teacher-epochs", "2", "--batch-size", "15"),
    *("--train-samples", "64", "--teacher-samples", "64", "--seeds", "0", "--device", "cpu"),
]
"""No batch norm: what a network shows of a sample does not depend on the others."""
NAMES = ("scratch", "kd", "crd")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
"""What torchrun is, with a port of its own."""


def done(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> dict[str, Record]:
    """The records of a command that has come to its end, by baseline."""
    process = begun(folder, *SMALL, "--baselines", *NAMES, *arguments, launcher=launcher)
    told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    return by_baseline(folder)


def by_baseline(folder: Path) -> dict[str, Record]:
    return {record.run.baseline: record for record in records(folder).values()}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Record]]:
    """What two processes leave that nobody stops."""
    folder = tmp_path_factory.mktemp("two") / "results"
    return folder, done(folder, "--devices", "2")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_leave_one_set_of_records_with_the_numbers_of_one(
    tmp_path: Path, two: tuple[Path, dict[str, Record]]
) -> None:
    folder, ours = two
    assert run(tmp_path / "results", *SMALL, baselines=NAMES) == 0
    alone = by_baseline(tmp_path / "results")
    assert len([*(folder / "t" / "runs").iterdir()]) == len(alone) == len(ours) == 3
    for name, record in ours.items():
        assert (record.status, record.condition.batch_parts, record.provenance.ranks) == ("finished", 2, 2)
        assert alone[name].condition.batch_parts == alone[name].provenance.ranks == 1
        assert record.id != alone[name].id
        for split, scores in alone[name].results.scores.items():
            assert record.results.scores[split] == pytest.approx(scores, abs=0.02), (name, split)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("signalled", ["first", "other"])
def test_a_signal_to_either_process_ends_both_and_the_same_command_goes_on_to_the_same_numbers(
    signalled: str, tmp_path: Path, forks: BaseContext, two: tuple[Path, dict[str, Record]]
) -> None:
    folder, output = tmp_path / "results", tmp_path / "told"
    command = words(folder, *SMALL, "--baselines", *NAMES, "--devices", "2")
    process = forked(forks, output, main, [*command, "--snapshot-minutes", "0"])
    wait_for_snapshots(folder)
    assert process.pid is not None
    ((other, _),) = children_of(process.pid)
    os.kill(process.pid if signalled == "first" else other, signal.SIGTERM)
    process.join(200)
    assert process.exitcode == 143, output.read_text()
    assert not Path(f"/proc/{other}").exists()
    assert not records(folder)
    again = forked(forks, output, main, command)
    again.join(400)
    assert again.exitcode == 0, output.read_text()
    assert all_numbers(by_baseline(folder)) == all_numbers(two[1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torchrun_leaves_the_records_of_two_processes_and_a_signal_to_it_ends_them_in_order(
    tmp_path: Path, two: tuple[Path, dict[str, Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "200")
    folder = tmp_path / "results"
    arguments = (*SMALL, "--baselines", *NAMES, "--snapshot-minutes", "0")
    process = begun(folder, *arguments, launcher=TORCHRUN)
    wait_for_snapshots(folder)
    workers = [number for number, words in children_of(process.pid) if "run_all.py" in words]
    assert len(workers) == 2
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=200)[1]
    assert process.returncode == 1, told  # whatever its processes end with
    assert not any(Path(f"/proc/{number}").exists() for number in workers)
    assert told.count("interrupted; finished runs are recorded") == 1, told
    assert [*folder.glob("t/runs/*/snapshot*")]
    assert not records(folder)
    ours = done(folder, launcher=TORCHRUN)
    assert {record.provenance.ranks for record in ours.values()} == {2}
    assert all_numbers(ours) == all_numbers(two[1])


def all_numbers(found: dict[str, Record]) -> dict[str, object]:
    return {name: numbers(record) for name, record in found.items()}


def wait_for_snapshots(folder: Path) -> None:
    deadline = time.monotonic() + 300
    while not [*folder.glob("t/runs/*/snapshot*")] and time.monotonic() < deadline:
        time.sleep(0.05)


def children_of(parent: int) -> list[tuple[int, str]]:
    """The processes that another one has started, with their command lines (Linux)."""
    found = []
    for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        found.append((int(number), Path(f"/proc/{number}/cmdline").read_text()))
    return found
