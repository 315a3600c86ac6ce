"""Trainings by the stopwatch: the cohort, each of its runs alone, each as a plain loop, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from benchmark.contracts.distiller import SecondView
from benchmark.data.batches import Step, TrainStream
from benchmark.errors import UserError
from benchmark.evaluation.cost import Cost, peak_memory_mb
from benchmark.planning.specs import RunSpec
from benchmark.plugins import Registry
from benchmark.ranks import WHOLE, Fabric, Share
from benchmark.speed.materials import make_materials
from benchmark.speed.parts import StepParts, parts_of, watched
from benchmark.speed.plain import PlainLoop, why_no_plain_loop
from benchmark.speed.settings import Speed, Way
from benchmark.training.cohort import CohortTraining
from benchmark.training.fused import Fusing
from benchmark.training.graphed import Graphs
from benchmark.training.loop import DATA_PASS, TEACHER_PASS, Loop, of_view
from benchmark.training.materials import Materials
from benchmark.training.run_state import RunState
from benchmark.training.stopwatch import Stopwatch
from benchmark.training.teacher import Teacher, TeacherTraining

WARM_UP = 2
"""Steps that nobody times."""


@dataclass
class Timing:
    """Milliseconds per step of one training: all of it by the clock on the wall, and its parts.

    teacher    None where no learner uses one, so that there was no teacher pass
    own        run -> its step, and `parts` what this consists of
    second     second views and the teacher's passes over them, of the learners that ask for any
    unsound    run -> why its time may be of no worth: random weights and labels can make a loss diverge
    """

    wall: float
    teacher: float | None
    data: float
    own: dict[str, float]
    parts: dict[str, StepParts]
    memory_mb: float
    second: float = 0.0
    unsound: dict[str, str] = field(default_factory=dict)

    @property
    def shared(self) -> float:
        """What all learners have in common."""
        return (self.teacher or 0.0) + self.data + self.second

    @property
    def arithmetic(self) -> float:
        """All that a loop without an engine would have to do as well."""
        return self.shared + sum(each.total for each in self.parts.values())


class FirstSteps:
    """The first steps of a stream, as an epoch of their own."""

    def __init__(self, stream: TrainStream, steps: int):
        self._stream = stream
        self.steps_per_epoch = min(steps, stream.steps_per_epoch)

    def steps(self, number: int, first: int = 0, share: Share = WHOLE) -> Iterator[Step]:
        return self._stream.steps(number, first, share)


class Refused(Exception):
    """Networks can't be computed in the way that was asked for."""


@dataclass(frozen=True)
class Bench:
    """What trainings are timed on."""

    materials: Materials
    teacher: Teacher
    fabric: Fabric
    registry: Registry

    @property
    def batch_size(self) -> int:
        """Samples per step: the recipe's, or all where there are fewer."""
        return min(self.materials.spec.recipe.batch_size, len(self.materials.splits.train))

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
            stream, watch = FirstSteps(training.stream, steps), Stopwatch(fabric.device)
            loop = Loop(fabric, stream, 1, training.taught)
            for state in training.states:
                state.status = "training"
            with watched(training.states, fabric, watch):
                wait(fabric)
                began = time.perf_counter()
                loop.run(training.states, watch)
                wait(fabric)
                return time.perf_counter() - began, watch, stream.steps_per_epoch

        for number in (WARM_UP, steps):
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
            {state.name: parts_of(state.name, watch, per_step) for state in training.states},
            peak_memory_mb(fabric.device),
            sum(watch.seconds(of_view(part, view)) for part in shared for view in views) * per_step,
            unsound,
        )

    def time_as(self, way: Way, runs: tuple[RunSpec, ...], steps: int) -> float:
        """Milliseconds per step of `runs` whose students one pass computes, or whose passes are launched as
        CUDA graphs, after steps that nobody times. Raises Refused where they can't be."""
        training, wall = self.training(runs), 0.0
        taken: Fusing | Graphs = Fusing() if way == "fused" else Graphs()
        for number in (WARM_UP, steps):
            stream = FirstSteps(training.stream, number)
            loop = Loop(self.fabric, stream, 1, training.taught)
            if isinstance(taken, Graphs):
                loop = replace(loop, teacher=partial(taken, training.frozen), graphs=taken)
            else:
                loop = replace(loop, fusing=taken)
            wall = _milliseconds(loop, training.states)
            if reasons := taken.refused():
                raise Refused(reasons[0])
        return wall

    def time_teacher(self, steps: int) -> float:
        """Milliseconds per step of the teacher's own training, after two steps that nobody times."""
        network = self.materials.teacher_network(self.fabric.device)
        training, wall = TeacherTraining(self.materials, network, self.fabric), 0.0
        for number in (WARM_UP, steps):
            loop = Loop(self.fabric, FirstSteps(training.stream, number), 1)
            wall = _milliseconds(loop, [training.state])
        return wall

    def time_plainly(self, run: RunSpec, steps: int, workers: int) -> float:
        """Milliseconds per step of a run as a plain loop, after as many steps that nobody times."""
        training = self.training((run,))
        (state,) = training.states
        loop = PlainLoop(self.materials, state, run, self.fabric, workers)
        loop.train(WARM_UP)
        wait(self.fabric)
        began = time.perf_counter()
        taken = min(steps, training.stream.steps_per_epoch)
        loop.train(taken)
        wait(self.fabric)
        return 1000 * (time.perf_counter() - began) / taken


def _milliseconds(loop: Loop, states: Sequence[RunState]) -> float:
    """Per step of a loop's one epoch."""
    for state in states:
        state.status = "training"
    wait(loop.fabric)
    began = time.perf_counter()
    loop.run(states)
    wait(loop.fabric)
    return 1000 * (time.perf_counter() - began) / loop.stream.steps_per_epoch


def wait(fabric: Fabric) -> None:
    """Until the device has done everything that it was given."""
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)


@dataclass(frozen=True)
class Trainings:
    """What was timed, one of each per repeat; empty where it was not to be.

    alone, plain   run -> its timings, or milliseconds per step as a plain loop
    fused          milliseconds per step of the cohort with one pass for its students
    graphed        the same with passes launched as CUDA graphs
    """

    bench: Bench
    runs: tuple[RunSpec, ...]
    together: list[Timing]
    alone: dict[str, list[Timing]]
    plain: dict[str, list[float]]
    fused: list[float] = field(default_factory=list)
    graphed: list[float] = field(default_factory=list)


def make_bench(speed: Speed, registry: Registry, fabric: Fabric) -> Bench:
    """A bench for what the settings name."""
    return bench_of(make_materials(speed, registry), registry, fabric)


def bench_of(materials: Materials, registry: Registry, fabric: Fabric) -> Bench:
    """A bench with an untrained teacher."""
    network = materials.teacher_network(fabric.device).eval().requires_grad_(False)
    teacher = Teacher(materials.spec.teacher, network, "", {}, {}, torch.empty(0), Cost(0, 0))
    return Bench(materials, teacher, fabric, registry)


def measure(
    speed: Speed, registry: Registry, fabric: Fabric, say: Callable[[str], None] = print
) -> Trainings:
    """Timings of the cohort, of every run alone and as a plain loop, one of each per repeat, in turns.

    `say` is told of what is left out, and of runs that diverge on random weights.
    """
    bench = make_bench(speed, registry, fabric)
    runs = suited(bench, say)
    plainly = _plain_runs(speed, bench, runs, say)
    done, refused = Trainings(bench, runs, [], {}, {}), set[Way]()
    ways: dict[Way, list[float]] = {"fused": done.fused, "graphs": done.graphed}
    for _ in range(speed.repeats):
        for run in runs:
            if "alone" in speed.measure:
                done.alone.setdefault(run.name, []).append(bench.time((run,), speed.steps))
            if run in plainly:
                taken = bench.time_plainly(run, speed.steps, speed.workers)
                done.plain.setdefault(run.name, []).append(taken)
        for way, taken in ways.items():
            if way not in speed.measure or way in refused:
                continue
            try:
                taken.append(bench.time_as(way, runs, speed.steps))
            except Refused as reason:
                refused.add(way)
                say(f"{way} is left out: {reason}")
        if "cohort" in speed.measure:
            done.together.append(bench.time(runs, speed.steps))
    timings = [*done.together, *(timing for each in done.alone.values() for timing in each)]
    unsound = {name: reason for timing in timings for name, reason in timing.unsound.items()}
    for name, reason in unsound.items():
        say(f"{name} is timed although it {reason}")
    return done


class NoneSuited(UserError):
    """No run applies to the pair."""


def suited(bench: Bench, say: Callable[[str], None]) -> tuple[RunSpec, ...]:
    """The runs that apply to the pair; `say` gets the reasons of the others. Raises NoneSuited."""
    runs = bench.materials.spec.runs
    unsuited = bench.training(runs).unsuited
    reasons = [f"{each.run.baseline} is left out: {each.reason}" for each in unsuited]
    if len(unsuited) == len(runs):
        raise NoneSuited("; ".join(reasons))
    for reason in reasons:
        say(reason)
    left_out = {each.run.baseline for each in unsuited}
    return tuple(run for run in runs if run.baseline not in left_out)


def _plain_runs(
    speed: Speed, bench: Bench, runs: tuple[RunSpec, ...], say: Callable[[str], None]
) -> tuple[RunSpec, ...]:
    """The runs that can be plain loops: none without real images, or where it was not asked for."""
    if "plain" not in speed.measure:
        return ()
    if speed.data_dir is None:
        say("plain loops are left out: give --data-dir")
        return ()
    reasons = {state.name: why_no_plain_loop(bench.materials, state) for state in bench.training(runs).states}
    for name, reason in reasons.items():
        if reason:
            say(f"{name} is left out of the plain loops: {reason}")
    return tuple(run for run in runs if not reasons[run.name])
