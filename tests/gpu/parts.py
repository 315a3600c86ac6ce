"""The parts of `make gpu`: their commands, what they leave, and how they are carried out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmark import records
from benchmark.records import LAST, Record
from tests.gpu.settings import Everything, Part

ROOT = Path(__file__).resolve().parents[2]
GRACE = 30.0
"""Seconds that a part has to end by itself, once its time is over."""
LINES = 20
"""So many last lines are kept of a part that did not pass, and of each test that failed and its output."""


@dataclass(frozen=True)
class Prepared:
    """A part that is ready.

    words     what comes after `python`
    content   what it has left, or was about to leave where it was stopped, as plain values
    passed    whether that is all that it ought to be
    """

    words: list[str]
    content: Callable[[], dict[str, Any]]
    passed: Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Done:
    """How a command has ended."""

    code: int
    seconds: float
    out_of_time: bool
    last_lines: list[str]


def tests(asked: Everything, folder: Path) -> Prepared:
    """Every test that is marked gpu."""
    file = folder / "tests.xml"
    words = ["-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-n", str(asked.workers)]
    words += ["--dist", "loadgroup", f"--junitxml={file}", "-o", "junit_logging=all"]
    return Prepared(
        [*words, *asked.tests],
        lambda: counted(file),
        lambda content: content.get("passed", 0) > 0,
    )


def counted(file: Path) -> dict[str, Any]:
    """How many tests of a JUnit file ended how, and the last lines of each that failed; {} without one."""
    if not file.is_file():
        return {}
    cases = [*ElementTree.parse(file).iter("testcase")]
    ends = [{each.tag for each in case} & {"failure", "error", "skipped"} for case in cases]
    found: dict[str, Any] = {
        name: sum(bool(end & of) for end in ends)
        for name, of in (("failed", {"failure", "error"}), ("skipped", {"skipped"}))
    }
    found["passed"] = sum(not end for end in ends)
    wrong = [case for case, end in zip(cases, ends, strict=True) if end & {"failure", "error"}]
    return found | {
        "failed_tests": {f"{each.get('classname')}::{each.get('name')}": _told(each) for each in wrong}
    }


def _told(case: ElementTree.Element) -> list[str]:
    """The last lines of why a test failed, and of what it printed."""
    parts = ("failure", "error", "system-out", "system-err")
    return [
        line for part in parts for each in case.iter(part) for line in (each.text or "").splitlines()[-LINES:]
    ]


def speed(asked: Everything, folder: Path) -> Prepared:
    """The speed table; its own file is the content."""
    file, graphs = folder / "speed.json", [] if asked.device == "cpu" else ["graphs"]
    return Prepared(
        [
            *("-m", "benchmark.speed", "--pair", asked.pair, "--dataset", asked.dataset, *asked.where),
            *("--measure", "cohort", "alone", "fused", *graphs, "floor", "--baselines", *asked.baselines),
            *("--steps", str(asked.steps), "--repeats", str(asked.repeats)),
            *("--samples", str(asked.samples), "--json", str(file)),
        ],
        lambda: {"report": json.loads(file.read_text())} if file.is_file() else {},
        lambda content: "report" in content,
    )


def study(asked: Everything, folder: Path) -> Prepared:
    """A study, anew: teacher, cohort, test."""
    graphs = [] if asked.device == "cpu" else ["--graphs"]
    return Prepared(
        [
            *("run_all.py", "--datasets", asked.dataset, "--pairs", asked.pair, *asked.where),
            *("--baselines", *asked.baselines, "--seeds", "0", "--epochs", str(asked.epochs)),
            *("--train-samples", str(asked.train_samples), "--teacher-epochs", str(asked.teacher_epochs)),
            *("--teacher-samples", str(asked.teacher_samples), "--no-probes", "--no-report", *graphs),
            *("--results-dir", str(folder), "--name", "gpu"),
        ],
        lambda: studied(folder / "gpu" / "runs", asked.epochs),
        lambda content: len(content["runs"]) == len(asked.baselines),
    )


def studied(runs: Path, epochs: int) -> dict[str, Any]:
    """The scores of a study's runs and what they took; of those without a record how far they were."""
    found = {file.parent.name: records.read_record(file) for file in sorted(runs.glob("*/record.json"))}
    recorded = [record for record in found.values() if record is not None]
    under_way = {
        file.parent.name: len(file.read_text().splitlines())
        for file in sorted(runs.glob("*/history.jsonl"))
        if file.parent.name not in found
    }
    content: dict[str, Any] = {
        "runs": {record.run.baseline: _run(record) for record in recorded},
        "epochs_of_runs_without_record": under_way,
    }
    # Common passes are shared out among the runs: their sum is what all of them took.
    trained = [each for each in (record.measurements for record in recorded) if each.total_s is not None]
    if trained:
        seconds = sum((each.total_s or 0.0) - (each.first_stages_s or 0.0) for each in trained)
        content["seconds_per_epoch"] = seconds / epochs
        teacher = recorded[0].teacher
        content["teacher"] = {
            "architecture": teacher.architecture,
            "scores": teacher.test,
            "seconds": recorded[0].measurements.teacher_s,
        }
    return content


def _run(record: Record) -> dict[str, Any]:
    measured = record.measurements
    return {
        "status": record.status,
        "reason": (record.reason.strip().splitlines() or [""])[-1],
        "scores": record.results.scores.get(LAST, {}),
        "step_ms": measured.step_ms,
        "teacher_share_ms": measured.teacher_share_ms,
        "data_share_ms": measured.data_share_ms,
        "seconds": measured.total_s,
        "peak_memory_mb": measured.peak_memory_mb,
    }


PREPARE: dict[Part, Callable[[Everything, Path], Prepared]] = {
    "tests": tests,
    "speed": speed,
    "study": study,
}


def carried_out(words: list[str], seconds: float) -> Done:
    """Python with these words, its output passed on. When its time is over it is interrupted, as by Ctrl-C,
    and killed where it does not end by itself."""
    began, last = time.monotonic(), deque[str](maxlen=LINES)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a shell has it for what runs in the background; what is started would ignore it, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    over = threading.Event()

    def interrupt() -> None:
        over.set()
        process.send_signal(signal.SIGINT)

    limits = [
        threading.Timer(max(0.0, seconds), interrupt),
        threading.Timer(max(0.0, seconds) + GRACE, os.killpg, (process.pid, signal.SIGKILL)),
    ]
    try:
        for limit in limits:
            limit.start()
        for line in process.stdout:
            print(line, end="", flush=True)
            last.append(line.rstrip())
        code = process.wait()
    finally:
        for limit in limits:
            limit.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Done(code, time.monotonic() - began, over.is_set(), list(last))
