"""What goes into the file of `--json`: everything that was measured, where, and by what code."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmark.errors import UserError
from benchmark.launching import own_cores
from benchmark.ranks import Fabric
from benchmark.running.provenance import processor, provenance
from benchmark.speed.bench import Timing
from benchmark.speed.growth import Grown, prediction
from benchmark.speed.parts import StepParts
from benchmark.speed.report import Report
from benchmark.speed.rivals import Compared
from benchmark.speed.spread import Spread, spread
from benchmark.writing import write_whole

FORMAT = 1


def content(report: Report) -> dict[str, Any]:
    """All of it as plain values that JSON can hold."""
    settings = {name: value for name, value in dataclasses.asdict(report.speed).items() if value is not None}
    found: dict[str, Any] = {
        "format": FORMAT,
        "machine": machine(report.fabric),
        "settings": settings | {n: str(settings[n]) for n in ("data_dir", "json") if n in settings},
        "said": report.said,
        "ratios": report.ratios(),
    }
    if report.trainings is not None:
        data = report.trainings.bench.materials.data
        found["data"] = {
            "dataset": data.name,
            "samples": len(data.train),
            "classes": len(data.classes),
            "batch_size": report.batch_size,
            "random": report.speed.data_dir is None,
        }
    if report.together:
        found["cohort"] = _timed(report.together, report.batch_size)
    if report.alone:
        found["alone"] = {name: _timed(each, report.batch_size) for name, each in report.alone.items()}
    for name, taken in (("fused", report.fused), ("graphs", report.graphed)):
        if taken is not None:
            found[name] = {
                "wall_ms": taken.plain(),
                **_rate(taken, len(report.runs), report.batch_size),
            }
    if report.plain:
        found["plain"] = {
            name: {"wall_ms": each.plain(), **_rate(each, 1, report.batch_size)}
            for name, each in report.plain.items()
        }
    if report.floor is not None:
        found["floor"] = dataclasses.asdict(report.floor)
        if report.together:
            found["floor"]["cohort_ms"] = report.floor_ms(report.together[0])
    found["comparisons"] = [_compared(each) for each in report.compared]
    found["growth"] = {
        axis: {"prediction": prediction(axis), "rows": [_grown(each) for each in rows]}
        for axis, rows in report.grown.items()
    }
    return found


def write(report: Report, file: Path) -> None:
    """Writes `content`. Raises UserError where it can't."""
    text = msgspec.json.format(msgspec.json.encode(content(report)), indent=2)
    try:
        write_whole(file, text + b"\n")
    except OSError as error:
        raise UserError(f"--json {file}: can't be written ({error.strerror or error})") from error


def _timed(timings: list[Timing], batch_size: int) -> dict[str, Any]:
    """A training: times in milliseconds per step, memory in 10^6 bytes."""
    first = timings[0]

    def each(of: Callable[[Timing], float]) -> dict[str, Any]:
        return spread(timings, of).plain()

    wall = spread(timings, lambda t: t.wall)
    return {
        "wall_ms": wall.plain(),
        **_rate(wall, len(first.own), batch_size),
        "teacher_ms": None if first.teacher is None else each(lambda t: t.teacher or 0.0),
        "data_ms": each(lambda t: t.data),
        "second_views_ms": each(lambda t: t.second),
        "runs": {
            run: {"own_ms": each(lambda t, run=run: t.own[run])}
            | {
                f"{part.name}_ms": each(lambda t, run=run, part=part: getattr(t.parts[run], part.name))
                for part in dataclasses.fields(StepParts)
            }
            for run in first.own
        },
        "overhead": wall / spread(timings, lambda t: t.arithmetic) - 1,
        "peak_memory_mb": max(timing.memory_mb for timing in timings),
        "unsound": {name: why for timing in timings for name, why in timing.unsound.items()},
    }


def _rate(wall: Spread, students: int, batch_size: int) -> dict[str, float]:
    """Samples per second: of the batch, and counted for each student that learns from it."""
    rate = 1000 * batch_size / wall.median
    return {"samples_per_s": rate, "student_samples_per_s": rate * students}


def machine(fabric: Fabric) -> dict[str, Any]:
    """Where this was measured, by what code, and how busy the machine was."""
    origin = provenance(fabric)
    return {
        "device": origin.device,
        "device_name": origin.device_name,
        "processor": processor(),
        "cores": len(own_cores()),
        "threads": origin.threads,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": origin.versions | {"torch": str(torch.__version__)},
        "commit": origin.commit,
        "clean": origin.clean,
        "command": shlex.join(["python", "-m", __package__ or "", *sys.argv[1:]]),
        "finished": origin.finished,
    }


def _compared(each: Compared) -> dict[str, Any]:
    comparison = each.comparison
    ours, theirs = Spread(tuple(each.ours)), Spread(tuple(each.theirs))
    return {
        "name": comparison.name,
        "size": comparison.size,
        "rival": comparison.rival,
        "ours_ms": ours.plain(),
        "theirs_ms": theirs.plain(),
        "ratio": ours / theirs,
        "difference": each.difference,
        "tolerance": comparison.tolerance,
        "agrees": each.agrees,
    }


def _grown(row: Grown) -> dict[str, Any]:
    return {
        "size": row.size,
        "wall_ms": Spread(tuple(row.each)).plain(),
        "predicted_ms": row.predicted,
        "measured/predicted": None if row.predicted is None else row.wall / row.predicted,
        "macs": row.macs,
        "peak_memory_mb": row.memory_mb,
    }
