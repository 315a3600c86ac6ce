"""Gives every cohort its teacher: from memory, from disk, from a checkpoint, or newly trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from benchmark.cohorts import Cohort, TeacherSpec
from benchmark.errors import UserError
from benchmark.models import load_checkpoint
from benchmark.models.network import Network
from benchmark.running.store import CorruptRecord, RunFolder
from benchmark.training.checkpoint import Snapshots, checksum, load_weights, save_weights
from benchmark.training.loop import Display
from benchmark.training.teacher import Teacher, TeacherTraining, evaluated, untrained_teacher


class Teachers:
    """Keeps the teachers of one pair in memory, and every trained one in `folder` for all commands."""

    def __init__(
        self, folder: Path, fabric: Fabric, display: Callable[[str], Display], say: Callable[[str], None]
    ):
        self._folder, self._fabric, self._display, self._say = folder, fabric, display, say
        self._ready: dict[str, Teacher] = {}
        self._pair = ("", "")

    def get(self, cohort: Cohort) -> Teacher:
        """The teacher of a cohort. Raises UserError if a checkpoint doesn't fit or training diverges."""
        if self._pair != (cohort.data.name, cohort.pair_name):
            self._pair = (cohort.data.name, cohort.pair_name)
            self._ready.clear()
        identity = cohort.teacher.id
        if identity not in self._ready:
            teacher = evaluated(cohort, self._obtain(cohort), self._fabric)
            shown = "  ".join(f"{name} {value:.3f}" for name, value in teacher.test.items())
            scores = f"test {shown}" if shown else "no test labels"
            self._say(f"teacher {cohort.teacher.architecture} on {cohort.data.name}: {scores}")
            self._ready[identity] = teacher
        return self._ready[identity]

    def _obtain(self, cohort: Cohort) -> Network:
        spec, network = cohort.teacher, untrained_teacher(cohort, self._fabric.device)
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
        spec, training = cohort.teacher, TeacherTraining(cohort, network, self._fabric)
        track = training.track
        snapshots = Snapshots({track.name: folder.snapshot}, {track.name: spec.id}, self._say)
        first_epoch, state = snapshots.load(track.name)
        if first_epoch:
            track.restore(state)
        folder.begin(asdict(spec), track.history)
        seconds = training.train(self._display(training.title), folder.log_epoch, snapshots, first_epoch)
        if track.status == "failed":
            raise RuntimeError(track.reason)
        if track.status == "diverged":
            raise UserError(
                f"teacher {spec.architecture} on {spec.dataset}: {track.reason}; lower its rate with "
                f"--set teacher_recipe.learning_rate={spec.recipe.learning_rate / 5:g}"
            )
        save_weights(network.state_dict(), folder.path / "weights.safetensors")
        folder.finish(_record(spec, network, seconds))


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
