"""How a cohort's step grows with one thing at a time, beside what arithmetic predicts."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmark.errors import UserError
from benchmark.plugins import Registry
from benchmark.ranks import Fabric
from benchmark.speed.bench import Timing, make_bench, suited
from benchmark.speed.floor import macs, step_macs
from benchmark.speed.settings import Axis, Speed


@dataclass(frozen=True)
class Grown:
    """One row: the milliseconds per step, one per repeat, and what was predicted from the first row's.

    size       the number of baselines, the batch size and so on
    macs       multiply-accumulates of the networks in a step
    predicted  None in the row that predicts the others
    """

    size: int
    each: list[float]
    macs: int
    memory_mb: float
    predicted: float | None

    @property
    def wall(self) -> float:
        return statistics.median(self.each)


def prediction(axis: Axis) -> str:
    """What the predictions of a table are, in words."""
    if axis == "baselines":
        return "data, the teacher pass and these runs' steps, as the largest cohort has them"
    return "the first row's, by the multiply-accumulates of the networks"


def grow(
    axis: Axis,
    sizes: tuple[int, ...],
    speed: Speed,
    registry: Registry,
    fabric: Fabric,
    say: Callable[[str], None],
) -> list[Grown]:
    """The table of an axis. `say` is told of baselines that don't apply."""
    if axis == "baselines":
        return _more_baselines(sizes, speed, registry, fabric, say)
    rows: list[Grown] = []
    for size in sizes:
        bench = make_bench(_of_size(axis, size, speed), registry, fabric)
        runs = suited(bench, say if not rows else lambda reason: None)
        timings = [bench.time(runs, speed.steps) for _ in range(speed.repeats)]
        teacher, student = macs(bench)
        taught = timings[0].teacher is not None
        count = bench.batch_size * step_macs(teacher, student, len(runs), taught)
        predicted = rows[0].wall * (count / rows[0].macs) if rows else None
        rows.append(_row(size, timings, count, predicted))
    return rows


def _of_size(axis: Axis, size: int, speed: Speed) -> Speed:
    """Random samples of that size."""
    match axis:
        case "batch":
            changed = replace(speed, batch_size=size)
        case "classes":
            changed = replace(speed, classes=size)
        case "bank":
            changed = replace(speed, samples=size)
        case _:
            changed = replace(speed, image_size=size)
    changed = replace(changed, data_dir=None)
    changed.check()
    return changed


def _more_baselines(
    sizes: tuple[int, ...], speed: Speed, registry: Registry, fabric: Fabric, say: Callable[[str], None]
) -> list[Grown]:
    """Cohorts of the first baselines, as many as there are."""
    bench = make_bench(replace(speed, data_dir=None), registry, fabric)
    runs = suited(bench, say)
    kept = sorted({size for size in sizes if size <= len(runs)})
    if not kept:
        raise UserError(f"--grow baselines: {len(runs)} apply to the pair: give sizes up to that")
    if max(sizes) > len(runs):
        say(f"cohorts of more than {kept[-1]} are left out: {len(runs)} baselines are given, see --baselines")
    timed: dict[int, list[Timing]] = {size: [] for size in kept}
    for _ in range(speed.repeats):
        for size in kept:
            timed[size].append(bench.time(runs[:size], speed.steps))
    teacher, student = macs(bench)
    rows, largest = [], timed[kept[-1]]
    for size in kept:
        taught = timed[size][0].teacher is not None
        parts = [
            each.data + each.second + taught * (each.teacher or 0.0)
            + sum(each.own[run.name] for run in runs[:size])
            for each in largest
        ]  # fmt: skip
        count = bench.batch_size * step_macs(teacher, student, size, taught)
        rows.append(_row(size, timed[size], count, statistics.median(parts)))
    return rows


def _row(size: int, timings: list[Timing], count: int, predicted: float | None) -> Grown:
    return Grown(size, [each.wall for each in timings], count, timings[-1].memory_mb, predicted)
