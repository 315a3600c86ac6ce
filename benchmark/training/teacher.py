"""A teacher: trained by the same loop as everyone, then frozen and evaluated before anyone learns from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from benchmark.contracts import IGNORE, Distiller
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.splits import open_test
from benchmark.evaluation.cost import Cost, inference_cost
from benchmark.evaluation.evaluation import Evaluation
from benchmark.models import Network
from benchmark.planning.specs import TeacherSpec
from benchmark.ranks import Fabric
from benchmark.seeds import RandomStream, derive
from benchmark.training.checkpoint import checksum
from benchmark.training.graphed import Graphs
from benchmark.training.learner import Learner
from benchmark.training.loop import START, Display, Keeper, Loop, Position
from benchmark.training.materials import Materials
from benchmark.training.networks import describe
from benchmark.training.run_state import RunState


@dataclass(frozen=True)
class Teacher:
    """A teacher that is ready: frozen, in eval mode, evaluated on the test split.

    train       its scores on samples that it learnt from
    at_chance   whether its answers on the test split are no better than always naming one class
    """

    spec: TeacherSpec
    network: Network
    checksum: str
    test: dict[str, float]
    train: dict[str, float]
    test_logits: Tensor
    cost: Cost
    at_chance: bool = False
    seconds: float | None = None


class TeacherTraining:
    """One teacher at work; its state tells how it ended."""

    def __init__(self, materials: Materials, network: Network, fabric: Fabric):
        spec, data = materials.spec.teacher, materials.data
        self.fabric, self.spec = fabric, spec
        samples = data.train.subset(materials.splits.teacher)
        everything = torch.ones(len(samples), dtype=torch.bool)
        seed = derive(spec.seed, "teacher")
        self.stream = TrainStream(
            data, samples, everything, spec.recipe.batch_size, seed, fabric.device, spec.modalities
        )
        fabric.ranks.prepared(network, spec.architecture)
        batch = next(self.stream.epoch(0))
        context = describe(network, network, batch, len(data.classes), samples.labels)
        stream = RandomStream(derive(spec.seed, "learner"), fabric.device)
        self.state = RunState("teacher", Learner(network, Distiller(context)), spec.recipe, stream)
        self.title = f"{materials.spec.teacher_title} ({len(samples)} samples)"

    def train(
        self,
        display: Display | None,
        log: Callable[[Mapping[str, Any]], None],
        keeper: Keeper | None,
        first: Position = START,
    ) -> float:
        """Trains from `first` on and returns the seconds of its steps; `log` gets every epoch."""
        loop = Loop(
            self.fabric,
            self.stream,
            self.spec.recipe.epochs,
            display=display,
            log=lambda state: log(state.history[-1]),
            first=first,
            keep=keeper,
            graphs=Graphs() if self.fabric.graphs else None,
        )
        return loop.run([self.state]).seconds(self.state.name)


CALIBRATION_BATCHES = 50
"""As many batches, at most, tell an untrained network's batch norms what their inputs are like."""


def calibrate(materials: Materials, network: Network, fabric: Fabric) -> None:
    """Sets the running statistics of an untrained network's batch norms by training samples, without labels.

    With the statistics that it is born with (0 and 1) a deep network's logits are huge, and the same for
    every input: nothing could be learnt from them, not even by chance.
    """
    spec, data = materials.spec.teacher, materials.data
    samples = data.train.subset(materials.splits.teacher)
    everything = torch.ones(len(samples), dtype=torch.bool)
    seed = derive(spec.seed, "teacher")
    stream = TrainStream(
        data, samples, everything, spec.recipe.batch_size, seed, fabric.device, spec.modalities, "calibration"
    )
    with RandomStream(derive(spec.seed, "calibration"), fabric.device).active():
        update_bn(islice(stream.epoch(0), CALIBRATION_BATCHES), network)


def evaluated(
    materials: Materials, network: Network, fabric: Fabric, seconds: float | None = None
) -> Teacher:
    """Freezes a network and evaluates it on the test split; its training took `seconds`."""
    spec, data = materials.spec.teacher, materials.data
    evaluation = Evaluation(data, materials.validation, materials.metrics, fabric, {})
    test = open_test(data)
    network.eval()
    cost = inference_cost(network, next(in_order(data, test, spec.modalities, fabric.device)))
    network.requires_grad_(False)
    scores, seen = evaluation.test(network)
    taught = spec.kind == "trained"
    return Teacher(
        spec,
        network,
        checksum(network),
        scores,
        evaluation.training_scores(network, data.train.subset(materials.splits.teacher)) if taught else {},
        seen.logits,
        cost,
        _at_chance(seen.logits, test.labels),
        seconds,
    )


def _at_chance(logits: Tensor, labels: Tensor) -> bool:
    """Whether the share of right answers lies within chance of the most frequent class's share.

    logits [N, K, ...], labels [N, ...]. Within 2.6 standard deviations of a binomial, which is generous for
    pixels: they are not independent. False where nothing has a label.
    """
    known = labels != IGNORE
    count = int(known.sum())
    if not count:
        return False
    share = float(labels[known].bincount().max()) / count
    right = float((logits.argmax(1) == labels)[known].double().mean())
    return right <= share + 2.6 * math.sqrt(share * (1 - share) / count)
