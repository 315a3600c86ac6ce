"""Runs the command in this process on the tiny task, as a user would type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

from benchmark.cli import main


def run(
    results: Path,
    *arguments: str,
    baselines: tuple[str, ...] = ("scratch",),
    task: str = "tiny_task",
    report: bool = False,
) -> int:
    """The exit code of run_all.py on a tiny task, with results under `results`.

    Without `report` the command ends before its tables and figures, which take longer than tiny training.
    """
    base = ["--tasks", task, "--results-dir", str(results), "--name", "t", "--baselines", *baselines]
    if report:
        return main([*base, *arguments])
    with mock.patch("benchmark.cli._report"):
        return main([*base, *arguments])


def records(results: Path) -> dict[str, dict[str, Any]]:
    """Every record that a command left, by run folder name."""
    files = sorted((results / "t" / "runs").glob("*/record.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def numbers(record: dict[str, Any]) -> dict[str, Any]:
    """What the law of the cohort speaks of: the results of a record, not its measurements."""
    return record["results"]
