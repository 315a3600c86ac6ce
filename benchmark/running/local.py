"""Executes cohorts one after another in this process, and writes a record for every run that ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from benchmark import records
from benchmark.evaluation.accuracy import information
from benchmark.evaluation.calibration import CALIBRATION
from benchmark.evaluation.fidelity import FIDELITY
from benchmark.planning.grid import storage_of
from benchmark.planning.hyperparameters import order_of
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.running.display import PlainDisplay
from benchmark.running.provenance import provenance
from benchmark.running.store import RunFolder
from benchmark.running.teachers import Teachers
from benchmark.settings import Settings
from benchmark.training.checkpoint import Snapshots, save_weights
from benchmark.training.cohort import CohortTraining, Outcome
from benchmark.training.materials import Materials, Workbench
from benchmark.training.teacher import Teacher


class Ledger:
    """What of a plan is recorded in a results folder already.

    problems   a line for each damaged record; the run counts as not recorded
    """

    def __init__(self, folder: Path, registry: Registry):
        self.folder, self._registry = folder, registry
        self.problems: list[str] = []
        self._outdated: Counter[str] = Counter()

    def pending(self, cohort: CohortSpec) -> tuple[RunSpec, ...]:
        """The runs of a cohort that have no valid record, or one of a failure: these are tried again."""
        return tuple(run for run in cohort.runs if not self._recorded(run))

    def run_folder(self, run: RunSpec) -> RunFolder:
        """Where a run's files stand."""
        return RunFolder(self.folder / "runs" / run.slug)

    def outdated(self) -> list[str]:
        """A line for each baseline of which records were made with other code; they stay as they are."""
        return [
            f"{name}: {count} of the records found were made with other code of this baseline; "
            f"delete their folders in {self.folder / 'runs'} to repeat them"
            for name, count in self._outdated.items()
        ]

    def _recorded(self, run: RunSpec) -> bool:
        if not run.id:
            return False
        try:
            record = records.read_record(self.run_folder(run).record)
        except records.CorruptRecord as problem:
            self.problems.append(f"{problem}; this run is repeated")
            return False
        if record is None or record.id != run.id or record.status == "failed":
            return False
        if record.provenance.code_checksum != code_checksum(run, self._registry):
            self._outdated[run.baseline] += 1
        return True


def code_checksum(run: RunSpec, registry: Registry) -> str:
    """Which version of the baselines' files a run would be trained with."""
    return "+".join(part.code_checksum for part in registry.parts(run.baseline))


class Executor:
    """Runs what is not yet recorded. Results go to the ledger's folder, teachers to `teachers`.

    failures   a line for each run that ended in an error of its baseline's code
    """

    def __init__(
        self,
        ledger: Ledger,
        teachers: Path,
        fabric: Fabric,
        display: PlainDisplay,
        workbench: Workbench,
        registry: Registry,
    ):
        self._ledger, self._fabric, self._display = ledger, fabric, display
        self._workbench, self._registry = workbench, registry
        self._teachers = Teachers(teachers, fabric, display.training, display.say)
        self._memory: dict[object, object] = {}
        self.failures: list[str] = []

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record. Failures of single baselines are collected, not raised."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        pending = [self._ledger.pending(cohort) for cohort in cohorts]
        for line in (*self._ledger.problems, *self._ledger.outdated()):
            self._display.say(line)
        done = total - sum(map(len, pending))
        for cohort, runs in zip(cohorts, pending, strict=True):
            if runs:
                self._display.grid(done, total, len(runs))
                self._cohort(cohort, runs)
                done += len(runs)
        self._display.grid(done, total)

    def perform(self, cohort: CohortSpec, runs: tuple[RunSpec, ...]) -> None:
        """Trains those of some runs of a cohort that have no record by now; with no runs, its teacher."""
        if not runs:
            self._teachers.get(self._workbench.materials(cohort))
            return
        unrecorded = {run.name for run in self._ledger.pending(cohort)}
        if left := tuple(run for run in runs if run.name in unrecorded):
            self._cohort(cohort, left)

    def companies(
        self, cohort: CohortSpec, runs: tuple[RunSpec, ...], folders: Mapping[str, RunFolder]
    ) -> Iterator[tuple[CohortTraining, Snapshots]]:
        """Trainings of some runs of a cohort, begun or gone on with; `folders` by the run's name.

        Runs that were stopped at different epochs go on in companies of their own: it makes no difference.
        """
        materials = self._workbench.materials(cohort)
        teacher = self._teachers.get(materials)
        if self._fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._fabric.device)
        snapshots = Snapshots(
            {run.name: folders[run.name].snapshot for run in runs},
            {run.name: f"{run.id} {code_checksum(run, self._registry)}" for run in runs},
            self._display.say,
        )
        found = {run.name: snapshots.load(run.name) for run in runs}
        for first_epoch in sorted({epoch for epoch, _ in found.values()}):
            company = tuple(run for run in runs if found[run.name][0] == first_epoch)
            training = CohortTraining(
                materials,
                company,
                teacher,
                self._fabric,
                self._registry,
                first_epoch,
                {run.name: found[run.name][1] for run in company if first_epoch},
                self._memory,
                self._display.say,
            )
            for run in company:
                history = training.snapshots.get(run.name, {}).get("history", ())
                folders[run.name].begin({"id": run.id, **asdict(run)}, history)
            yield training, snapshots

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
        for training, snapshots in self.companies(cohort, leaders, folders):
            title = f"{cohort.title}: {len(training.runs)} runs"

            def log(run: RunSpec, epoch: Mapping[str, Any]) -> None:
                folders[run.name].log_epoch(epoch)

            for outcome in training.train(self.display(title), log, snapshots.keep):
                for run in twins[outcome.run.training_id]:
                    if run is not outcome.run:
                        folders[run.name].begin({"id": run.id, **asdict(run)}, outcome.history)
                    self.write(training, replace(outcome, run=run), folders[run.name])

    def write(self, training: CohortTraining, outcome: Outcome, folder: RunFolder) -> records.Record:
        """Writes what an outcome leaves, its record last; of a trial no weights."""
        if outcome.status == "failed":
            folder.error.write_text(outcome.reason)
            outcome.reason = outcome.reason.strip().splitlines()[-1]
            self.failures.append(f"{outcome.run.slug} failed: {outcome.reason} (all of it: {folder.error})")
        if outcome.status == "finished" and outcome.trial is None:
            assert outcome.learner is not None
            save_weights(outcome.learner.finished_weights(), folder.weights)
        if outcome.arrays:
            folder.save_arrays(outcome.arrays)
        record = make_record(
            training.materials, outcome, training.teacher, self._registry, self._fabric.device
        )
        folder.finish(record)
        return record


def make_executor(
    settings: Settings, registry: Registry, display: PlainDisplay, workbench: Workbench | None = None
) -> Executor:
    """The executor of a command in this process; `workbench` may hold a dataset already."""
    return Executor(
        Ledger(settings.folder, registry),
        settings.results_dir / "teachers",
        make_fabric(settings.device, settings.precision),
        display,
        workbench or Workbench(registry, storage_of(settings), display.say),
        registry,
    )


def make_record(
    materials: Materials, outcome: Outcome, teacher: Teacher, registry: Registry, device: torch.device
) -> records.Record:
    """The record of an outcome: everything that tables and figures may ever ask of it."""
    run = outcome.run
    return records.Record(
        id=run.id,
        run=run.key,
        condition=run.condition,
        status=outcome.status,
        reason=outcome.reason,
        about=_about(materials, run, registry),
        metrics=information(
            materials.metrics,
            (*(CALIBRATION if len(materials.metrics) else ()), *FIDELITY),
            len(materials.data.classes),
        ),
        results=outcome.results,
        teacher=records.Teacher(
            id=teacher.spec.id,
            checksum=teacher.checksum,
            architecture=teacher.spec.architecture,
            modalities=teacher.spec.modalities,
            test={**teacher.test},
            **asdict(teacher.cost),
            probes=outcome.teacher_probes,
            train={**teacher.train},
            corrupted=outcome.teacher_corrupted,
        ),
        hyperparameters=run.hyperparameters,
        recipe=asdict(run.recipe),
        measurements=replace(outcome.measurements, teacher_s=teacher.seconds),
        provenance=provenance(
            device,
            data_fingerprint=materials.data.fingerprint,
            code_checksum=code_checksum(run, registry),
        ),
        trial=outcome.trial,
        selection=run.selection,
    )


def _about(materials: Materials, run: RunSpec, registry: Registry) -> records.About:
    parts = registry.parts(run.baseline)
    alone = parts[0] if len(parts) == 1 else None
    sizes = run.data.splits.sizes
    return records.About(
        task_title=materials.task.title,
        dataset_title=materials.card.title,
        baseline_title=" + ".join(part.title for part in parts),
        role=alone.role if alone else "method",
        paper="; ".join(part.paper for part in parts if part.paper),
        arxiv="; ".join(part.arxiv for part in parts if part.arxiv),
        anchor=alone.anchor if alone else False,
        companion=alone.companion if alone else "",
        order=order_of(run.baseline, registry),
        synthetic=materials.data.synthetic,
        num_classes=len(materials.data.classes),
        num_train=sizes["train"],
        num_labelled=run.data.splits.labelled,
        num_validation=sizes["validation"],
        num_test=sizes["test"],
        num_teacher=sizes["teacher"],
        student=run.student.architecture,
        student_modalities=run.student.modalities,
    )
