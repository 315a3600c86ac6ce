"""`make faults`: a grid of three tasks is killed at random moments, again and again, and must lose nothing.

Written is one line of JSON. The exit code is 1 where a record, a bit of a result or of a weight differs from
the undisturbed grid's, or where a file is left that no finished grid has.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark import records

ROOT = Path(__file__).resolve().parents[2]
GRID = (
    *("--baselines", "scratch", "kd", "fitnet", "crd"),
    *("--train-samples", "96", "--teacher-samples", "64", "--epochs", "2", "--teacher-epochs", "2"),
    *("--no-probes", "--no-report", "--name", "t", "--snapshot-minutes", "0.01"),
)


@dataclass(frozen=True)
class Outcome:
    """What came of it: how often it was killed, and everything that is not as it has to be."""

    kills: int
    runs: int
    faults: list[str]


def command(results: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command, in a session of its own, so that its workers can be killed with it."""
    return subprocess.Popen(
        [sys.executable, "run_all.py", *GRID, "--results-dir", str(results), *arguments],
        cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def punish(results: Path, arguments: tuple[str, ...], kills: int, draw: random.Random) -> int:
    """Starts the command again and again and kills it at random moments; returns how often it was killed.

    One worker alone, the command alone, or all of its processes at once. What is left to do grows less, so
    records are taken away now and then: these runs are trained again.
    """
    done = 0
    while done < kills:
        process = command(results, *arguments)
        ends = time.monotonic() + draw.uniform(0.5, 14.0)
        while time.monotonic() < ends and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is None:
            _kill(process, draw)
            done += 1
        else:
            _forget(results, draw)
        _reap(process)
    return done


def _kill(process: subprocess.Popen[bytes], draw: random.Random) -> None:
    """SIGKILL to the command, to one of its workers (which it survives for a while), or to all at once."""
    workers = _children(process.pid)
    kind = draw.choice(("all", "command", "worker")) if workers else "all"
    if kind == "worker":
        os.kill(draw.choice(workers), signal.SIGKILL)
        time.sleep(draw.uniform(0, 3))
    os.killpg(process.pid, signal.SIGKILL) if kind == "all" else process.kill()


def _children(process: int) -> list[int]:
    """Processes whose parent it is (Linux)."""
    file = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Waits until nothing of a command is alive: workers end by themselves when their parent is gone."""
    process.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise SystemExit(f"processes of the command are alive a minute after it was killed ({process.pid})")


def _forget(results: Path, draw: random.Random) -> None:
    found = sorted((results / "t" / "runs").glob("*/record.json"))
    for file in draw.sample(found, min(len(found), 6)):
        file.unlink()


def compare(results: Path, whole: Path) -> list[str]:
    """A line for whatever differs from the undisturbed grid, or is left over."""
    faults = []
    ours, theirs = _records(results), _records(whole)
    faults += [f"{slug}: no record" for slug in theirs.keys() - ours.keys()]
    faults += [f"{slug}: a record that the whole grid has not" for slug in ours.keys() - theirs.keys()]
    for slug in ours.keys() & theirs.keys():
        for what in ("results", "teacher", "files", "status"):
            if getattr(ours[slug], what) != getattr(theirs[slug], what):
                faults.append(f"{slug}: its {what} differ")
    for file in results.rglob("*"):
        name = file.name
        if file.is_file() and (name.endswith(".lock") or name.startswith(".") or "snapshot" in name):
            faults.append(f"{file.relative_to(results)} is left over")
    return faults


def _records(results: Path) -> dict[str, records.Record]:
    found = {f.parent.name: records.read_record(f) for f in (results / "t" / "runs").glob("*/record.json")}
    return {slug: record for slug, record in found.items() if record is not None}


def run(kills: int, seed: int, arguments: tuple[str, ...] = (), place: Path | None = None) -> Outcome:
    """The undisturbed grid, the punished one, and a last run of it."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        whole, results = Path(folder) / "whole", Path(folder) / "punished"
        faults = []
        for target, more in ((whole, arguments), (results, ("--jobs", "2", *arguments))):
            if target == results:
                kills = punish(results, more, kills, random.Random(seed))
            process = command(target, *more)
            told = process.communicate()[1].decode()
            faults += [f"exit code {process.returncode}: {told}"] if process.returncode else []
        return Outcome(kills, len(_records(results)), faults + compare(results, whole))


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # the same count in one process and in two
    began = time.monotonic()
    outcome = run(asked.kills, asked.seed, ("--datasets", "shapes", "rooms", "motions", "--seeds", "0", "1"))
    told = {"kills": outcome.kills, "runs": outcome.runs, "seconds": round(time.monotonic() - began)}
    print(json.dumps(told | {"faults": outcome.faults}))
    return 1 if outcome.faults or not outcome.runs else 0


if __name__ == "__main__":
    raise SystemExit(main())
