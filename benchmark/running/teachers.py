"""Gives every cohort its teacher: from memory, from disk, from a checkpoint, or newly trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmark.errors import UserError, disk_full_told
from benchmark.evaluation.predictor import NotFinite
from benchmark.models import Network, load_checkpoint, module_of
from benchmark.planning.specs import TeacherSpec
from benchmark.ranks import Fabric
from benchmark.records import CorruptRecord, Measurements, NewerRecord, TeacherRecord, read_teacher_record
from benchmark.running.locks import locked
from benchmark.running.provenance import provenance
from benchmark.running.store import RunFolder
from benchmark.training.checkpoint import checksum, load_weights, save_weights
from benchmark.training.loop import START, Display
from benchmark.training.materials import Materials
from benchmark.training.snapshots import Snapshots
from benchmark.training.teacher import Teacher, TeacherTraining, calibrate, evaluated


def is_kept(folder: Path, spec: TeacherSpec) -> bool:
    """Whether nobody has to train this teacher: it was trained before, or never is."""
    if spec.kind == "untrained" or spec.checkpoint:
        return True
    return RunFolder(folder / spec.slug).record.exists()


class TeacherFailed(Exception):
    """There is no such teacher: its training diverged, or its code failed. The message is one line."""


class Teachers:
    """Keeps the teachers of one pair in memory, and every trained one in `folder` for all commands.

    snapshot_seconds   how long a training goes on between two snapshots
    checkpoint         where the checkpoint that specs name stands on this machine
    """

    def __init__(
        self,
        folder: Path,
        fabric: Fabric,
        display: Callable[[str], Display],
        say: Callable[[str], None],
        snapshot_seconds: float,
        checkpoint: Path | None = None,
    ):
        self._folder, self._fabric, self._display, self._say = folder, fabric, display, say
        self._snapshot_seconds, self._checkpoint = snapshot_seconds, checkpoint
        self._ready: dict[str, Teacher] = {}
        self._failed: dict[str, TeacherFailed] = {}
        self._place: tuple[object, ...] = ()

    def get(self, materials: Materials) -> Teacher:
        """The teacher of a cohort.

        Raises TeacherFailed where it can't be trained, at once if that was tried before; UserError for a
        checkpoint that doesn't fit.
        """
        spec = materials.spec
        if spec.teacher.id in self._failed:
            raise self._failed[spec.teacher.id]
        place = (spec.data.dataset, spec.pair, spec.data.split.split_seed, spec.teacher.seed)
        if self._place != place:  # each keeps what it says of the test split
            self._place = place
            self._ready.clear()
        if spec.teacher.id not in self._ready:
            try:
                teacher = self._evaluated(materials)
            except TeacherFailed as failure:
                self._failed[spec.teacher.id] = failure
                raise
            self._announce(teacher, materials)
            self._ready[spec.teacher.id] = teacher
        return self._ready[spec.teacher.id]

    def _evaluated(self, materials: Materials) -> Teacher:
        network, seconds = self._obtained(materials)
        try:
            return evaluated(materials, network, self._fabric, seconds)
        except NotFinite as error:
            raise TeacherFailed(f"{materials.spec.teacher_title}: {error}") from error

    def _announce(self, teacher: Teacher, materials: Materials) -> None:
        spec = teacher.spec
        shown = "  ".join(f"{name} {teacher.test[str(name)]:.3f}" for name in materials.metrics)
        scores = f"test {shown}" if shown else "no test labels"
        self._say(f"{materials.spec.teacher_title}: {scores}")
        if teacher.at_chance and spec.kind == "trained":
            self._say(
                f"warning: {materials.spec.teacher_title} is at chance level: "
                + (
                    f"was {spec.checkpoint} trained with another normalisation or order of classes?"
                    if spec.checkpoint
                    else "train it longer (--teacher-epochs) or at another rate (--set teacher_recipe...)"
                )
            )

    def _obtained(self, materials: Materials) -> tuple[Network, float | None]:
        """What `_obtain` gives; where its folder can't be read or written there is no such teacher."""
        try:
            with disk_full_told():
                return self._obtain(materials)
        except OSError as error:
            raise TeacherFailed(f"{materials.spec.teacher_title}: {error}") from error

    def _obtain(self, materials: Materials) -> tuple[Network, float | None]:
        """The teacher's network, and the seconds of its training where that is known."""
        spec, network = materials.spec.teacher, materials.teacher_network(self._fabric.device)
        if spec.kind == "untrained":
            calibrate(materials, network, self._fabric)
            return network, None
        if spec.checkpoint:
            load_checkpoint(network, self._checkpoint or spec.checkpoint)
            return network, None
        folder = RunFolder(self._folder / spec.slug)
        told = materials.spec.teacher_title
        with locked(folder.lock, self._say, told):
            record = self._restored(folder, network)
            if record is None:
                # Anew: a damaged file may have left its numbers in the network.
                network = materials.teacher_network(self._fabric.device)
                record = self._train(materials, network, folder)
        return network, record.measurements.total_s

    def _restored(self, folder: RunFolder, network: Network) -> TeacherRecord | None:
        """Loads a teacher that was trained before; a damaged one is named, and is to be trained again.

        Raises UserError for one of a later version, which must not be trained over.
        """
        try:
            record = read_teacher_record(folder.record)
        except NewerRecord as problem:
            raise UserError(str(problem)) from problem
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
        snapshots = Snapshots(
            {state.name: folder.snapshot}, {state.name: spec.id}, self._snapshot_seconds, self._say
        )
        snapshot = snapshots.load()[state.name]
        if snapshot.position != START:
            state.restore(snapshot.state)
        folder.begin(asdict(spec), state.history)
        self._fabric.ranks.tell("teacher", materials.spec, snapshot)
        display = self._display(training.title)
        seconds = training.train(display, folder.log_epoch, snapshots, snapshot.position)
        if state.status == "failed":
            folder.error.write_text(state.reason)
            last = state.reason.strip().splitlines()[-1]
            raise TeacherFailed(f"{materials.spec.teacher_title} failed: {last} (all of it: {folder.error})")
        if state.status == "diverged":
            raise TeacherFailed(
                f"{materials.spec.teacher_title}: {state.reason}; lower its rate with "
                f"--set teacher_recipe.learning_rate={spec.recipe.learning_rate / 5:g}"
            )
        save_weights(network.state_dict(), folder.weights)
        record = self._record(materials, network, seconds)
        folder.finish(record)
        return record

    def _record(self, materials: Materials, network: Network, seconds: float) -> TeacherRecord:
        spec = materials.spec.teacher
        return TeacherRecord(
            spec.id,
            asdict(spec),
            checksum(network),
            Measurements(total_s=seconds),
            provenance(
                self._fabric,
                data_fingerprint=spec.data_fingerprint,
                modules=[type(materials.task).__module__, module_of(spec.architecture)],
            ),
        )
