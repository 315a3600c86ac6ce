"""A command whose cohorts train in two processes: the numbers of one, one set of folders, and its endings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.records import Record
from tests.command import numbers, records

ROOT = Path(__file__).resolve().parents[2]
PLAIN = """
from torch import nn
from benchmark import Activations
from benchmark.models import Network, architecture

class Plain(Network):
    '''No batch norm: what it shows of a sample does not depend on the others.'''

    def __init__(self, channels, classes):
        super().__init__()
        self.stem, self.stage = nn.Conv2d(channels, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.classifier = nn.Linear(16, classes)

    def show(self, x):
        first = self.stem(x).relu()
        second = self.stage(first).relu()
        embedding = second.mean((2, 3))
        return Activations(self.classifier(embedding), embedding, (first, second))

    @property
    def head(self):
        return self.classifier

architecture("plain")(lambda shapes, classes: Plain(shapes[0][0], classes))
"""
SMALL = [
    *("--tasks", "compression", "--datasets", "shapes", "--pairs", "plain-plain", "--name", "t"),
    *("--train-samples", "64", "--teacher-samples", "64", "--epochs", "3", "--teacher-epochs", "2"),
    *("--batch-size", "15", "--seeds", "0", "--baselines", "scratch", "kd", "crd"),
    *("--no-probes", "--no-report", "--device", "cpu"),
]


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
"""What torchrun is, with a port of its own."""


def begun(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command, in a session of its own."""
    plugin = folder.parent / "plain.py"
    plugin.write_text(PLAIN)
    words = [*SMALL, "--plugin", str(plugin), "--results-dir", str(folder), *arguments]
    return subprocess.Popen(
        [sys.executable, *launcher, "run_all.py", *words],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "200"},
    )  # fmt: skip


def done(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> dict[str, Record]:
    """The records of a command that has come to its end, by baseline."""
    process = begun(folder, *arguments, launcher=launcher)
    told = process.communicate(timeout=400)
    assert process.returncode == 0, told
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
    alone = done(tmp_path / "results")
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
    signalled: str, tmp_path: Path, two: tuple[Path, dict[str, Record]]
) -> None:
    folder = tmp_path / "results"
    process = begun(folder, "--devices", "2", "--snapshot-minutes", "0")
    wait_for_snapshots(folder)
    other = next(each for each in children_of(process.pid) if "spawn_main" in each[1])[0]
    os.kill(process.pid if signalled == "first" else other, signal.SIGTERM)
    assert process.wait(200) == 143
    assert not Path(f"/proc/{other}").exists()
    assert not records(folder)
    assert all_numbers(done(folder, "--devices", "2")) == all_numbers(two[1])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torchrun_leaves_the_records_of_two_processes_and_a_signal_to_it_ends_them_in_order(
    tmp_path: Path, two: tuple[Path, dict[str, Record]]
) -> None:
    folder = tmp_path / "results"
    process = begun(folder, "--snapshot-minutes", "0", launcher=TORCHRUN)
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
