"""Gives every cohort its teacher: from memory, from disk, from a checkpoint, or newly trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from lightning_fabric import Fabric

from benchmark.errors import UserError
from benchmark.models import Network, load_checkpoint
from benchmark.planning.specs import TeacherSpec
from benchmark.records import CorruptRecord, Measurements, TeacherRecord, read_teacher_record
from benchmark.running.provenance import provenance
from benchmark.running.store import RunFolder
from benchmark.training.checkpoint import Snapshots, checksum, load_weights, save_weights
from benchmark.training.loop import Display
from benchmark.training.materials import Materials
from benchmark.training.teacher import Teacher, TeacherTraining, calibrate, evaluated


def is_kept(folder: Path, spec: TeacherSpec) -> bool:
    """Whether a teacher was trained before, so that whoever needs it can load it."""
    return RunFolder(folder / spec.slug).record.exists()


class Teachers:
    """Keeps the teachers of one pair in memory, and every trained one in `folder` for all commands."""

    def __init__(
        self, folder: Path, fabric: Fabric, display: Callable[[str], Display], say: Callable[[str], None]
    ):
        self._folder, self._fabric, self._display, self._say = folder, fabric, display, say
        self._ready: dict[str, Teacher] = {}
        self._pair = ("", "")

    def get(self, materials: Materials) -> Teacher:
        """The teacher of a cohort. Raises UserError if a checkpoint doesn't fit or training diverges."""
        spec = materials.spec
        if self._pair != (spec.data.dataset, spec.pair):
            self._pair = (spec.data.dataset, spec.pair)
            self._ready.clear()
        if spec.teacher.id not in self._ready:
            network, seconds = self._obtain(materials)
            teacher = evaluated(materials, network, self._fabric, seconds)
            self._announce(teacher, materials)
            self._ready[spec.teacher.id] = teacher
        return self._ready[spec.teacher.id]

    def _announce(self, teacher: Teacher, materials: Materials) -> None:
        spec = teacher.spec
        shown = "  ".join(f"{name} {teacher.test[str(name)]:.3f}" for name in materials.metrics)
        scores = f"test {shown}" if shown else "no test labels"
        self._say(f"teacher {spec.architecture} on {spec.dataset}: {scores}")
        if teacher.at_chance and spec.kind == "trained":
            self._say(
                f"warning: teacher {spec.architecture} on {spec.dataset} is at chance level: "
                + (
                    f"was {spec.checkpoint} trained with another normalisation or order of classes?"
                    if spec.checkpoint
                    else "train it longer (--teacher-epochs) or at another rate (--set teacher_recipe...)"
                )
            )

    def _obtain(self, materials: Materials) -> tuple[Network, float | None]:
        """The teacher's network, and the seconds of its training where that is known."""
        spec, network = materials.spec.teacher, materials.teacher_network(self._fabric.device)
        if spec.kind == "untrained":
            calibrate(materials, network, self._fabric)
            return network, None
        if spec.checkpoint:
            load_checkpoint(network, spec.checkpoint)
            return network, None
        folder = RunFolder(self._folder / spec.slug)
        record = self._restored(folder, network) or self._train(materials, network, folder)
        return network, record.measurements.total_s

    def _restored(self, folder: RunFolder, network: Network) -> TeacherRecord | None:
        """Loads a teacher that was trained before; a damaged one is named and trained again."""
        try:
            record = read_teacher_record(folder.record)
        except CorruptRecord as problem:
            self._say(f"{problem}; training this teacher again")
            return None
        if record is None:
            return None
        if load_weights(network, folder.weights) and checksum(network) == record.checksum:
            return record
        self._say(f"{folder.weights} is damaged; training this teacher again")
        return None

    def _train(self, materials: Materials, network: Network, folder: RunFolder) -> TeacherRecord:
        spec, training = materials.spec.teacher, TeacherTraining(materials, network, self._fabric)
        state = training.state
        snapshots = Snapshots({state.name: folder.snapshot}, {state.name: spec.id}, self._say)
        first_epoch, snapshot = snapshots.load(state.name)
        if first_epoch:
            state.restore(snapshot)
        folder.begin(asdict(spec), state.history)
        seconds = training.train(self._display(training.title), folder.log_epoch, snapshots, first_epoch)
        if state.status == "failed":
            raise RuntimeError(state.reason)
        if state.status == "diverged":
            raise UserError(
                f"teacher {spec.architecture} on {spec.dataset}: {state.reason}; lower its rate with "
                f"--set teacher_recipe.learning_rate={spec.recipe.learning_rate / 5:g}"
            )
        save_weights(network.state_dict(), folder.weights)
        record = self._record(spec, network, seconds)
        folder.finish(record)
        return record

    def _record(self, spec: TeacherSpec, network: Network, seconds: float) -> TeacherRecord:
        return TeacherRecord(
            spec.id,
            asdict(spec),
            checksum(network),
            Measurements(total_s=seconds),
            provenance(self._fabric.device, data_fingerprint=spec.data_fingerprint),
        )
