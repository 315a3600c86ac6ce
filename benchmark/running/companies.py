"""Trains companies of runs, those of a cohort that go on from one place, and writes what each leaves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

import torch

from benchmark import records
from benchmark.errors import disk_full_told
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.ranks import Fabric
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import snapshot_identity
from benchmark.running.recording import make_record
from benchmark.running.store import RunFolder
from benchmark.running.teachers import Teachers
from benchmark.training.checkpoint import save_weights
from benchmark.training.cohort import CohortTraining
from benchmark.training.materials import Workbench
from benchmark.training.outcomes import Outcome
from benchmark.training.snapshots import Snapshot, Snapshots


class Trainer:
    """Makes runs ready to train, and writes what becomes of them.

    budget     bytes that the learners of a cohort may keep in memory: a cohort of more is divided
    failures   a line for each run that can't be recorded, or only as a failure
    fabric     what it computes on; its other ranks, if it has any, take orders (`running.followers`)
    """

    def __init__(
        self,
        teachers: Teachers,
        fabric: Fabric,
        display: PlainDisplay,
        workbench: Workbench,
        registry: Registry,
        snapshot_seconds: float,
        budget: float,
    ):
        self._teachers, self.fabric, self._display = teachers, fabric, display
        self._workbench, self._registry, self._snapshot_seconds = workbench, registry, snapshot_seconds
        self._memory: dict[object, object] = {}
        self.budget = budget
        self.failures: list[str] = []

    def train_teacher(self, cohort: CohortSpec) -> None:
        """Trains the teacher of a cohort, where nobody has. Raises TeacherFailed."""
        self._teachers.get(self._workbench.materials(cohort))

    def companies(
        self,
        cohort: CohortSpec,
        runs: tuple[RunSpec, ...],
        folders: Mapping[str, RunFolder],
        budget: float = math.inf,
    ) -> Iterator[tuple[CohortTraining, Snapshots]]:
        """Trainings of some runs of a cohort, begun or gone on with; `folders` by the run's name.

        Runs that were stopped at different places go on in companies of their own, and so do those that
        would keep more than `budget` bytes in memory together: it makes no difference. Raises TeacherFailed.
        """
        materials = self._workbench.materials(cohort)
        teacher = self._teachers.get(materials)
        if self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)
        # Its weights may be new, and random streams differ on another device: neither is gone on with.
        under = f"{teacher.checksum} {self.fabric.device.type}"
        snapshots = Snapshots(
            {run.name: folders[run.name].snapshot for run in runs},
            {run.name: f"{snapshot_identity(run, self._registry)} {under}" for run in runs},
            self._snapshot_seconds,
            self._display.say,
        )
        found = snapshots.load()
        weights = {name: value.cpu() for name, value in teacher.network.state_dict().items()}
        self.fabric.ranks.tell("cohort", cohort, weights)
        numbers = itertools.count()
        for position in sorted({snapshot.position for snapshot in found.values()}):
            company = tuple(
                run
                for run in runs
                if found[run.name].position == position
                and self._begun(run, folders[run.name], found[run.name])
            )
            while True:
                number = next(numbers)
                states = {run.name: found[run.name].state for run in company if found[run.name].state}
                self.fabric.ranks.tell("company", number, company, position, states, budget)
                training = CohortTraining(
                    materials,
                    company,
                    teacher,
                    self.fabric,
                    self._registry,
                    position,
                    states,
                    self._memory,
                    self._display.say,
                    number,
                    budget,
                )
                self._tell_of_memory(training, budget)
                company = training.left
                yield training, snapshots
                if not company:
                    break

    def _tell_of_memory(self, training: CohortTraining, budget: float) -> None:
        """Says it where a cohort is divided, or where one run alone is above the budget."""
        allowed = f"--memory-gb {budget / 2**30:g}"
        if training.bytes > budget:
            (state,) = training.states
            self._display.say(
                f"{state.name} keeps {training.bytes / 2**30:.3g} GB in memory, more than {allowed}"
            )
        if training.left:
            now, later = len(training.states), len(training.left)
            self._display.say(
                f"{training.materials.spec.title}: {now} runs train now and {later} later, as together they "
                f"would keep more in memory than {allowed}; the numbers are the same"
            )

    def display(self, title: str, training: CohortTraining) -> PlainDisplay:
        """Where the epochs of a cohort are shown; before the first, what their numbers are."""
        if training.evaluation.validates:
            where = training.materials.spec.data.title
            self._display.say_once(f"{where}: epochs show {training.evaluation.validation_title}")
        return self._display.training(title, counts=True)

    def _begun(self, run: RunSpec, folder: RunFolder, snapshot: Snapshot) -> bool:
        """Makes a run's folder ready for it; False where it can't be written."""
        with self.kept_in(folder, run):
            history = snapshot.state.get("progress", {}).get("history", ())
            folder.begin({"id": run.id, **asdict(run)}, history)
            return True
        return False

    @contextmanager
    def kept_in(self, folder: RunFolder, run: RunSpec) -> Iterator[None]:
        """A folder that can't be written in the body costs its own run."""
        try:
            with disk_full_told():
                yield
        except OSError as error:
            self.failures.append(
                f"{run.slug} failed: {error.strerror or error}: {error.filename or folder.path}; "
                "remove what stands in its way and start the same command again"
            )

    def write(self, training: CohortTraining, outcome: Outcome, folder: RunFolder) -> records.Record:
        """Writes what an outcome leaves, its record last; of a trial no weights. Raises OSError."""
        if outcome.status == "failed":
            folder.error.write_text(outcome.reason)
            outcome.reason = outcome.reason.strip().splitlines()[-1]
            self.failures.append(f"{outcome.run.slug} failed: {outcome.reason} (all of it: {folder.error})")
        if outcome.status == "finished" and outcome.trial is None:
            assert outcome.learner is not None
            save_weights(outcome.learner.finished_weights(), folder.weights)
        if outcome.arrays:
            folder.save_arrays(outcome.arrays)
        record = make_record(training.materials, outcome, training.teacher, self._registry, self.fabric)
        folder.finish(record)
        return record
