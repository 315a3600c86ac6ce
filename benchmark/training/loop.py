"""The one training loop: teachers, students and first stages all go through it, one or many at a time."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from benchmark import interruption
from benchmark.contracts import Activations, Batch, Distiller, Progress, Recipe
from benchmark.contracts.distiller import SecondView
from benchmark.data.batches import Step
from benchmark.errors import DiskFull, RanksApart, Unreadable
from benchmark.evaluation.predictor import NotFinite
from benchmark.models import Network
from benchmark.ranks import Fabric, Share
from benchmark.ranks.gathering import tensors_of
from benchmark.seeds import RandomStream
from benchmark.training.learner import Learner
from benchmark.training.optimizers import learning_rate, make_optimizer
from benchmark.training.stopwatch import Stopwatch

TEACHER_PASS, DATA_PASS = "teacher pass", "data pass"
"""What a stopwatch calls the parts of a step that all learners share."""


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


@dataclass
class Best:
    """The weights of the epoch that scored best on validation (the earliest of equals)."""

    epoch: int
    score: float
    weights: dict[str, Tensor]


Status = Literal["training", "finished", "stopped", "diverged", "failed"]


@dataclass
class RunState:
    """One learner on its way through a training: its optimiser, schedule and random stream, and what it
    leaves behind.

    status          "training", then "finished", "stopped" (from outside), "diverged" (a loss that is not
                    finite) or "failed" (an error of its own code)
    stages_done     how many of its first stages are behind it
    stage           where the next one stands, if it has begun: its `position` and `progress`
    first_stages_s  what its first stages took, the teacher's passes and the data included
    early_arrays    small arrays that were taken on the way, for figures
    announce        is told when it ends early, at once
    """

    name: str
    learner: Learner
    recipe: Recipe
    stream: RandomStream
    parameters: list[nn.Parameter] = field(default_factory=list)
    status: Status = "training"
    reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None
    stages_done: int = 0
    stage: dict[str, Any] | None = None
    first_stages_s: float = 0.0
    early_arrays: dict[str, Tensor] = field(default_factory=dict)
    announce: Callable[[RunState], None] | None = None

    def __post_init__(self) -> None:
        self.parameters = self.parameters or [p for p in self.learner.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, self.recipe)
        self._sums: dict[str, Tensor] = {}

    @property
    def uses_teacher(self) -> bool:
        """Whether its terms depend on the teacher at all; where nobody's do, there is no teacher pass."""
        own = type(self.learner.distiller).forward is not Distiller.forward
        return own or self.learner.stage is not None

    def step(
        self,
        fabric: Fabric,
        teacher: Activations | None,
        batch: Batch,
        progress: Progress,
        second: Batch | None,
        whole: Batch,
    ) -> None:
        """One step on a batch and the second view that it asks for, on the learner's own random stream.

        Its student sees this rank's share of the `whole` batch, its loss everything that all ranks show.
        """
        ranks, learner = fabric.ranks, self.learner
        stage = learner.stage.name if learner.stage is not None else ""
        rate = learning_rate(self.recipe, progress.step, progress.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with ranks.together(), self.stream.active():
            with fabric.autocast():
                with ranks.own_draws(self.stream.seed, stage, progress.step):
                    shown = learner.shown(batch, second)
                student = ranks.shown(shown, len(whole["index"]))
                terms = learner.terms(teacher, student, whole, progress)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
            fabric.backward(loss)
        ranks.reduce(learner.network, self.parameters)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for name, value in terms.items():
            so_far = self._sums.get(name)
            self._sums[name] = value.detach().clone() if so_far is None else so_far.add_(value.detach())

    def close_epoch(self, epoch: int, steps: int) -> None:
        """Writes the epoch's mean terms into the history; retires the learner if one isn't finite."""
        terms = {name: float(total) / steps for name, total in self._sums.items()}
        self._sums = {}
        rate = self.optimizer.param_groups[0]["lr"]
        self.history.append(
            {"epoch": epoch, "terms": terms, "learning_rate": rate, "train": {"loss": sum(terms.values())}}
        )
        if bad := [name for name, value in terms.items() if not math.isfinite(value)]:
            self.retire("diverged", f"not finite in epoch {epoch + 1}: {', '.join(bad)}")

    def note_validation(self, epoch: int, scores: dict[str, float], higher_is_better: bool) -> None:
        """Writes validation scores into the history; keeps the weights if the first is the best yet."""
        self.history[-1]["validation"] = scores
        score = next(iter(scores.values()))
        if self.best is None or (score > self.best.score if higher_is_better else score < self.best.score):
            self.best = Best(epoch, score, copy.deepcopy(self.learner.state_dict()))

    def progress(self) -> dict[str, Any]:
        """What the training itself adds to the learner: the optimiser, and sums and means of the terms."""
        return {"optimizer": self.optimizer.state_dict(), "sums": self._sums, "history": self.history}

    def go_on(self, progress: Mapping[str, Any]) -> None:
        """Takes up what `progress` gave."""
        self.optimizer.load_state_dict(progress["optimizer"])
        self._sums = {name: total.to(self.stream.device) for name, total in progress["sums"].items()}
        self.history = list(progress["history"])

    def snapshot(self) -> dict[str, Any]:
        """Everything that decides how the training goes on."""
        return {
            "learner": self.learner.state_dict(),
            "progress": self.progress(),
            "stream": self.stream.states,
            "best": None if self.best is None else vars(self.best),
            "stages_done": self.stages_done,
            "stage": self.stage,
            "first_stages_s": self.first_stages_s,
            "early_arrays": self.early_arrays,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes back to where the snapshot was taken."""
        self.learner.load_state_dict(snapshot["learner"])
        self.go_on(snapshot["progress"])
        self.stream.states = tuple(snapshot["stream"])
        self.best = None if snapshot["best"] is None else Best(**snapshot["best"])
        for name in ("stages_done", "stage", "first_stages_s", "early_arrays"):
            setattr(self, name, snapshot[name])

    def retire(self, status: Literal["stopped", "diverged", "failed"], reason: str) -> None:
        """Ends its training early. `announce` is told of trouble, while the others go on."""
        self.status, self.reason = status, reason
        if self.announce is not None and status != "stopped":
            self.announce(self)


@dataclass(frozen=True)
class Loop:
    """What a training runs on: the device, the epochs, the batches, the teacher, and who watches.

    validate   learner -> scores (the first one decides) and whether higher is better
    log        gets every run after each of its epochs
    first      where the training goes on
    until      after how many epochs to pause; None: at the end
    keep       keeps the runs that go on, when that is due and when the process is asked to stop
    summarise  says in a line where the runs stand, for the display
    """

    fabric: Fabric
    stream: BatchSource
    epochs: int
    teacher: Network | None = None
    validate: Callable[[Learner], tuple[dict[str, float], bool]] | None = None
    display: Display | None = None
    log: Callable[[RunState], None] | None = None
    first: Position = START
    until: int | None = None
    keep: Keeper | None = None
    summarise: Callable[[Sequence[RunState]], str] = lambda states: summary(states)

    def run(self, states: Iterable[RunState], watch: Stopwatch | None = None) -> Stopwatch:
        """Trains everyone in lockstep; returns what the shared passes and each run (by name) cost.

        watch   goes on with what was measured before a pause

        Raises Interrupted where the process is asked to stop: after the step at hand, with everything kept.
        """
        states, watch = list(states), watch or Stopwatch(self.fabric.device)
        last = self.epochs if self.until is None else min(self.until, self.epochs)
        for state in states:
            state.learner.train()
        with interruption.between_steps():
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
            step = self._prepared(drawn, active, watch)
            untouched = step.versions
            for state in active:
                if state.status == "training":
                    second, shown = step.views.get(state.learner.second_view, (None, step.seen))
                    arguments = (self.fabric, shown, step.batch, progress, second, step.whole)
                    with watch.measure(state.name):
                        guard(state, partial(state.step, *arguments))
                    if step.versions != untouched:
                        state.retire("failed", CHANGED_IN_PLACE)
                        again = iter(self.stream.steps(epoch, number, self.fabric.ranks.share))
                        step = self._prepared(again, active, Stopwatch(self.fabric.device))
                        untouched = step.versions
            if self.display is not None:
                self.display.step()
            if number + 1 < steps:
                self._keep(Position(epoch, number + 1), active)
        for state in active:
            if state.status == "training":
                self._close_epoch(state, epoch, steps)

    def _prepared(self, drawn: Iterator[Step], active: list[RunState], watch: Stopwatch) -> _Shared:
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
        tensors += [tensor for each in shown if each is not None for tensor in tensors_of(each)]
        return sum(tensor._version for tensor in tensors)


def guard(state: RunState, action: Callable[[], object]) -> None:
    """An error in one learner's code ends that learner alone; without finite weights or answers it diverged.

    A full disk, a sample that can't be read and ranks that are apart are everybody's trouble, and are passed
    on.
    """
    try:
        action()
    except (DiskFull, RanksApart, Unreadable):
        raise
    except NotFinite as error:
        state.retire("diverged", str(error))
    except (Exception, SystemExit) as error:
        if all(bool(torch.isfinite(p).all()) for p in state.parameters):
            state.retire("failed", describe_error(error))
        else:
            state.retire("diverged", f"its weights were not finite: {error}")


def describe_error(error: BaseException) -> str:
    """An error with its traceback, as text."""
    return "".join(traceback.format_exception(error))


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
