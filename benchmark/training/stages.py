"""The first stages of a baseline: each is a training of its own, before the cohort starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lightning_fabric import Fabric
from torch import nn

from benchmark.contracts import Stage
from benchmark.models import Network
from benchmark.planning.hyperparameters import stage_epochs
from benchmark.training.loop import DATA_PASS, TEACHER_PASS, BatchSource, Loop, RunState, of_view


def run_stages(state: RunState, batches: Callable[[], BatchSource], teacher: Network, fabric: Fabric) -> None:
    """Runs a baseline's first stages in order; one that diverges retires the run.

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
    for stage in learner.distiller.first_stages():
        recipe = state.recipe if stage.by_recipe else constant
        training = RunState(state.name, learner, recipe, state.stream, _trained(stage, learner.network))
        epochs = stage_epochs(stage.share, recipe.epochs)
        learner.stage = stage
        watch = Loop(fabric, batches(), epochs, teacher).run([training])
        learner.stage = None
        state.first_stages_s += sum(map(watch.seconds, parts))
        if training.status in ("diverged", "failed"):
            state.retire(training.status, f"in the first stage {stage.name}: {training.reason}")
            return


def _trained(stage: Stage, network: Network) -> list[nn.Parameter]:
    """The parameters that a first stage trains: its own, and the student's but for its classifier."""
    if not stage.trains_student:
        return list(stage.parameters)
    head = set() if network.head is None else set(network.head.parameters())
    return [*stage.parameters, *(each for each in network.parameters() if each not in head)]
