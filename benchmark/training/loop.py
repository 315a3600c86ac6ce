"""The one training loop: teachers, students and first stages all go through it, one or many at a time."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from benchmark.contracts import Activations, Batch, Distiller, Progress, Recipe
from benchmark.data.batches import TrainStream
from benchmark.models.network import Network, look
from benchmark.seeds import RandomStream
from benchmark.training.learner import Learner
from benchmark.training.optimizers import learning_rate, make_optimizer
from benchmark.training.stopwatch import Stopwatch

TEACHER_PASS, DATA_PASS = "teacher pass", "data pass"
"""What a stopwatch calls the parts of a step that all learners share."""


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


@dataclass
class Track:
    """One learner's way through a training: its optimiser, schedule and random stream, and what it leaves
    behind.

    status: "training", then "finished", "diverged" (a loss that is not finite) or "failed" (an error of its
    own code).
    first_stages_s: what its first stages took, the teacher's passes and the data included.
    early_arrays: small arrays that were taken on the way, for figures.
    """

    name: str
    learner: Learner
    recipe: Recipe
    stream: RandomStream
    parameters: list[nn.Parameter] = field(default_factory=list)
    status: str = "training"
    reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Best | None = None
    first_stages_s: float = 0.0
    early_arrays: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = self.parameters or [p for p in self.learner.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, self.recipe)
        self._sums: dict[str, Tensor] = {}

    @property
    def uses_teacher(self) -> bool:
        """Whether its terms depend on the teacher at all; where nobody's do, there is no teacher pass."""
        own = type(self.learner.distiller).forward is not Distiller.forward
        return own or self.learner.prelude is not None

    def step(self, fabric: Fabric, teacher: Activations | None, batch: Batch, progress: Progress) -> None:
        """One step on one batch, on the learner's own random stream."""
        rate = learning_rate(self.recipe, progress.step, progress.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.stream.active():
            with fabric.autocast():
                terms = self.learner(teacher, batch, progress)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
            fabric.backward(loss)
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

    def state(self) -> dict[str, Any]:
        """Everything that decides how the training goes on."""
        return {
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stream": self.stream.states,
            "history": self.history,
            "best": None if self.best is None else vars(self.best),
            "first_stages_s": self.first_stages_s,
            "early_arrays": self.early_arrays,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to where `state` was taken."""
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stream.states = tuple(state["stream"])
        self.history = list(state["history"])
        self.best = None if state["best"] is None else Best(**state["best"])
        self.first_stages_s = state.get("first_stages_s", 0.0)
        self.early_arrays = state.get("early_arrays", {})

    def retire(self, status: str, reason: str) -> None:
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Loop:
    """What a training runs on: the device, the epochs, the batches, the teacher, and who watches.

    validate   learner -> scores (the first one decides) and whether higher is better
    log        gets every track after each of its epochs
    keep       gets the number of finished epochs and the tracks that go on
    """

    fabric: Fabric
    stream: TrainStream
    epochs: int
    teacher: Network | None = None
    teacher_modalities: tuple[str, ...] = ()
    validate: Callable[[Learner], tuple[dict[str, float], bool]] | None = None
    display: Display | None = None
    log: Callable[[Track], None] | None = None
    first_epoch: int = 0
    keep: Callable[[int, list[Track]], None] | None = None

    def run(self, tracks: Iterable[Track]) -> Stopwatch:
        """Trains every track in lockstep; returns what the shared passes and each track (by name) cost."""
        tracks, watch = list(tracks), Stopwatch(self.fabric.device)
        for track in tracks:
            track.learner.train()
        for epoch in range(self.first_epoch, self.epochs):
            active = [track for track in tracks if track.status == "training"]
            if not active:
                break
            self._one_epoch(epoch, active, watch)
            if self.display is not None:
                self.display.epoch_done(epoch, self.epochs, summary(active))
            if self.keep is not None and epoch + 1 < self.epochs:
                self.keep(epoch + 1, [track for track in active if track.status == "training"])
        for track in tracks:
            if track.status == "training":
                track.status = "finished"
        return watch

    def _one_epoch(self, epoch: int, active: list[Track], watch: Stopwatch) -> None:
        steps = self.stream.steps_per_epoch
        if self.display is not None:
            self.display.epoch(epoch, self.epochs, steps)
        batches = self.stream.epoch(epoch)
        needed = self.teacher is not None and any(track.uses_teacher for track in active)
        for number in range(steps):
            progress = Progress(epoch, self.epochs, epoch * steps + number, self.epochs * steps)
            with watch.measure(DATA_PASS):
                batch = next(batches)
            with watch.measure(TEACHER_PASS):
                seen = self._teacher_pass(batch) if needed else None
            for track in active:
                if track.status == "training":
                    with watch.measure(track.name):
                        guard(track, lambda: track.step(self.fabric, seen, batch, progress))  # noqa: B023
            if self.display is not None:
                self.display.step()
        for track in active:
            if track.status != "training":
                continue
            track.close_epoch(epoch, steps)
            if track.status == "training" and self.validate is not None:
                guard(track, lambda: track.note_validation(epoch, *self.validate(track.learner)))  # noqa: B023
            if self.log is not None:
                self.log(track)

    @torch.no_grad()
    def _teacher_pass(self, batch: Batch) -> Activations:
        with self.fabric.autocast():
            return look(self.teacher, batch, self.teacher_modalities)


def guard(track: Track, action: Callable[[], object]) -> None:
    """An error in one learner's code ends that learner alone; if its weights are gone, it has diverged."""
    try:
        action()
    except Exception as error:
        if all(bool(torch.isfinite(p).all()) for p in track.parameters):
            track.retire("failed", describe_error(error))
        else:
            track.retire("diverged", f"its weights were not finite: {error}")


def describe_error(error: Exception) -> str:
    """An error with its traceback, as text."""
    return "".join(traceback.format_exception(error))


def summary(tracks: list[Track]) -> str:
    """One line on where the tracks stand: the first validation score, or else the training loss."""
    words = []
    for track in tracks:
        if track.status != "training":
            words.append(f"{track.name} {track.status}")
        elif scores := track.history[-1].get("validation"):
            words.append(f"{track.name} {next(iter(scores.values())):.3f}")
        else:
            words.append(f"{track.name} loss {track.history[-1]['train']['loss']:.3f}")
    return "  ".join(words)
