"""Runs the command in this process on the tiny task, as a user would type it."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from benchmark import records as benchmark_records
from benchmark.cli import main
from benchmark.records import Record, Results, Teacher


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


def records(results: Path) -> dict[str, Record]:
    """Every record that a command left, by run folder name."""
    files = sorted((results / "t" / "runs").glob("*/record.json"))
    found = {file.parent.name: benchmark_records.read_record(file) for file in files}
    return {name: record for name, record in found.items() if record is not None}


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
