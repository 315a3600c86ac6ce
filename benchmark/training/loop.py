"""The one training loop: teachers, students and first stages all go through it, one or many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

import torch

from benchmark import graphs, interruption
from benchmark.contracts import Activations, Batch, Progress
from benchmark.contracts.distiller import SecondView
from benchmark.data.batches import Step
from benchmark.errors import RanksApart
from benchmark.ranks import Fabric, Share
from benchmark.training.fused import Fused, Fusing
from benchmark.training.graphed import Graphs
from benchmark.training.learner import Learner
from benchmark.training.run_state import RunState, guard
from benchmark.training.stopwatch import Stopwatch

TEACHER_PASS, DATA_PASS = "teacher pass", "data pass"
"""What a stopwatch calls the parts of a step that all learners share."""
FUSED_PASS = "fused pass"
"""What it calls the passes forth and back over students that are computed together."""


def of_view(part: str, view: SecondView) -> str:
    """What a stopwatch calls such a part of a second view, shared by the learners that ask for it."""
    return f"{part} of the {view} view"


class Position(NamedTuple):
    """How far a training is: so many whole epochs, and so many steps of the next one."""

    epoch: int
    step: int

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step + 1}" if self.step else f"epoch {self.epoch + 1}"


START = Position(0, 0)


Shows = Callable[[Batch], Activations]
"""A network, as far as it is asked what it shows of a batch."""

Views = dict[SecondView, tuple[Batch, Activations | None]]
"""Second views of a step: the batch, and what the teacher shows of both views."""

CHANGED_IN_PLACE = (
    "its code changes in place what all learners are shown (the batch or the teacher's activations): "
    "let it work on a copy, such as teacher.logits.clone()"
)


class BatchSource(Protocol):
    """Where batches come from: `data.batches.TrainStream`, or a part of one."""

    @property
    def steps_per_epoch(self) -> int: ...

    def steps(self, number: int, first: int = 0, share: Share = ...) -> Iterable[Step]: ...


class Keeper(Protocol):
    """Who keeps the states of a training so that it can go on from there: `snapshots.Snapshots`."""

    def due(self) -> bool: ...

    def keep(self, position: Position, states: Iterable[RunState]) -> None: ...


class Display(Protocol):
    """Who is told how far a training is."""

    def epoch(self, epoch: int, epochs: int, steps: int) -> None: ...

    def step(self) -> None: ...

    def epoch_done(self, epoch: int, epochs: int, line: str) -> None: ...


@dataclass(frozen=True)
class Loop:
    """What a training runs on: the device, the epochs, the batches, the teacher, and who watches.

    validate   learner -> scores (the first one decides) and whether higher is better
    log        gets every run after each of its epochs
    first      where the training goes on
    until      after how many epochs to pause; None: at the end
    keep       keeps the runs that go on, when that is due and when the process is asked to stop
    summarise  says in a line where the runs stand, for the display
    fusing     finds students that one pass can compute; None: each is computed by itself
    graphs     launches passes as CUDA graphs; None: kernel by kernel
    """

    fabric: Fabric
    stream: BatchSource
    epochs: int
    teacher: Shows | None = None
    validate: Callable[[Learner], tuple[dict[str, float], bool]] | None = None
    display: Display | None = None
    log: Callable[[RunState], None] | None = None
    first: Position = START
    until: int | None = None
    keep: Keeper | None = None
    summarise: Callable[[Sequence[RunState]], str] = lambda states: summary(states)
    fusing: Fusing | None = None
    graphs: Graphs | None = None

    def run(self, states: Iterable[RunState], watch: Stopwatch | None = None) -> Stopwatch:
        """Trains everyone in lockstep; returns what the shared passes and each run (by name) cost.

        watch   goes on with what was measured before a pause

        Raises Interrupted where the process is asked to stop: after the step at hand, with everything kept.
        """
        states, watch = list(states), watch or Stopwatch(self.fabric.device)
        last = self.epochs if self.until is None else min(self.until, self.epochs)
        for state in states:
            state.learner.train()
        with interruption.between_steps(), graphs.wanted(self.graphs is not None):
            for epoch in range(self.first.epoch, last):
                active = [state for state in states if state.status == "training"]
                if not active:
                    break
                self._one_epoch(epoch, active, watch)
                self._agree(active)
                if self.display is not None:
                    self.display.epoch_done(epoch, self.epochs, self.summarise(active))
                if epoch + 1 < self.epochs:
                    self._keep(Position(epoch + 1, 0), active)
        for state in states:
            if state.status == "training" and last == self.epochs:
                state.status = "finished"
        return watch

    def _one_epoch(self, epoch: int, active: list[RunState], watch: Stopwatch) -> None:
        steps = self.stream.steps_per_epoch
        if self.display is not None:
            self.display.epoch(epoch, self.epochs, steps)
        first = self.first.step if epoch == self.first.epoch else 0
        drawn = iter(self.stream.steps(epoch, first, self.fabric.ranks.share))
        for number in range(first, steps):
            progress = Progress(epoch, self.epochs, epoch * steps + number, self.epochs * steps)
            turn = _Turn(self, active, progress, watch, self.prepared(drawn, active, watch))
            together = self._together(active, turn.shared.batch)
            for states, fused in together:
                turn.step_together(states, fused)
            fused_states = [state for states, _ in together for state in states]
            for state in active:
                if state.status == "training" and state not in fused_states:
                    turn.step(state)
            if self.display is not None:
                self.display.step()
            if number + 1 < steps:
                self._keep(Position(epoch, number + 1), active)
        for state in active:
            if state.status == "training":
                self._close_epoch(state, epoch, steps)

    def prepared(self, drawn: Iterator[Step], active: list[RunState], watch: Stopwatch) -> _Shared:
        """The next of the steps that are drawn, with what the teacher shows of it."""
        ranks = self.fabric.ranks
        with ranks.together():
            with watch.measure(DATA_PASS):
                step = next(drawn)
                whole = ranks.whole(step.batch, step.facts)
            with watch.measure(TEACHER_PASS):
                taught = any(state.uses_teacher for state in active)
                own = self._teacher_pass(step.batch) if taught else None
                seen = None if own is None else ranks.shown(own, len(whole["index"]))
            return _Shared(step.batch, whole, seen, self._second_views(active, step, own, watch))

    def _together(self, active: list[RunState], batch: Batch) -> list[tuple[list[RunState], Fused]]:
        """Those in training whose students one pass computes, and the pass."""
        if self.fusing is None:
            return []
        able = [state for state in active if state.status == "training" and state.fusible]
        found = self.fusing.find([state.learner.network for state in able], batch)
        together = [([able[number] for number in numbers], fused) for numbers, fused in found]
        for states, _ in together:
            for state in states:
                state.fused = len(states)
        return together

    def _agree(self, active: Iterable[RunState]) -> None:
        """Where one of several ranks is told of something that the others don't see (a log that can't be
        written), all go by the first. Raises RanksApart where another has ended a run alone."""
        for state in active:
            status, reason = self.fabric.ranks.from_first((state.status, state.reason))
            if status == state.status:
                continue
            if state.status != "training" or status in ("training", "finished"):
                raise RanksApart(f"{state.name} {state.status} in one process alone: {state.reason}")
            state.retire(status, reason)

    def _keep(self, position: Position, active: Iterable[RunState]) -> None:
        """Keeps everyone where that is due; ends here where the process was asked to stop, or one that
        trains along."""
        heard = self.fabric.ranks.signal(interruption.asked())
        if heard is not None:
            interruption.ask(heard)
        if self.keep is not None and (self.keep.due() or interruption.asked()):
            self.keep.keep(position, [state for state in active if state.status == "training"])
        interruption.end_if_asked()

    def _second_views(
        self, active: list[RunState], step: Step, own: Activations | None, watch: Stopwatch
    ) -> Views:
        """Each second view that somebody in training asks for: its batch, and what the teacher shows of both;
        `own` is what it shows of the first, of this rank's rows."""
        found: Views = {}
        for state in active:
            view = state.learner.second_view
            if state.status != "training" or not view or view in found:
                continue
            with watch.measure(of_view(DATA_PASS, view)):
                second = step.second(view)
            with watch.measure(of_view(TEACHER_PASS, view)):
                if own is not None:
                    both = replace(own, second=self._teacher_pass(second))
                    found[view] = second, self.fabric.ranks.shown(both, len(step.facts["index"]))
                else:
                    found[view] = second, None
        return found

    def _close_epoch(self, state: RunState, epoch: int, steps: int) -> None:
        state.close_epoch(epoch, steps)
        if state.status == "training" and self.validate is not None:
            validate = self.validate
            guard(state, lambda: state.note_validation(epoch, *validate(state.learner)))
        if self.log is not None:
            self.log(state)

    @torch.no_grad()
    def _teacher_pass(self, batch: Batch) -> Activations | None:
        if self.teacher is None:
            return None
        with self.fabric.autocast():
            return self.teacher(batch)


@dataclass(frozen=True)
class _Shared:
    """What all learners are shown in a step: the batch (of this rank, and whole), what the teacher shows of
    it, and second views."""

    batch: Batch
    whole: Batch
    seen: Activations | None
    views: Views

    @property
    def versions(self) -> int:
        """How often its tensors were written to, as torch counts it."""
        batches = (self.batch, self.whole, *(second for second, _ in self.views.values()))
        shown = (self.seen, *(each for _, each in self.views.values()))
        tensors = [tensor for batch in batches for tensor in batch.values()]
        tensors += [tensor for each in shown if each is not None for tensor in each.tensors()]
        return sum(tensor._version for tensor in tensors)


@dataclass
class _Turn:
    """A step of everybody, on what all are shown."""

    loop: Loop
    active: list[RunState]
    progress: Progress
    watch: Stopwatch
    shared: _Shared

    def step(self, state: RunState) -> None:
        """The whole step of one learner."""
        second, seen = self.shared.views.get(state.learner.second_view, (None, self.shared.seen))
        batch, whole, learner = self.shared.batch, self.shared.whole, state.learner
        show = partial(learner.shown, batch, second)
        # A graph has room for what is shown of one view.
        if self.loop.graphs is not None and second is None:
            show = partial(self.loop.graphs, learner.network, batch)
        self._take(state, partial(state.step, self.loop.fabric, seen, show, self.progress, whole))

    def step_together(self, states: list[RunState], fused: Fused) -> None:
        """The steps of learners whose students one pass computes: each has its own loss, and the gradients of
        what its student shows go back through one pass."""
        fabric = self.loop.fabric
        with self.watch.measure(FUSED_PASS), fabric.autocast():
            shown = fused(self.shared.batch)
        leaves = [each.map(lambda x: x.detach().requires_grad_()) for each in shown]
        for state, student in zip(states, leaves, strict=True):
            seen, whole = self.shared.seen, self.shared.whole
            show: Callable[[], Activations] = partial(replace, student)
            self._take(state, partial(state.learn, fabric, seen, show, self.progress, whole))
        with self.watch.measure(FUSED_PASS):
            ends = [x for each in shown for x in each.tensors()]
            gradients = [x.grad for each in leaves for x in each.tensors()]
            reached = [number for number, gradient in enumerate(gradients) if gradient is not None]
            torch.autograd.backward([ends[n] for n in reached], [gradients[n] for n in reached])
        for state in states:
            if state.status == "training":
                self._take(state, partial(state.update, fabric))

    def _take(self, state: RunState, action: Callable[[], None]) -> None:
        """A learner's part of the step. What it was shown is made anew if it has changed that."""
        untouched = self.shared.versions
        with self.watch.measure(state.name):
            guard(state, action)
        if self.shared.versions != untouched:
            state.retire("failed", CHANGED_IN_PLACE)
            loop, progress = self.loop, self.progress
            number = progress.step - progress.epoch * loop.stream.steps_per_epoch
            again = iter(loop.stream.steps(progress.epoch, number, loop.fabric.ranks.share))
            self.shared = loop.prepared(again, self.active, Stopwatch(loop.fabric.device))


def summary(states: Iterable[RunState]) -> str:
    """One line on where the runs stand: the first validation score, or else the training loss."""
    words = []
    for state in states:
        if state.status != "training":
            words.append(f"{state.name} {state.status}")
        elif scores := state.history[-1].get("validation"):
            words.append(f"{state.name} {next(iter(scores.values())):.3f}")
        else:
            words.append(f"{state.name} loss {state.history[-1]['train']['loss']:.3f}")
    return "  ".join(words)
