"""A teacher: trained by the same loop as everyone, then frozen and evaluated before anyone learns from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmark.cohorts import Cohort, TeacherSpec
from benchmark.contracts import Distiller
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.splits import open_test
from benchmark.evaluation.accuracy import predict_network, score
from benchmark.evaluation.cost import inference_cost
from benchmark.models.network import Network
from benchmark.seeds import RandomStream, derive
from benchmark.training.checkpoint import Snapshots, checksum
from benchmark.training.learner import Learner, describe, make_network
from benchmark.training.loop import Display, Loop, Track


@dataclass(frozen=True)
class Teacher:
    """A teacher that is ready: frozen, in eval mode, evaluated on the test split."""

    spec: TeacherSpec
    network: Network
    checksum: str
    test: dict[str, float]
    test_logits: Tensor
    cost: dict[str, int]


def untrained_teacher(cohort: Cohort, device: torch.device) -> Network:
    """The network of a cohort's teacher with the initial weights of its seed."""
    spec = cohort.teacher
    seed = derive(spec.seed, "teacher weights")
    return make_network(spec.architecture, cohort.data, spec.modalities, seed, device)


class TeacherTraining:
    """One teacher at work; its track tells how it ended."""

    def __init__(self, cohort: Cohort, network: Network, fabric: Fabric):
        spec, data = cohort.teacher, cohort.data
        self.fabric, self.spec = fabric, spec
        samples = data.train.subset(cohort.splits.teacher)
        everything = torch.ones(len(samples), dtype=torch.bool)
        seed = derive(spec.seed, "teacher")
        self.stream = TrainStream(
            data, samples, everything, spec.recipe.batch_size, seed, fabric.device, spec.modalities
        )
        sight = (network, spec.modalities)
        context = describe(sight, sight, next(self.stream.epoch(0)), len(data.classes), samples.labels)
        learner = Learner(network, Distiller(context), spec.modalities)
        stream = RandomStream(derive(spec.seed, "learner"), fabric.device)
        self.track = Track("teacher", learner, spec.recipe, stream)
        self.title = f"teacher {spec.architecture} on {data.name} ({len(samples)} samples)"

    def train(
        self,
        display: Display,
        log: Callable[[Mapping[str, Any]], None],
        snapshots: Snapshots,
        first_epoch: int = 0,
    ) -> float:
        """Trains from `first_epoch` on and returns the seconds of its steps; `log` gets every epoch."""
        loop = Loop(
            self.fabric,
            self.stream,
            self.spec.recipe.epochs,
            display=display,
            log=lambda track: log(track.history[-1]),
            first_epoch=first_epoch,
            keep=snapshots.keep,
        )
        return loop.run([self.track]).seconds(self.track.name)


def evaluated(cohort: Cohort, network: Network, fabric: Fabric) -> Teacher:
    """Freezes a network and evaluates it on the test split."""
    spec, data = cohort.teacher, cohort.data
    test = open_test(data)
    batch = next(in_order(data, test, spec.modalities, fabric.device))
    sight = (network, spec.modalities)
    context = describe(sight, sight, batch, len(data.classes), test.labels)
    cost = inference_cost(Learner(network, Distiller(context), spec.modalities), batch)
    network.eval().requires_grad_(False)
    logits = predict_network(
        network, spec.modalities, in_order(data, test, spec.modalities, fabric.device), fabric
    )
    scores = score(cohort.task.metrics(data), logits, test.labels)
    return Teacher(spec, network, checksum(network), scores, logits, cost)
