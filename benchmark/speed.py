"""What everything costs: `python -m benchmark.speed --pair resnet32x4-resnet8x4 --baselines ...`."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import tyro
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table

from benchmark import plugins
from benchmark.cohorts import Cohort, Run
from benchmark.contracts import Batch, Data, Pair, Request, Samples
from benchmark.data.batches import TrainStream
from benchmark.data.splits import SplitSettings, make_splits
from benchmark.errors import UserError, unknown
from benchmark.evaluation.cost import peak_memory_mb
from benchmark.grid import Block, baseline_names
from benchmark.overrides import parse_overrides
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.seeds import generator
from benchmark.selection import Room
from benchmark.settings import Settings
from benchmark.training.cohort import CohortTraining
from benchmark.training.learner import make_network
from benchmark.training.loop import DATA_PASS, TEACHER_PASS, Loop
from benchmark.training.teacher import Teacher


@dataclass(frozen=True)
class Speed:
    """Time the teacher pass, the data, and each learner's step; the cohort beside its runs one by one.

    Samples are drawn from the task's embedded dataset, with random labels; weights are random.
    """

    pair: str
    """Teacher-student pair, as in run_all.py --list."""
    baselines: tuple[str, ...] = ()
    """Methods; by default the headline set, 'all' for every registered one."""
    steps: int = 10
    """Timed steps per repeat."""
    repeats: int = 3
    """Repeats; medians are printed."""
    batch_size: int | None = None
    """Samples per batch; by default the pair's."""
    samples: int = 50_000
    """Size of the train split (it decides the memory banks)."""
    classes: int = 100
    """Number of classes."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""
    precision: Literal["32", "bf16"] = "32"
    """32: float32; bf16: bfloat16 autocast."""


@dataclass
class Timing:
    """Milliseconds per step of one training: all of it by the clock on the wall, and its parts.

    teacher is None where no learner uses one, so that there was no teacher pass.
    """

    wall: float
    teacher: float | None
    data: float
    own: dict[str, float]
    memory_mb: float


class FirstSteps:
    """The first steps of a stream, as an epoch of their own."""

    def __init__(self, stream: TrainStream, steps: int):
        self._stream = stream
        self.steps_per_epoch = min(steps, stream.steps_per_epoch)

    def epoch(self, number: int) -> Iterator[Batch]:
        return self._stream.epoch(number)


def make_cohort(speed: Speed, registry: Registry) -> Cohort:
    """Every run of the pair as one cohort on random samples. Raises UserError for unknown names."""
    room, pair = _find(speed.pair, registry)
    data = _random(room.card.load(Request(cache=Settings().cache)), speed)
    settings = Settings(
        baselines=speed.baselines, seeds=(0,), batch_size=speed.batch_size, precision=speed.precision
    )
    split = SplitSettings(validation=0.0)
    overrides = parse_overrides((), registry)
    splits = make_splits(data, split)
    block = Block(settings, room, data, speed.pair, pair, split, splits, overrides, targets=None)
    cohorts = list(block.cohorts(baseline_names(settings, registry), registry))
    # Runs of other teachers (controls) cost the same with this one.
    return dataclasses.replace(cohorts[0], runs=tuple(run for cohort in cohorts for run in cohort.runs))


def _find(name: str, registry: Registry) -> tuple[Room, Pair]:
    """The first embedded dataset that has the pair."""
    known: set[str] = set()
    for task in registry.tasks.values():
        for dataset, card in task.datasets().items():
            pairs = task.pairs(dataset)
            known |= pairs.keys()
            pair = pairs.get(name) or task.custom_pair(dataset, name)
            if card.synthetic and pair is not None:
                return Room(task, dataset, card, task.presets()["quick"], known=False), pair
    raise unknown("pair", name, known)


def _random(template: Data, speed: Speed) -> Data:
    draw = generator(0, "speed")
    which = torch.randint(len(template.train), (speed.samples,), generator=draw)
    labels = torch.randint(speed.classes, (speed.samples, *template.train.labels.shape[1:]), generator=draw)
    train = Samples({name: x[which] for name, x in template.train.modalities.items()}, labels)
    return dataclasses.replace(template, train=train, classes=tuple(map(str, range(speed.classes))))


def time_training(
    cohort: Cohort, runs: tuple[Run, ...], teacher: Teacher, fabric: Fabric, steps: int
) -> Timing:
    """Milliseconds per step of `runs` trained together, after two steps that nobody times."""
    training = CohortTraining(cohort, runs, teacher, fabric)
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(fabric.device)
    began = 0.0
    for number in (2, steps):
        stream = FirstSteps(training.stream, number)
        loop = Loop(fabric, stream, 1, teacher.network, teacher.spec.modalities)
        _wait(fabric)
        began = time.perf_counter()
        for track in training.tracks:
            track.status = "training"
        watch = loop.run(training.tracks)
        _wait(fabric)
    wall = time.perf_counter() - began
    failed = [track for track in training.tracks if track.status != "finished"]
    if failed:
        raise UserError(f"{failed[0].name} {failed[0].status}: {failed[0].reason}")
    taken = stream.steps_per_epoch / 1000
    own = {track.name: watch.seconds(track.name) / taken for track in training.tracks}
    return Timing(
        wall / taken,
        watch.seconds(TEACHER_PASS) / taken if any(track.uses_teacher for track in training.tracks) else None,
        watch.seconds(DATA_PASS) / taken,
        own,
        peak_memory_mb(fabric.device),
    )


def _wait(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)


def measure(
    speed: Speed, registry: Registry, fabric: Fabric, say: Callable[[str], None] = print
) -> tuple[list[Timing], dict[str, list[Timing]]]:
    """Timings of the cohort and of every run alone, one of each per repeat, in turns."""
    cohort = make_cohort(speed, registry)
    spec = cohort.teacher
    network = make_network(spec.architecture, cohort.data, spec.modalities, 0, fabric.device)
    teacher = Teacher(spec, network.eval().requires_grad_(False), "", {}, torch.empty(0), {})
    runs = _suited(cohort, teacher, fabric, say)
    together: list[Timing] = []
    alone: dict[str, list[Timing]] = {run.baseline: [] for run in runs}
    for _ in range(speed.repeats):
        for run in runs:
            alone[run.baseline].append(time_training(cohort, (run,), teacher, fabric, speed.steps))
        together.append(time_training(cohort, runs, teacher, fabric, speed.steps))
    return together, alone


def _suited(cohort: Cohort, teacher: Teacher, fabric: Fabric, say: Callable[[str], None]) -> tuple[Run, ...]:
    """The runs that apply to the pair; `say` gets the reasons of the others. UserError where none does."""
    unsuited = CohortTraining(cohort, cohort.runs, teacher, fabric).unsuited
    reasons = [f"{each.run.baseline} is left out: {each.reason}" for each in unsuited]
    if len(unsuited) == len(cohort.runs):
        raise UserError("; ".join(reasons))
    for reason in reasons:
        say(reason)
    left_out = {each.run.baseline for each in unsuited}
    return tuple(run for run in cohort.runs if run.baseline not in left_out)


def show(
    together: list[Timing], alone: dict[str, list[Timing]], console: Console, *, memory_per_run: bool
) -> None:
    """Prints the table and the two ratios; only a CUDA device tells the memory of one run from another's."""
    every = [timing for timings in alone.values() for timing in timings]
    passes = [timing.teacher for timing in every if timing.teacher is not None]
    teacher = statistics.median(passes) if passes else 0.0
    data = statistics.median(timing.data for timing in every)
    own = {name: statistics.median(timing.own[name] for timing in timings) for name, timings in alone.items()}
    solo = {name: statistics.median(timing.wall for timing in timings) for name, timings in alone.items()}
    wall = statistics.median(timing.wall for timing in together)
    table = Table(title="Milliseconds per step (medians)", title_justify="left")
    for column in ("part", "own step", "run alone", "peak memory, MB"):
        table.add_column(column, justify="left" if column == "part" else "right")
    table.add_row("teacher pass", f"{teacher:.1f}", "", "")
    table.add_row("data", f"{data:.1f}", "", "")
    for name in own:
        memory = f"{alone[name][-1].memory_mb:.0f}" if memory_per_run else ""
        table.add_row(name, f"{own[name]:.1f}", f"{solo[name]:.1f}", memory)
    parts = teacher + data + sum(own.values())
    table.add_section()
    table.add_row("parts / one by one", f"{parts:.1f}", f"{sum(solo.values()):.1f}", "")
    table.add_row("cohort", f"{wall:.1f}", "", f"{together[-1].memory_mb:.0f}")
    console.print(table)
    console.print(
        f"cohort / (one teacher pass + own steps + one data pass): {wall / parts:.3f}", highlight=False
    )
    console.print(f"cohort / runs one by one: {wall / sum(solo.values()):.3f}", highlight=False)
    if not memory_per_run:
        console.print("Peak memory on a CPU is that of the process, all runs together.", highlight=False)


def main() -> int:
    """The command; its exit code."""
    speed = tyro.cli(Speed, prog="python -m benchmark.speed")
    try:
        fabric = make_fabric(speed.device, speed.precision)
        together, alone = measure(speed, plugins.load(), fabric)
    except UserError as error:
        print(f"benchmark.speed: {error}", file=sys.stderr)
        return 2
    show(together, alone, Console(), memory_per_run=fabric.device.type == "cuda")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
