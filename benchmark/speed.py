"""What everything costs: `python -m benchmark.speed --pair resnet32x4-resnet8x4 --baselines ...`."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import tyro
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table

from benchmark import plugins
from benchmark.contracts import Data, Pair, Request, Samples
from benchmark.contracts.distiller import SecondView
from benchmark.data.batches import Step, TrainStream
from benchmark.data.feed import read_all
from benchmark.data.split_settings import SplitFacts, SplitSettings
from benchmark.data.splits import splits_of
from benchmark.errors import UserError, unknown
from benchmark.evaluation.accuracy import metrics_of
from benchmark.evaluation.cost import Cost, peak_memory_mb
from benchmark.planning.datasets import DatasetChoice
from benchmark.planning.grid import PairPlanner
from benchmark.planning.hyperparameters import baseline_names
from benchmark.planning.overrides import parse_overrides
from benchmark.planning.specs import CohortSpec, DataSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.seeds import generator
from benchmark.settings import Precision, Settings
from benchmark.training.cohort import CohortTraining
from benchmark.training.loop import DATA_PASS, TEACHER_PASS, Loop, of_view
from benchmark.training.materials import Materials
from benchmark.training.stopwatch import Stopwatch
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
    precision: Precision = "32"
    """32: float32; bf16: bfloat16 autocast."""


@dataclass
class Timing:
    """Milliseconds per step of one training: all of it by the clock on the wall, and its parts.

    teacher    None where no learner uses one, so that there was no teacher pass
    second     second views and the teacher's passes over them, of the learners that ask for any
    unsound    run -> why its time may be of no worth: random weights and labels can make a loss diverge
    """

    wall: float
    teacher: float | None
    data: float
    own: dict[str, float]
    memory_mb: float
    second: float = 0.0
    unsound: dict[str, str] = field(default_factory=dict)


class FirstSteps:
    """The first steps of a stream, as an epoch of their own."""

    def __init__(self, stream: TrainStream, steps: int):
        self._stream = stream
        self.steps_per_epoch = min(steps, stream.steps_per_epoch)

    def steps(self, number: int, first: int = 0) -> Iterator[Step]:
        return self._stream.steps(number, first)


def make_materials(speed: Speed, registry: Registry) -> Materials:
    """Every run of the pair as one cohort on random samples. Raises UserError for unknown names."""
    choice, pair = _find(speed.pair, registry)
    settings = Settings(
        baselines=speed.baselines, seeds=(0,), batch_size=speed.batch_size, precision=speed.precision
    )
    data = _random(choice.card.load(Request(cache=settings.cache)), speed)
    split = SplitSettings(validation=0.0)
    spec = DataSpec(choice.task.name, choice.name, "", "stop", split, "", SplitFacts())
    planner = PairPlanner(settings, choice, spec, speed.pair, pair, parse_overrides((), registry))
    cohorts = list(planner.cohorts(baseline_names(settings, registry), registry))
    # Runs of other teachers (controls) cost the same with this one.
    teacher = cohorts[0].teacher
    runs = tuple(dataclasses.replace(run, teacher=teacher) for cohort in cohorts for run in cohort.runs)
    return Materials(
        CohortSpec(runs, probes=False),
        choice.task,
        choice.card,
        data,
        splits_of(data, split),
        metrics_of(choice.task, data),
        targets=None,
    )


def _find(name: str, registry: Registry) -> tuple[DatasetChoice, Pair]:
    """The first embedded dataset that has the pair, or else the first one that can make it of two names."""
    known: set[str] = set()
    custom: tuple[DatasetChoice, Pair] | None = None
    for task in registry.tasks.values():
        for dataset, card in task.datasets().items():
            pairs = task.pairs(dataset)
            known |= pairs.keys()
            if not card.synthetic:
                continue
            choice = DatasetChoice(task, dataset, card, task.presets()["quick"], known=False)
            if name in pairs:
                return choice, pairs[name]
            if custom is None and (pair := task.custom_pair(dataset, name)) is not None:
                custom = choice, pair
    if custom is None:
        raise unknown("pair", name, known)
    return custom


def _random(template: Data, speed: Speed) -> Data:
    draw = generator(0, "speed")
    which = torch.randint(len(template.train), (speed.samples,), generator=draw)
    labels = torch.randint(speed.classes, (speed.samples, *template.train.labels.shape[1:]), generator=draw)
    train = Samples({name: x[which] for name, x in read_all(template.train).items()}, labels)
    return dataclasses.replace(template, train=train, classes=tuple(map(str, range(speed.classes))))


@dataclass(frozen=True)
class Bench:
    """What trainings are timed on."""

    materials: Materials
    teacher: Teacher
    fabric: Fabric
    registry: Registry

    def training(self, runs: tuple[RunSpec, ...]) -> CohortTraining:
        """Those runs together, ready to start."""
        return CohortTraining(self.materials, runs, self.teacher, self.fabric, self.registry)

    def time(self, runs: tuple[RunSpec, ...], steps: int) -> Timing:
        """Milliseconds per step of `runs` trained together, after two steps that nobody times.

        A loss that diverges takes the same time: it is timed and named.
        """
        training, fabric = self.training(runs), self.fabric
        if fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(fabric.device)
        unsound: dict[str, str] = {}

        def take(steps: int) -> tuple[float, Stopwatch, int]:
            stream = FirstSteps(training.stream, steps)
            loop = Loop(fabric, stream, 1, self.teacher.network)
            for state in training.states:
                state.status = "training"
            _wait(fabric)
            began = time.perf_counter()
            watch = loop.run(training.states)
            _wait(fabric)
            return time.perf_counter() - began, watch, stream.steps_per_epoch

        for number in (2, steps):
            wall, watch, taken = take(number)
            ended = [state for state in training.states if state.status != "finished"]
            unsound |= {state.name: f"{state.status}: {state.reason.splitlines()[-1]}" for state in ended}
        per_step = 1000 / taken
        taught = any(state.uses_teacher for state in training.states)
        views: set[SecondView] = {state.learner.second_view for state in training.states}
        shared = (TEACHER_PASS, DATA_PASS)
        return Timing(
            wall * per_step,
            watch.seconds(TEACHER_PASS) * per_step if taught else None,
            watch.seconds(DATA_PASS) * per_step,
            {state.name: watch.seconds(state.name) * per_step for state in training.states},
            peak_memory_mb(fabric.device),
            sum(watch.seconds(of_view(part, view)) for part in shared for view in views) * per_step,
            unsound,
        )


def _wait(fabric: Fabric) -> None:
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)


def measure(
    speed: Speed, registry: Registry, fabric: Fabric, say: Callable[[str], None] = print
) -> tuple[list[Timing], dict[str, list[Timing]]]:
    """Timings of the cohort and of every run alone, one of each per repeat, in turns.

    `say` is told of runs that don't apply, and of those that diverge on random weights.
    """
    materials = make_materials(speed, registry)
    network = materials.teacher_network(fabric.device).eval().requires_grad_(False)
    teacher = Teacher(materials.spec.teacher, network, "", {}, {}, torch.empty(0), Cost(0, 0))
    bench = Bench(materials, teacher, fabric, registry)
    runs = suited(bench, say)
    together: list[Timing] = []
    alone: dict[str, list[Timing]] = {run.baseline: [] for run in runs}
    for _ in range(speed.repeats):
        for run in runs:
            alone[run.baseline].append(bench.time((run,), speed.steps))
        together.append(bench.time(runs, speed.steps))
    timings = [*together, *(timing for each in alone.values() for timing in each)]
    unsound = {name: reason for timing in timings for name, reason in timing.unsound.items()}
    for name, reason in unsound.items():
        say(f"{name} is timed although it {reason}")
    return together, alone


def suited(bench: Bench, say: Callable[[str], None]) -> tuple[RunSpec, ...]:
    """The runs that apply to the pair; `say` gets the reasons of the others. UserError where none does."""
    runs = bench.materials.spec.runs
    unsuited = bench.training(runs).unsuited
    reasons = [f"{each.run.baseline} is left out: {each.reason}" for each in unsuited]
    if len(unsuited) == len(runs):
        raise UserError("; ".join(reasons))
    for reason in reasons:
        say(reason)
    left_out = {each.run.baseline for each in unsuited}
    return tuple(run for run in runs if run.baseline not in left_out)


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
    second = statistics.median(timing.second for timing in together)
    if second:
        table.add_row("second views", f"{second:.1f}", "", "")
    for name in own:
        memory = f"{alone[name][-1].memory_mb:.0f}" if memory_per_run else ""
        table.add_row(name, f"{own[name]:.1f}", f"{solo[name]:.1f}", memory)
    parts = teacher + data + second + sum(own.values())
    table.add_section()
    table.add_row("parts / one by one", f"{parts:.1f}", f"{sum(solo.values()):.1f}", "")
    table.add_row("cohort", f"{wall:.1f}", "", f"{together[-1].memory_mb:.0f}")
    console.print(table)
    extra = " + second views" if second else ""
    console.print(
        f"cohort / (one teacher pass + own steps + one data pass{extra}): {wall / parts:.3f}", highlight=False
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
