"""Runs the command on the tiny task, as a user would type it: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

from safetensors.torch import load_file
from torch import Tensor

from benchmark import records as benchmark_records
from benchmark.cli import main
from benchmark.records import Record, Results, Teacher

ROOT = Path(__file__).resolve().parent.parent
TINY_TASK = str(ROOT / "tests" / "tiny_task.py")
TINY = ("--tasks", "tiny_task", "--plugin", TINY_TASK, "--name", "t")
"""The plugin tells a process of its own where the tiny task is."""
BARE = ("--no-probes", "--no-report")
"""Without what takes longer than tiny training."""


def run(
    results: Path,
    *arguments: str,
    baselines: tuple[str, ...] = ("scratch",),
    task: str = "tiny_task",
    report: bool = False,
    probes: bool = False,
) -> int:
    """The exit code of run_all.py on a tiny task, with results under `results`.

    Without `report` the command ends before its tables and figures, which take longer than tiny training;
    so do `probes`.
    """
    base = ["--tasks", task, "--results-dir", str(results), "--name", "t", "--baselines", *baselines]
    base += [] if probes else ["--no-probes"]
    if report:
        return main([*base, *arguments])
    with mock.patch("benchmark.cli._report"):
        return main([*base, *arguments])


def words(results: Path, *arguments: str) -> list[str]:
    """What follows `run_all.py` for the same in a process of its own."""
    return [*TINY, *BARE, "--results-dir", str(results), *arguments]


def begun(results: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The same in a process and a session of its own, as a user begins it; with one thread, as tests have.

    launcher   what begins it in Python's place, `-m torch.distributed.run` and the like
    """
    return subprocess.Popen(
        [sys.executable, *launcher, "run_all.py", *words(results, *arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def forked(
    forks: BaseContext, output: Path, function: Callable[..., int | None], *arguments: object
) -> BaseProcess:
    """A function in a process and a session of its own that begins at once: an interpreter takes seconds.

    forks    the fixture
    output   to which is added whatever it tells
    """
    process = forks.Process(target=_told, args=(output, function, arguments))
    process.start()
    return process


def _told(output: Path, function: Callable[..., int | None], arguments: tuple[object, ...]) -> None:
    os.setsid()
    with output.open("a") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    raise SystemExit(function(*arguments))


def records(results: Path) -> dict[str, Record]:
    """Every record that a command left, by run folder name."""
    files = sorted((results / "t" / "runs").glob("*/record.json"))
    found = {file.parent.name: benchmark_records.read_record(file) for file in files}
    return {name: record for name, record in found.items() if record is not None}


def weights(results: Path, slug: str) -> dict[str, Tensor]:
    """What a run has learnt."""
    return load_file(results / "t" / "runs" / slug / "weights.safetensors")


def numbers(record: Record) -> tuple[Results, Teacher]:
    """What the law of the cohort speaks of: the results of a record, not its measurements."""
    return record.results, record.teacher


def trials(results: Path) -> dict[str, Record]:
    """Trial name -> its record; with few labels those of the companion with all labels stay out."""
    found = {}
    for file in sorted((results / "t" / "trials").glob("*/record.json")):
        record = benchmark_records.read_record(file)
        assert record is not None
        assert record.trial is not None
        found.setdefault(record.condition.label_fraction, {})[
            f"{record.run.baseline} {record.trial.number}"
        ] = record
    return found[min(found)]


def outcome(record: Record) -> tuple:
    """What of a trial must not depend on company, interruption or hidden labels."""
    return record.status, record.trial, record.results, record.hyperparameters
