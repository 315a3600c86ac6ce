"""The first stages of a baseline: each is a training of its own, before the cohort starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from torch import nn

from benchmark.contracts import Stage
from benchmark.models import Network
from benchmark.planning.hyperparameters import stage_epochs
from benchmark.ranks import Fabric
from benchmark.training.loop import (
    DATA_PASS,
    START,
    TEACHER_PASS,
    BatchSource,
    Keeper,
    Loop,
    Position,
    Shows,
    of_view,
)
from benchmark.training.run_state import RunState
from benchmark.training.stopwatch import Stopwatch


def run_stages(
    state: RunState,
    batches: Callable[[], BatchSource],
    teacher: Shows,
    fabric: Fabric,
    keeper: Keeper | None = None,
) -> None:
    """Runs a baseline's first stages in order, those that it has not behind it; one that diverges retires
    the run.

    Their batches come from streams of their own, so that the common batches stay common. The rate is the
    recipe's for first stages throughout, as in the CRD benchmark, unless a stage trains by the recipe.
    """
    learner, rate = state.learner, state.recipe.first_stage_rate
    shared = (TEACHER_PASS, DATA_PASS)
    parts = (state.name, *shared, *(of_view(part, learner.second_view) for part in shared))
    constant = replace(
        state.recipe,
        schedule="steps",
        milestones=(),
        warmup=0.0,
        learning_rate=state.recipe.learning_rate if rate is None else rate,
    )
    ran = False
    for number, stage in enumerate(learner.distiller.first_stages()):
        if number < state.stages_done:
            continue
        recipe = state.recipe if stage.by_recipe else constant
        training = RunState(state.name, learner, recipe, state.stream, _trained(stage, learner.network))
        first = START
        if state.stage is not None:
            first = Position(*state.stage["position"])
            training.go_on(state.stage["progress"])
        watch = Stopwatch(fabric.device)
        kept = None if keeper is None else _Kept(keeper, state, training, watch, parts)
        epochs = stage_epochs(stage.share, recipe.epochs)
        learner.stage = stage
        Loop(fabric, batches(), epochs, teacher, first=first, keep=kept).run([training], watch)
        learner.zero_grad(set_to_none=True)  # of what its loss reached and it didn't train
        learner.stage, state.stage = None, None
        state.stages_done, ran = number + 1, True
        state.first_stages_s += sum(map(watch.seconds, parts))
        if training.status in ("diverged", "failed"):
            state.retire(training.status, f"in the first stage {stage.name}: {training.reason}")
            return
    if ran and keeper is not None:
        keeper.keep(START, [state])


@dataclass(frozen=True)
class _Kept:
    """Keeps a run that is in a first stage: as it is, with the `training` of the stage beside."""

    keeper: Keeper
    state: RunState
    training: RunState
    watch: Stopwatch
    parts: tuple[str, ...]

    def due(self) -> bool:
        return self.keeper.due()

    def keep(self, position: Position, states: Iterable[RunState]) -> None:
        if not list(states):
            return
        spent = self.state.first_stages_s
        self.state.stage = {"position": tuple(position), "progress": self.training.progress()}
        self.state.first_stages_s = spent + sum(map(self.watch.seconds, self.parts))
        self.keeper.keep(START, [self.state])
        self.state.stage, self.state.first_stages_s = None, spent


def _trained(stage: Stage, network: Network) -> list[nn.Parameter]:
    """The parameters that a first stage trains: its own, and the student's but for its classifier."""
    if not stage.trains_student:
        return list(stage.parameters)
    head = set() if network.head is None else set(network.head.parameters())
    return [*stage.parameters, *(each for each in network.parameters() if each not in head)]
