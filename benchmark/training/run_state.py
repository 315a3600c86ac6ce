"""One learner on its way through a training, and what becomes of it when its code fails."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmark.contracts import Activations, Batch, Distiller, Progress, Recipe
from benchmark.errors import DiskFull, RanksApart, Unreadable, storable
from benchmark.evaluation.predictor import NotFinite
from benchmark.ranks import Fabric
from benchmark.seeds import RandomStream
from benchmark.training.learner import Learner
from benchmark.training.optimizers import learning_rate, make_optimizer, state_bytes
from benchmark.undisturbed import torch_undisturbed


@dataclass
class Best:
    """What decided the predictions of the epoch that scored best on validation (the earliest of equals)."""

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
    fused           how many students one pass computes, its own included
    moving          loss term -> whether it ever had a gradient, since this process took the run up
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
    fused: int = 1
    moving: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = self.parameters or [p for p in self.learner.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, self.recipe)
        self._sums: dict[str, Tensor] = {}

    @property
    def uses_teacher(self) -> bool:
        """Whether its terms depend on the teacher at all; where nobody's do, there is no teacher pass."""
        own = type(self.learner.distiller).forward is not Distiller.forward
        return own or self.learner.stage is not None

    @property
    def fusible(self) -> bool:
        """Whether its student is seen on the batch alone, so that a pass for several can be its own."""
        return self.learner.stage is None and not self.learner.second_view

    def kept_bytes(self, validated: bool) -> int:
        """What it takes in memory between two steps: the learner, its optimiser's state and, where it is
        validated, the best weights."""
        learner = sum(x.nbytes for x in (*self.learner.parameters(), *self.learner.buffers()))
        best = sum(x.nbytes for x in self.learner.deciding_weights().values()) if validated else 0
        return learner + state_bytes(self.parameters, self.recipe) + best

    def step(
        self,
        fabric: Fabric,
        teacher: Activations | None,
        show: Callable[[], Activations],
        progress: Progress,
        whole: Batch,
    ) -> None:
        """One step: gradients as in `learn`, then the weights move."""
        self.learn(fabric, teacher, show, progress, whole)
        self.update(fabric)

    def learn(
        self,
        fabric: Fabric,
        teacher: Activations | None,
        show: Callable[[], Activations],
        progress: Progress,
        whole: Batch,
    ) -> None:
        """The gradients of a step, on the learner's own random stream.

        `show` gives what its student shows of this rank's share; its loss sees what all ranks show.
        """
        ranks, learner = fabric.ranks, self.learner
        stage = learner.stage.name if learner.stage is not None else ""
        rate = learning_rate(self.recipe, progress.step, progress.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with ranks.together(), self.stream.active():
            with fabric.autocast():
                with ranks.own_draws(self.stream.seed, stage, progress.step):
                    shown = show()
                student = ranks.shown(shown, len(whole["index"]))
                terms = learner.terms(teacher, student, whole, progress)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
            fabric.backward(loss)
        for name, value in terms.items():
            self.moving[name] = self.moving.get(name, False) or value.requires_grad
            so_far = self._sums.get(name)
            value = value.detach().to(torch.promote_types(value.dtype, torch.float32))  # sums of halves stall
            self._sums[name] = value.clone() if so_far is None else so_far.add_(value)

    def update(self, fabric: Fabric) -> None:
        """Moves the weights along their gradients."""
        fabric.ranks.reduce(self.learner.network, self.parameters)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

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
            self.best = Best(epoch, score, copy.deepcopy(self.learner.deciding_weights()))

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


def guard(state: RunState, action: Callable[[], object]) -> None:
    """An error in one learner's code ends that learner alone; without finite weights or answers it diverged.

    A full disk, a sample that can't be read and ranks that are apart are everybody's trouble, and are passed
    on. What it changes in torch for everybody is changed back, and ends it too.
    """
    try:
        with torch_undisturbed():
            action()
    except (DiskFull, RanksApart, Unreadable):
        raise
    except NotFinite as error:
        state.retire("diverged", str(error))
    except (Exception, SystemExit) as error:
        if all(bool(torch.isfinite(p).all()) for p in state.parameters if not is_lazy(p)):
            state.retire("failed", describe_error(error))
        else:
            state.retire("diverged", storable(f"its weights were not finite: {error}"))


def describe_error(error: BaseException) -> str:
    """An error with its traceback, as text that files and records can hold."""
    return storable("".join(traceback.format_exception(error)))
