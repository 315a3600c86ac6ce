"""Trains the runs of a cohort in lockstep and has each evaluated; writes nothing."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from benchmark import records
from benchmark.contracts import Context, NotApplicable
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.views import views_of
from benchmark.errors import RanksApart, UserError, storable
from benchmark.evaluation.cost import peak_memory_mb
from benchmark.models import Network
from benchmark.models.folding import folded
from benchmark.models.network import place
from benchmark.planning.specs import RunSpec
from benchmark.plugins import Registry
from benchmark.ranks import Fabric
from benchmark.seeds import RandomStream, derive
from benchmark.training.artifacts import Artifacts
from benchmark.training.composition import build_distiller, has_diagnostics
from benchmark.training.fused import Fusing
from benchmark.training.graphed import Graphs
from benchmark.training.learner import Learner
from benchmark.training.loop import (
    DATA_PASS,
    FUSED_PASS,
    START,
    TEACHER_PASS,
    Display,
    Keeper,
    Loop,
    Position,
    Shows,
    of_view,
    summary,
)
from benchmark.training.materials import Materials
from benchmark.training.networks import describe
from benchmark.training.outcomes import Examination, Outcome
from benchmark.training.remembered import Remembered
from benchmark.training.run_state import RunState, Status, describe_error, guard
from benchmark.training.stages import run_stages
from benchmark.training.stopwatch import Stopwatch
from benchmark.training.teacher import Teacher
from benchmark.undisturbed import torch_undisturbed


class CohortTraining:
    """One cohort at work: `runs` (some or all of the cohort's) on one teacher pass.

    first         where these runs go on, each from its snapshot (run's name -> `RunState.snapshot`)
    memory        what evaluation keeps between cohorts (see `Probing`, `Evaluation`, `CorruptedTest`)
    say           is told of a run that ends early, at once
    number        by which other ranks know it; they are told what it is to do, and do their part
    budget        bytes that its learners may keep in memory between steps: runs that would exceed it are
                  `left`, but for the first one
    """

    def __init__(
        self,
        materials: Materials,
        runs: tuple[RunSpec, ...],
        teacher: Teacher,
        fabric: Fabric,
        registry: Registry,
        first: Position = START,
        snapshots: Mapping[str, Mapping[str, Any]] | None = None,
        memory: dict[object, object] | None = None,
        say: Callable[[str], None] | None = None,
        number: int = 0,
        budget: float = math.inf,
    ):
        memory = {} if memory is None else memory
        self.materials, self.teacher, self.fabric, self._number = materials, teacher, fabric, number
        self.first, self.snapshots = first, snapshots or {}
        self.epochs_done = first.epoch
        self._watch = Stopwatch(fabric.device)
        self._fusing = Fusing() if fabric.fuse else None
        self._graphs = Graphs() if fabric.graphs else None
        self._registry, self._say = registry, say
        seen = (*teacher.spec.modalities, *materials.spec.student.modalities)
        self._seen = tuple(dict.fromkeys(seen))
        self._samples = materials.train
        self.stream = self._stream("train")
        self.batch = next(self.stream.epoch(0))
        artifacts = Artifacts(materials, self._samples, teacher, fabric, self._seen)
        self._examination = Examination(materials, teacher, fabric, artifacts, self.batch, memory, say)
        self.evaluation = self._examination.evaluation
        self.frozen = folded(teacher.network, self.batch) if fabric.fold else teacher.network
        self.taught = self._taught()
        self.unsuited: list[Outcome] = []
        self.runs: dict[str, RunSpec] = {}
        self.states: list[RunState] = []
        self.left: tuple[RunSpec, ...] = ()
        self.bytes = 0
        self._fill(runs, budget)

    def train(
        self,
        display: Display | None,
        log: Callable[[RunSpec, Mapping[str, Any]], None],
        keeper: Keeper | None = None,
    ) -> Iterator[Outcome]:
        """Trains everyone, then evaluates one after another.

        `log` gets each epoch of each run as it ends; `keeper` keeps runs that are under way.
        """
        self.advance(None, display, log, keeper)
        yield from self.unsuited
        for state in self.states:
            yield self.outcome(state)

    def advance(
        self,
        until: int | None,
        display: Display | None,
        log: Callable[[RunSpec, Mapping[str, Any]], None],
        keeper: Keeper | None = None,
        summarise: Callable[[Sequence[RunState]], str] = summary,
    ) -> None:
        """Trains everyone to the end of `until` epochs in all, or of the training; evaluates nothing.

        `summarise` says in a line where runs stand, for the display.
        """
        self.fabric.ranks.tell("advance", self._number, until, self.statuses)
        teacher = self.taught
        for state in (each for each in self.states if each.status == "training"):
            guard(state, partial(run_stages, state, self._stage_batches, teacher, self.fabric, keeper))
        epochs = self.materials.spec.recipe.epochs
        loop = Loop(
            self.fabric,
            self.stream,
            epochs,
            teacher,
            self.evaluation.validate if self.evaluation.validates else None,
            display,
            lambda state: self._close_epoch(state, log),
            self.first if self.epochs_done == self.first.epoch else Position(self.epochs_done, 0),
            until,
            keeper,
            summarise,
            self._fusing,
            self._graphs,
        )
        loop.run(self.states, self._watch)
        if self._fusing is not None and self._say is not None:
            for reason in self._fusing.refused():
                student = self.materials.spec.student.architecture
                self._say(f"--fuse: each {student} is computed by itself: {reason}")
        if self.fabric.fold and self.frozen is self.teacher.network and self._say is not None:
            self._say("--fold: the teacher is computed as it is: it has no norm that can be folded")
        if self._graphs is not None and self._say is not None:
            for reason in self._graphs.refused():
                self._say(f"--graphs: launched kernel by kernel: {reason}")
        self.epochs_done = max(self.epochs_done, epochs if until is None else min(until, epochs))

    @property
    def statuses(self) -> dict[str, tuple[Status, str]]:
        """How far each run is that began, and the reason where it has ended."""
        return {state.name: (state.status, state.reason) for state in self.states}

    def adopt(self, statuses: Mapping[str, tuple[Status, str]]) -> None:
        """Ends the runs that the first rank has ended. Raises RanksApart where it has begun others."""
        if statuses.keys() != self.statuses.keys():
            ours = [f"{each.run.name}: {each.reason}" for each in self.unsuited]
            raise RanksApart(f"processes disagree on which runs can train; here {', '.join(ours) or 'all'}")
        for state in self.states:
            state.status, state.reason = statuses[state.name]

    def release(self) -> None:
        """Lets go of the learners, which are no longer wanted; those that are left take their place."""
        self.fabric.ranks.tell("release", self._number)
        self.states, self.snapshots, self._fusing, self._graphs = [], {}, None, None
        self.taught = self.frozen
        if self.left:
            gc.collect()  # hooks of a network may refer to it

    def _taught(self) -> Shows:
        """The teacher in training: asked once where what it sees of a sample never changes."""
        network, data, samples = self.frozen, self.materials.data, self._samples
        if not self.stream.still(network.modalities):
            return network if self._graphs is None else partial(self._graphs, network)
        return Remembered(
            network,
            lambda: in_order(data, samples, network.modalities, self.fabric.device, self.stream.batch_size),
            len(samples),
        )

    def _fill(self, runs: tuple[RunSpec, ...], budget: float) -> None:
        """Makes runs ready to train, in order, as long as what they keep in memory is within the budget."""
        for number, run in enumerate(runs):
            ready = self._ready(run)
            if ready is None:
                continue
            state, kept = ready
            if self.states and self.bytes + kept > budget:
                self.left = runs[number:]
                return
            self.states.append(state)
            self.runs[run.name], self.bytes = run, self.bytes + kept

    def _ready(self, run: RunSpec) -> tuple[RunState, int] | None:
        """A run that can train, and the bytes that it keeps; None, and an outcome of it, where it can't."""
        try:
            with torch_undisturbed():
                state = self._state(run)
                return state, state.kept_bytes(self.evaluation.validates)
        except NotApplicable as reason:
            self.unsuited.append(Outcome(run, "not_applicable", storable(str(reason))))
        except UserError as error:
            if type(error) is not UserError:
                raise
            raise UserError(f"baseline {run.baseline!r}: {error}") from error
        except (Exception, SystemExit) as error:
            outcome = Outcome(run, "failed", describe_error(error))
            self.unsuited.append(outcome)
            self._announce(run.name, outcome.status, outcome.reason)
        return None

    def _announce(self, name: str, status: str, reason: str) -> None:
        if self._say is not None:
            self._say(f"{name} {status}: {reason.strip().splitlines()[-1]}")

    def _close_epoch(self, state: RunState, log: Callable[[RunSpec, Mapping[str, Any]], None]) -> None:
        """Passes the epoch on, with what the baseline measures of itself."""
        if state.status == "training" and has_diagnostics(state.learner.distiller):
            guard(state, lambda: self._look_at(state))
        guard(state, lambda: log(self.runs[state.name], state.history[-1]))

    def _look_at(self, state: RunState) -> None:
        """Numbers go into the history; the first epoch's arrays stay, to be seen beside those of the end."""
        shown = self._examination.artifacts.diagnostics(state)
        if measures := {name: float(value) for name, value in shown.items() if not value.ndim}:
            state.history[-1]["diagnostics"] = measures
        if len(state.history) == 1 and self.materials.spec.recipe.epochs > 1:
            state.early_arrays.update({name: value for name, value in shown.items() if value.ndim})

    def _stage_batches(self) -> TrainStream:
        # The name of the stream decides its draws: it stays what it was when the records were made.
        return self._stream("prelude")

    def _stream(self, purpose: str) -> TrainStream:
        materials = self.materials
        return TrainStream(
            materials.data, self._samples, materials.splits.labelled, materials.spec.recipe.batch_size,
            derive(materials.spec.seed, "student"), self.fabric.device, self._seen, purpose,
        )  # fmt: skip

    def _state(self, run: RunSpec) -> RunState:
        """A learner whose initial student is that of every other baseline with this seed."""
        device = self.fabric.device
        network = self.materials.student_network(device)
        self.fabric.ranks.prepared(network, self.materials.spec.student.architecture)
        context = self._context(network)
        with RandomStream(derive(run.seed, "distiller weights"), torch.device("cpu")).active():
            distiller = build_distiller(self._registry.parts(run.baseline), context, run.distiller_arguments)
        learner = Learner(network, distiller)
        place(learner, device, network.memory_format)
        stream = RandomStream(derive(run.seed, "learner"), device)
        state = RunState(
            run.name, learner, run.own_recipe, stream,
            announce=lambda ended: self._announce(ended.name, ended.status, ended.reason),
        )  # fmt: skip
        if run.name in self.snapshots:
            state.restore(self.snapshots[run.name])
        return state

    def _context(self, student: Network) -> Context:
        materials = self.materials
        return describe(
            self.teacher.network,
            student,
            self.batch,
            len(materials.data.classes),
            materials.train_labels,
            views_of(materials.data, self._seen),
        )

    def outcome(self, state: RunState) -> Outcome:
        """Evaluates a run that has ended; only the first rank has all of it."""
        self.fabric.ranks.tell("evaluate", self._number, state.name)
        outcome = Outcome(self.runs[state.name], "failed", history=state.history, learner=state.learner)
        if state.status != "failed":
            outcome.measurements = self.measurements(state)
            guard(state, lambda: self._examination.examine(state, outcome))
        assert state.status != "training"
        self._warn_of_idle_terms(state)
        outcome.status, outcome.reason = state.status, state.reason
        return outcome

    def _warn_of_idle_terms(self, state: RunState) -> None:
        """A term that is detached by mistake fails nowhere: the run trains as if it weren't there."""
        idle = [name for name, moves in state.moving.items() if not moves]
        if idle and state.status == "finished" and self._say is not None:
            self._say(
                f"warning: {state.name} trained without {', '.join(idle)}: no gradient came of it (was it "
                "detached, or computed of the teacher alone?)"
            )

    def measurements(self, state: RunState) -> records.Measurements:
        """What a run has cost so far; common passes are shared by those that took part, epoch by epoch.

        The teacher's is shared by those that use it: whoever learns from none pays nothing for it. A second
        view and the teacher's pass over it are shared by those that ask for that view.
        """
        watch, steps = self._watch, self.stream.steps_per_epoch
        view = state.learner.second_view
        asking = [each for each in self.states if each.learner.second_view == view]

        def per_step(part: str, sharers: Sequence[RunState]) -> float:
            before = self.first.epoch * steps + self.first.step
            return watch.seconds(part) / max(1, sum(len(each.history) * steps - before for each in sharers))

        own = per_step(state.name, [state])
        if state.fused > 1:
            own += per_step(FUSED_PASS, [each for each in self.states if each.fused > 1])
        data = per_step(DATA_PASS, self.states)
        teacher = 0.0
        if state.uses_teacher:
            teacher = per_step(TEACHER_PASS, [each for each in self.states if each.uses_teacher])
        if view:
            data += per_step(of_view(DATA_PASS, view), asking)
        if view and state.uses_teacher:
            teacher += per_step(of_view(TEACHER_PASS, view), [each for each in asking if each.uses_teacher])
        return records.Measurements(
            step_ms=1000 * own,
            teacher_share_ms=1000 * teacher,
            data_share_ms=1000 * data,
            own_s=watch.seconds(state.name),
            first_stages_s=state.first_stages_s,
            total_s=(own + teacher + data) * len(state.history) * steps + state.first_stages_s,
            peak_memory_mb=peak_memory_mb(self.fabric.device),
            cohort_size=len(self.states),
            fused=state.fused,
            graphed=self._graphs is not None and self._graphs.serves(state.learner.network),
            folded=state.uses_teacher and self.frozen is not self.teacher.network,
        )
