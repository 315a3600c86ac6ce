"""Slurm itself: an array's jobs run the grid, and what is interrupted goes on in another job."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.clusters import slurm
from tests.command import ROOT, TINY_TASK, numbers, records, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("slurm")]
STUDY = ("--plugin", TINY_TASK, "--teacher-epochs", "1", "--device", "cpu")


@pytest.fixture(scope="module", autouse=True)
def placed() -> Iterator[tuple[str, ...]]:
    """Commands find a Slurm: that of this machine, or one that is started for the tests.

    What a job asks for to have the results folder: on a cluster this node; the nodes of ours are one machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # as here
        patch.chdir(ROOT)
        if slurm.answers():
            yield (f"nodelist={slurm.node()}",)
        elif slurm.programs() is None:
            pytest.skip("no Slurm: this machine is no node of one, and lacks slurmctld, slurmd or munged")
        else:
            with (
                tempfile.TemporaryDirectory(prefix="slurm-") as folder,
                slurm.two_nodes(Path(folder)) as file,
            ):
                patch.setenv("SLURM_CONF", str(file))
                yield ()


def grid(results: Path, *arguments: str, report: bool = False) -> None:
    names = ("scratch", "kd")
    assert run(results, *STUDY, *arguments, baselines=names, report=report) == 0


def submitted(
    results: Path, capsys: pytest.CaptureFixture[str], *arguments: str, options: Sequence[str]
) -> str:
    """The number of the array."""
    capsys.readouterr()
    grid(results, *arguments, "--executor", "slurm", "--slurm", *options, "time=30")
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("Submitted batch job "))
    return line.split()[-1]


def states() -> list[str]:
    """Of the jobs that are not over; those that go on where an array's stopped have numbers of their own."""
    asked = ["squeue", "--noheader", "--array", "--me", "--name=wcord-t", "--format=%T"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def node_of(job: str) -> str:
    """Where it runs, or ran last."""
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    ).stdout
    return next(word.partition("=")[2] for word in shown.split() if word.startswith("NodeList="))


def wait(until: Callable[[], bool]) -> None:
    while not until():  # the test's own limit ends it
        time.sleep(0.2)


def printed(results: Path) -> str:
    return "".join(file.read_text() for file in (results / "t" / "slurm").glob("*.out"))


def same(results: Path, others: Path) -> None:
    found, expected = records(results), records(others)
    assert found.keys() == expected.keys(), printed(results)
    for slug, record in found.items():
        assert numbers(record) == numbers(expected[slug])
        assert record.files == expected[slug].files, "weights, arrays and history, to the byte"
        assert record.provenance.threads == expected[slug].provenance.threads
    assert not list(results.rglob("*.lock"))


def test_the_jobs_of_an_array_leave_the_records_of_one_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], placed: tuple[str, ...]
) -> None:
    arguments = ("--seeds", "0", "1", "--epochs", "2")
    grid(tmp_path / "one", *arguments)
    results = tmp_path / "with a space"
    job = submitted(results, capsys, *arguments, "--jobs", "2", options=placed)
    wait(lambda: not states())
    if not placed:
        assert {node_of(f"{job}_{number}") for number in (1, 2)} == set(slurm.NODES)
    same(results, tmp_path / "one")
    assert printed(results).count("epoch 1/1 ") == 1, "the teacher was trained more than once"
    assert {file.name for file in (results / "t" / "slurm").glob("*.out")} == {f"{job}_1.out", f"{job}_2.out"}
    grid(results, "--report-only", report=True)
    assert (results / "t" / "tables" / "tiny_task.txt").exists()


@pytest.mark.parametrize("interruption", ["told of its end", "preempted", "node lost"])
def test_what_an_interrupted_job_was_at_goes_on_in_another(
    interruption: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], placed: tuple[str, ...]
) -> None:
    """`--signal` tells a job's steps of its end as scancel does here; who preempts a job, requeues it.

    Last, as a node is lost for good.
    """
    if interruption == "node lost" and placed:
        pytest.skip("the nodes here are not ours to break down")
    arguments = ("--seeds", "0", "--epochs", "30", "--snapshot-minutes", "0")
    grid(tmp_path / "one", *arguments)
    results = tmp_path / "slurm"
    job = submitted(results, capsys, *arguments, "--jobs", "1", options=placed)
    histories = results / "t" / "runs"
    wait(lambda: any(len(f.read_text().splitlines()) > 2 for f in histories.glob("*/history.jsonl")))
    if interruption == "node lost":
        lost = node_of(f"{job}_1")
        slurm.break_down(lost)
        wait(lambda: states() == ["PENDING"])
        # By itself Slurm waits for two minutes.
        subprocess.run(["scontrol", "update", f"JobId={job}_1", "StartTime=now"], check=True)
    else:
        interrupt = {
            "told of its end": ["scancel", "--signal=TERM", f"{job}_1"],
            "preempted": ["scontrol", "requeue", f"{job}_1"],
        }[interruption]
        subprocess.run(interrupt, check=True)
    wait(lambda: not states())
    same(results, tmp_path / "one")
    told = printed(results)
    assert told.count("epoch 1/30 ") == 1, "it started over, in spite of its snapshots"
    assert ("interrupted; finished runs" in told) or interruption != "told of its end"
    if interruption == "node lost":
        assert "interrupted; finished runs" not in told
        assert {lost, node_of(f"{job}_1")} == set(slurm.NODES)
