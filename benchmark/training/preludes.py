"""The first stages of a baseline: each is a training of its own, before the cohort starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lightning_fabric import Fabric
from torch import nn

from benchmark.contracts import Prelude
from benchmark.data.batches import TrainStream
from benchmark.training.loop import DATA_PASS, TEACHER_PASS, Loop, Track
from benchmark.training.teacher import Teacher


def run_preludes(track: Track, batches: Callable[[], TrainStream], teacher: Teacher, fabric: Fabric) -> None:
    """Runs a baseline's first stages in order; one that diverges retires `track`.

    Their batches come from streams of their own, so that the common batches stay common. The rate is the
    recipe's first one throughout, as in the CRD benchmark.
    """
    learner = track.learner
    recipe = replace(track.recipe, schedule="steps", milestones=(), warmup=0.0)
    for prelude in learner.distiller.preludes():
        stage = Track(track.name, learner, recipe, track.stream, _trained(prelude, learner.network))
        epochs = max(1, round(prelude.share * recipe.epochs))
        learner.prelude = prelude
        watch = Loop(fabric, batches(), epochs, teacher.network, teacher.spec.modalities).run([stage])
        learner.prelude = None
        track.first_stages_s += sum(map(watch.seconds, (stage.name, TEACHER_PASS, DATA_PASS)))
        if stage.status != "finished":
            track.retire(stage.status, f"in the first stage {prelude.name}: {stage.reason}")
            return


def _trained(prelude: Prelude, network: nn.Module) -> list[nn.Parameter]:
    """The parameters that a first stage trains: its own, and the student's but for its classifier."""
    if not prelude.trains_student:
        return list(prelude.parameters)
    head = set() if network.head is None else set(network.head.parameters())
    return [*prelude.parameters, *(each for each in network.parameters() if each not in head)]
