"""Everything that was measured: its ratios, their bounds, and what goes into a file."""

from __future__ import annotations

import dataclasses
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmark.errors import UserError, unknown
from benchmark.running.provenance import provenance
from benchmark.speed.bench import Timing, Trainings
from benchmark.speed.floor import Floor
from benchmark.speed.growth import Grown, prediction
from benchmark.speed.parts import StepParts
from benchmark.speed.rivals import Compared
from benchmark.speed.settings import Axis, Speed
from benchmark.writing import write_whole

FORMAT = 1
GIB = 2**30 / 1e6
"""In units of 10^6 bytes."""


@dataclass(frozen=True)
class Spread:
    """One number per repeat."""

    each: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.each)

    def __truediv__(self, other: Spread) -> float:
        """The median of the ratios, repeat by repeat: what else ran then has slowed both down."""
        return statistics.median(a / b for a, b in zip(self.each, other.each, strict=True))

    def __str__(self) -> str:
        median, least, most = (f"{x:.{0 if self.median >= 100 else 1}f}" for x in
                               (self.median, min(self.each), max(self.each)))  # fmt: skip
        return median if len(self.each) == 1 else f"{median} ({least}–{most})"

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "median": self.median,
            "min": min(self.each),
            "max": max(self.each),
            "each": list(self.each),
        }


def spread(timings: Iterable[Timing], of: Callable[[Timing], float]) -> Spread:
    """One number of each timing."""
    return Spread(tuple(of(each) for each in timings))


def total(spreads: Iterable[Spread]) -> Spread:
    """Sums, repeat by repeat."""
    return Spread(tuple(map(sum, zip(*(each.each for each in spreads), strict=True))))


@dataclass
class Report:
    """What the command measured; parts that it was not asked for are empty or None."""

    speed: Speed
    device: torch.device
    trainings: Trainings | None = None
    floor: Floor | None = None
    compared: Sequence[Compared] = ()
    grown: dict[Axis, list[Grown]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def together(self) -> list[Timing]:
        return [] if self.trainings is None else self.trainings.together

    @property
    def alone(self) -> dict[str, list[Timing]]:
        return {} if self.trainings is None else self.trainings.alone

    @property
    def plain(self) -> dict[str, Spread]:
        found = {} if self.trainings is None else self.trainings.plain
        return {name: Spread(tuple(each)) for name, each in found.items()}

    @property
    def runs(self) -> list[str]:
        """The names of those that were timed."""
        return [] if self.trainings is None else [run.name for run in self.trainings.runs]

    @property
    def batch_size(self) -> int:
        assert self.trainings is not None
        return self.trainings.bench.materials.spec.recipe.batch_size

    def ratios(self) -> dict[str, float]:
        """Every ratio that bounds can name; what several runs share is that of all of them."""
        found: dict[str, float] = {}
        together, alone, plain = self.together, self.alone, self.plain
        one_by_one = total(spread(each, lambda t: t.wall) for each in alone.values()) if alone else None
        if together:
            wall = spread(together, lambda t: t.wall)
            found["overhead"] = wall / spread(together, lambda t: t.arithmetic) - 1
            found["memory_gib"] = max(each.memory_mb for each in together) / GIB
            if one_by_one is not None:
                found["cohort/parts"] = wall / self.parts_alone()
                found["cohort/alone"] = wall / one_by_one
            if self._every_run_is(plain):
                found["cohort/plain"] = wall / total(plain.values())
            if self.floor is not None:
                found["cohort/floor"] = wall.median / self.floor_ms(together[0])
        if one_by_one is not None and self._every_run_is(plain):
            found["alone/plain"] = one_by_one / total(plain.values())
        for each in self.compared:
            pair = Spread(tuple(each.ours)), Spread(tuple(each.theirs))
            found[each.comparison.name] = pair[0] / pair[1]
        return found

    def parts_alone(self) -> Spread:
        """One teacher pass, one data pass, second views and every run's own step, as they are alone."""
        timings = [each for each in self.alone.values() for each in each]
        passes = [each.teacher for each in timings if each.teacher is not None]
        shared = statistics.median(passes) if passes else 0.0
        shared += statistics.median(each.data for each in timings)
        seconds = spread(self.together, lambda t: t.second)
        own = [spread(each, lambda t, name=name: t.own[name]) for name, each in self.alone.items()]
        return Spread(tuple(shared + each for each in total([*own, seconds]).each))

    def floor_ms(self, timing: Timing) -> float:
        """The arithmetic floor of a step, in milliseconds."""
        assert self.floor is not None
        return self.floor.milliseconds(len(timing.own), int(timing.teacher is not None))

    def _every_run_is(self, plain: dict[str, Spread]) -> bool:
        """Whether no run is missing among the plain loops."""
        return self.trainings is not None and len(plain) == len(self.trainings.runs)

    def above(self) -> list[str]:
        """A line for each ratio above its bound, and for each comparison that computes something else.

        Raises UserError for a bound of what was not measured.
        """
        ratios, lines = self.ratios(), []
        for name, bound in self.speed.limits().items():
            if name not in ratios:
                raise UserError(f"--bounds: {unknown('ratio', name, ratios)}, or it was not measured")
            if not ratios[name] <= bound:
                lines.append(f"{name} is {ratios[name]:.3f}, above its bound {bound:g}")
        for each in self.compared:
            if not each.agrees:
                lines.append(
                    f"{each.comparison.name} differs from {each.comparison.rival} by {each.difference:.1e}"
                )
        return lines

    def content(self) -> dict[str, Any]:
        """All of it as plain values that JSON can hold."""
        settings = {
            name: value for name, value in dataclasses.asdict(self.speed).items() if value is not None
        }
        found: dict[str, Any] = {
            "format": FORMAT,
            "machine": machine(self.device),
            "settings": settings | {n: str(settings[n]) for n in ("data_dir", "json") if n in settings},
            "said": self.said,
            "ratios": self.ratios(),
        }
        if self.trainings is not None:
            data = self.trainings.bench.materials.data
            found["data"] = {
                "dataset": data.name,
                "samples": len(data.train),
                "classes": len(data.classes),
                "batch_size": self.batch_size,
                "random": self.speed.data_dir is None,
            }
        if self.together:
            found["cohort"] = self._timed(self.together)
        if self.alone:
            found["alone"] = {name: self._timed(each) for name, each in self.alone.items()}
        if self.plain:
            found["plain"] = {
                name: {"wall_ms": each.plain(), **self._rate(each, 1)} for name, each in self.plain.items()
            }
        if self.floor is not None:
            found["floor"] = dataclasses.asdict(self.floor)
            if self.together:
                found["floor"]["cohort_ms"] = self.floor_ms(self.together[0])
        found["comparisons"] = [_compared(each) for each in self.compared]
        found["growth"] = {
            axis: {"prediction": prediction(axis), "rows": [_grown(each) for each in rows]}
            for axis, rows in self.grown.items()
        }
        return found

    def write(self, file: Path) -> None:
        """Writes `content`. Raises UserError where it can't."""
        text = msgspec.json.format(msgspec.json.encode(self.content()), indent=2)
        try:
            write_whole(file, text + b"\n")
        except OSError as error:
            raise UserError(f"--json {file}: can't be written ({error.strerror or error})") from error

    def _timed(self, timings: list[Timing]) -> dict[str, Any]:
        """A training: times in milliseconds per step, memory in 10^6 bytes."""
        first = timings[0]

        def each(of: Callable[[Timing], float]) -> dict[str, Any]:
            return spread(timings, of).plain()

        wall = spread(timings, lambda t: t.wall)
        return {
            "wall_ms": wall.plain(),
            **self._rate(wall, len(first.own)),
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

    def _rate(self, wall: Spread, students: int) -> dict[str, float]:
        """Samples per second: of the batch, and counted for each student that learns from it."""
        rate = 1000 * self.batch_size / wall.median
        return {"samples_per_s": rate, "student_samples_per_s": rate * students}


def machine(device: torch.device) -> dict[str, Any]:
    """Where this was measured, by what code, and how busy the machine was."""
    origin = provenance(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "device": origin.device,
        "device_name": origin.device_name,
        "processor": _processor(),
        "cores": cores,
        "threads": origin.threads,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": origin.versions | {"torch": str(torch.__version__)},
        "commit": origin.commit,
        "clean": origin.clean,
        "command": origin.command,
        "finished": origin.finished,
    }


def _processor() -> str:
    """The CPU's model where Linux tells it, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


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
