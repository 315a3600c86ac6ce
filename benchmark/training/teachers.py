"""Teachers: trained once by the same loop as everyone (or loaded), evaluated, kept on disk, shared by all
seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmark.cohorts import Cohort, TeacherSpec
from benchmark.contracts import Distiller
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.splits import open_test
from benchmark.errors import UserError
from benchmark.evaluation.accuracy import predict_network, score
from benchmark.evaluation.cost import inference_cost
from benchmark.models import Network, load_checkpoint
from benchmark.running.store import CorruptRecord, RunFolder
from benchmark.seeds import RandomStream, derive
from benchmark.training.checkpoint import Snapshots, checksum, load_weights, save_weights
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


class Teachers:
    """Gives out teachers; keeps the last one in memory and every trained one in `folder`."""

    def __init__(
        self, folder: Path, fabric: Fabric, display: Callable[[str], Display], say: Callable[[str], None]
    ):
        self._folder, self._fabric, self._display, self._say = folder, fabric, display, say
        self._last: Teacher | None = None

    def get(self, cohort: Cohort) -> Teacher:
        """The teacher of a cohort. Raises UserError where its checkpoint doesn't fit or its training
        diverges."""
        if self._last is None or self._last.spec != cohort.teacher:
            self._last = self._evaluated(cohort, self._obtain(cohort))
        return self._last

    def _obtain(self, cohort: Cohort) -> Network:
        spec = cohort.teacher
        network = make_network(
            spec.architecture,
            cohort.data,
            spec.modalities,
            derive(spec.seed, "teacher weights"),
            self._fabric.device,
        )
        if spec.kind == "untrained":
            return network
        if spec.checkpoint is not None:
            load_checkpoint(network, spec.checkpoint)
            return network
        folder = RunFolder(self._folder / spec.slug)
        if not self._restore(folder, network):
            self._train(cohort, network, folder)
        return network

    def _restore(self, folder: RunFolder, network: Network) -> bool:
        """Loads a teacher that was trained before; a damaged one is named and trained again."""
        try:
            record = folder.record()
        except CorruptRecord as problem:
            self._say(f"{problem}; training this teacher again")
            return False
        if record is None:
            return False
        file = folder.path / "weights.safetensors"
        intact = load_weights(network, file) and checksum(network) == record["provenance"]["teacher_checksum"]
        if not intact:
            self._say(f"{file} is damaged; training this teacher again")
        return intact

    def _train(self, cohort: Cohort, network: Network, folder: RunFolder) -> None:
        spec, data, device = cohort.teacher, cohort.data, self._fabric.device
        samples = data.train.subset(cohort.splits.teacher)
        everything = torch.ones(len(samples), dtype=torch.bool)
        stream = TrainStream(
            data, samples, everything, spec.recipe.batch_size, derive(spec.seed, "teacher"), device
        )
        sight = (network, spec.modalities)
        context = describe(sight, sight, next(stream.epoch(0)), len(data.classes), samples.labels)
        learner = Learner(network, Distiller(context), spec.modalities)
        track = Track("teacher", learner, spec.recipe, RandomStream(derive(spec.seed, "learner"), device))
        snapshots = Snapshots({track.name: folder.snapshot}, {track.name: spec.id}, self._say)
        first_epoch, state = snapshots.load(track.name)
        if first_epoch:
            track.restore(state)
        folder.begin(asdict(spec), track.history)
        display = self._display(f"teacher {spec.architecture} on {data.name} ({len(samples)} samples)")
        loop = Loop(
            self._fabric,
            stream,
            spec.recipe.epochs,
            display=display,
            log=lambda t: folder.log_epoch(t.history[-1]),
            first_epoch=first_epoch,
            keep=snapshots.keep,
        )
        watch = loop.run([track])
        if track.status == "failed":
            raise RuntimeError(track.reason)
        if track.status == "diverged":
            raise UserError(
                f"teacher {spec.architecture} on {data.name}: {track.reason}; lower its learning rate with "
                f"--set teacher_recipe.learning_rate={spec.recipe.learning_rate / 5:g}"
            )
        save_weights(network.state_dict(), folder.path / "weights.safetensors")
        folder.finish(_record(spec, network, watch.seconds(track.name)))

    def _evaluated(self, cohort: Cohort, network: Network) -> Teacher:
        spec, data, device = cohort.teacher, cohort.data, self._fabric.device
        test = open_test(data)
        batch = next(in_order(data, test, device))
        sight = (network, spec.modalities)
        context = describe(sight, sight, batch, len(data.classes), test.labels)
        cost = inference_cost(Learner(network, Distiller(context), spec.modalities), batch)
        network.eval().requires_grad_(False)
        logits = predict_network(network, spec.modalities, in_order(data, test, device), self._fabric)
        scores = score(cohort.task.metrics(len(data.classes)), logits, test.labels)
        shown = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
        self._say(f"teacher {spec.architecture} on {data.name}: test {shown}")
        return Teacher(spec, network, checksum(network), scores, logits, cost)


def _record(spec: TeacherSpec, network: Network, seconds: float) -> dict[str, Any]:
    return {
        "id": spec.id,
        "run": {
            "task": spec.task,
            "dataset": spec.dataset,
            "architecture": spec.architecture,
            "seed": spec.seed,
        },
        "condition": {"epochs": spec.recipe.epochs, "batch_size": spec.recipe.batch_size},
        "status": "finished",
        "about": {},
        "metrics": {},
        "results": {},
        "hyperparameters": {},
        "measurements": {"total_s": seconds},
        "provenance": {"teacher_checksum": checksum(network), "data_fingerprint": spec.data_fingerprint},
    }
