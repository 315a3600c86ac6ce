"""Executes cohorts one after another in this process: trains, and has a record written for every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmark.errors import UserError, disk_full_told
from benchmark.planning.grid import storage_of
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.running.companies import Trainer
from benchmark.running.device import crowding, make_fabric
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import Ledger, runs_in
from benchmark.running.locks import Claim
from benchmark.running.store import RunFolder
from benchmark.running.teachers import TeacherFailed, Teachers
from benchmark.running.tuning import Trials
from benchmark.settings import Settings
from benchmark.training.cohort import CohortTraining
from benchmark.training.materials import Workbench
from benchmark.training.outcomes import Outcome
from benchmark.training.snapshots import Snapshots


class Executor:
    """Runs what is not yet recorded. Results go to the ledger's folder, teachers to `teachers`.

    Runs that another command is at are left to it, and waited for in the end.

    failures   a line for each run that can't be recorded, or only as a failure
    fabric     what it computes on
    """

    def __init__(self, ledger: Ledger, trainer: Trainer, display: PlainDisplay):
        self._ledger, self._trainer, self._display = ledger, trainer, display
        self.fabric, self.failures = trainer.fabric, trainer.failures

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record. Failures of single baselines are collected, not raised."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        pending = self._ledger.opened(cohorts, self._display.say)
        if pending and (advice := crowding(self.fabric.device.type, torch.get_num_threads())):
            self._display.say(advice)
        done = total - runs_in(pending)
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
        self._ledger.sweep()
        self._display.grid(done, total)

    def perform(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> tuple[RunSpec, ...]:
        """Trains those of some runs of a cohort that have no record by now; returns those that another
        command is at."""
        with Claim() as claim:
            ours = {run.name for run in self._ledger.claimed(runs, claim)}
            unrecorded = {run.name for run in self._ledger.refreshed(cohort)}
            if left := tuple(run for run in runs if run.name in ours & unrecorded):
                self._cohort(cohort, left)
        return tuple(run for run in runs if run.name not in ours)

    def wait_and_perform(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> None:
        """Waits for the command that is at these runs, and trains those of which it leaves no record."""
        left = self._ledger.awaited(cohort, runs, self._display.say)
        if held := self.perform(cohort, left):
            self.wait_and_perform(cohort, held)

    def train_teacher(self, cohort: CohortSpec) -> None:
        """Trains the teacher of a cohort, where nobody has. Raises TeacherFailed."""
        self._trainer.train_teacher(cohort)

    def _cohort(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> None:
        try:
            if runs[0].tuning == "trial":
                Trials(replace(cohort, runs=runs), self._ledger, self._trainer).run()
            else:
                self._train(cohort, runs)
        except TeacherFailed as failure:
            self.failures.append(without_teacher(str(failure), len(runs)))

    def _train(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> None:
        # A tuned run that was left at the default is the default run: trained once, recorded as both.
        twins = {
            run.training_id: [each for each in runs if each.training_id == run.training_id] for run in runs
        }
        leaders = tuple(alike[0] for alike in twins.values())
        folders = {run.name: self._ledger.run_folder(run) for run in runs}
        for training, snapshots in self._trainer.companies(cohort, leaders, folders, self._trainer.budget):
            self._company(training, snapshots, twins, folders)
            training.release()

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
        for outcome in training.train(self._trainer.display(title, training), log, snapshots):
            for run in twins[outcome.run.training_id]:
                self._record(training, replace(outcome, run=run), outcome.run, folders[run.name])

    def _record(
        self, training: CohortTraining, outcome: Outcome, trained: RunSpec, folder: RunFolder
    ) -> None:
        """Writes what a run leaves; `trained` is the run that was trained for it, itself or its twin."""
        with self._trainer.kept_in(folder, outcome.run):
            if outcome.run is not trained:
                folder.begin({"id": outcome.run.id, **asdict(outcome.run)}, outcome.history)
            self._trainer.write(training, outcome, folder)


def without_teacher(failure: str, count: int) -> str:
    """The line on `count` runs that were to learn from a teacher which can't be had."""
    return f"{failure}; {count} runs that would learn from it were not trained"


def make_executor(
    settings: Settings, registry: Registry, display: PlainDisplay, workbench: Workbench | None = None
) -> Executor:
    """The executor of a command in this process; `workbench` may hold a dataset already."""
    fabric = make_fabric(settings.device, settings.precision, *settings.processes)
    if settings.graphs and fabric.device.type != "cuda":
        raise UserError(f"--graphs is for a CUDA device, and this is a {fabric.device.type}: leave it out")
    fabric.fuse, fabric.graphs, fabric.fold = settings.fuse, settings.graphs, settings.fold
    seconds = 60 * settings.snapshot_minutes
    teachers = Teachers(
        settings.results_dir / "teachers",
        fabric,
        display.training,
        display.say,
        seconds,
        settings.teacher_checkpoint,
    )
    workbench = workbench or Workbench(registry, storage_of(settings), display.say)
    trainer = Trainer(teachers, fabric, display, workbench, registry, seconds, settings.memory_gb * 2**30)
    return Executor(Ledger(settings.folder, registry), trainer, display)
