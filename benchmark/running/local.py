"""Executes cohorts one after another in this process: trains, and has a record written for every run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmark import records
from benchmark.errors import disk_full_told
from benchmark.planning.grid import storage_of
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.ranks import Fabric
from benchmark.running.device import make_fabric
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import Ledger, code_checksum
from benchmark.running.locks import Claim, locked, sweep
from benchmark.running.recording import make_record
from benchmark.running.store import RunFolder
from benchmark.running.teachers import TeacherFailed, Teachers
from benchmark.settings import Settings
from benchmark.training.checkpoint import save_weights
from benchmark.training.cohort import CohortTraining, Outcome
from benchmark.training.materials import Workbench
from benchmark.training.snapshots import Snapshot, Snapshots


class Executor:
    """Runs what is not yet recorded. Results go to the ledger's folder, teachers to `teachers`.

    Runs that another command is at are left to it, and waited for in the end.

    budget     bytes that the learners of a cohort may keep in memory: a cohort of more is divided
    failures   a line for each run that can't be recorded, or only as a failure
    fabric     what it computes on; its other ranks, if it has any, take orders (`running.followers`)
    """

    def __init__(
        self,
        ledger: Ledger,
        teachers: Teachers,
        fabric: Fabric,
        display: PlainDisplay,
        workbench: Workbench,
        registry: Registry,
        snapshot_seconds: float,
        budget: float,
    ):
        self._ledger, self._teachers, self.fabric, self._display = ledger, teachers, fabric, display
        self._workbench, self._registry, self._snapshot_seconds = workbench, registry, snapshot_seconds
        self._memory: dict[object, object] = {}
        self._budget = budget
        self.failures: list[str] = []

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record. Failures of single baselines are collected, not raised."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        pending = [(cohort, runs) for cohort in cohorts if (runs := self._ledger.pending(cohort))]
        for line in (*self._ledger.problems, *self._ledger.outdated()):
            self._display.say(line)
        done = total - sum(len(runs) for _, runs in pending)
        elsewhere = []
        for cohort, runs in pending:
            self._display.grid(done, total, len(runs))
            left = self.perform(cohort, runs)
            done += len(runs) - len(left)
            if left:
                elsewhere.append((cohort, left))
        for cohort, runs in elsewhere:
            self._display.grid(done, total, len(runs))
            self.wait_and_perform(cohort, runs)
            done += len(runs)
        sweep(self._ledger.folder / "runs")
        self._display.grid(done, total)

    def perform(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> tuple[RunSpec, ...]:
        """Trains those of some runs of a cohort that have no record by now; returns those that another
        command is at."""
        with Claim() as claim:
            ours = {run.name for run in runs if claim.take(self._ledger.run_folder(run).lock)}
            unrecorded = {run.name for run in self._ledger.pending(cohort)}
            if left := tuple(run for run in runs if run.name in ours & unrecorded):
                self._cohort(cohort, left)
        return tuple(run for run in runs if run.name not in ours)

    def wait_and_perform(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> None:
        """Waits for the command that is at these runs, and trains those of which it leaves no record."""
        for run in runs:
            with locked(self._ledger.run_folder(run).lock, self._display.say, run.slug):
                pass
        left = tuple(run for run in runs if not self._ledger.ended(run))
        if held := self.perform(cohort, left):
            self.wait_and_perform(cohort, held)

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
        snapshots = Snapshots(
            {run.name: folders[run.name].snapshot for run in runs},
            {run.name: f"{run.id} {code_checksum(run, self._registry)}" for run in runs},
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
            self.say(f"{state.name} keeps {training.bytes / 2**30:.3g} GB in memory, more than {allowed}")
        if training.left:
            now, later = len(training.states), len(training.left)
            self.say(
                f"{training.materials.spec.title}: {now} runs train now and {later} later, as together they "
                f"would keep more in memory than {allowed}; the numbers are the same"
            )

    def say(self, line: str) -> None:
        """Tells the user a line."""
        self._display.say(line)

    def display(self, title: str) -> PlainDisplay:
        """Where the epochs of a cohort are shown."""
        return self._display.training(title, counts=True)

    def _cohort(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> None:
        # A tuned run that was left at the default is the default run: trained once, recorded as both.
        twins = {
            run.training_id: [each for each in runs if each.training_id == run.training_id] for run in runs
        }
        leaders = tuple(alike[0] for alike in twins.values())
        folders = {run.name: self._ledger.run_folder(run) for run in runs}

        try:
            for training, snapshots in self.companies(cohort, leaders, folders, self._budget):
                self._company(training, snapshots, twins, folders)
                training.release()
        except TeacherFailed as failure:
            self.failures.append(without_teacher(str(failure), len(runs)))

    def _company(
        self,
        training: CohortTraining,
        snapshots: Snapshots,
        twins: Mapping[str, Sequence[RunSpec]],
        folders: Mapping[str, RunFolder],
    ) -> None:
        """Trains some runs of a cohort together, and records each of them with its `twins`."""

        def log(run: RunSpec, epoch: Mapping[str, Any]) -> None:
            with disk_full_told():
                folders[run.name].log_epoch(epoch)

        title = f"{training.materials.spec.title}: {len(training.runs)} runs"
        for outcome in training.train(self.display(title), log, snapshots):
            for run in twins[outcome.run.training_id]:
                self._record(training, replace(outcome, run=run), outcome.run, folders[run.name])

    def _record(
        self, training: CohortTraining, outcome: Outcome, trained: RunSpec, folder: RunFolder
    ) -> None:
        """Writes what a run leaves; `trained` is the run that was trained for it, itself or its twin."""
        with self.kept_in(folder, outcome.run):
            if outcome.run is not trained:
                folder.begin({"id": outcome.run.id, **asdict(outcome.run)}, outcome.history)
            self.write(training, outcome, folder)

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


def without_teacher(failure: str, count: int) -> str:
    """The line on `count` runs that were to learn from a teacher which can't be had."""
    return f"{failure}; {count} runs that would learn from it were not trained"


def make_executor(
    settings: Settings, registry: Registry, display: PlainDisplay, workbench: Workbench | None = None
) -> Executor:
    """The executor of a command in this process; `workbench` may hold a dataset already."""
    fabric = make_fabric(settings.device, settings.precision, *settings.processes)
    fabric.fuse, seconds = settings.fuse, 60 * settings.snapshot_minutes
    return Executor(
        Ledger(settings.folder, registry),
        Teachers(settings.results_dir / "teachers", fabric, display.training, display.say, seconds),
        fabric,
        display,
        workbench or Workbench(registry, storage_of(settings), display.say),
        registry,
        seconds,
        settings.memory_gb * 2**30,
    )
