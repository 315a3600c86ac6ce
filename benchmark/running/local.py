"""Executes cohorts one after another in this process, and writes a record for every run that ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from benchmark.cohorts import Cohort, Run
from benchmark.evaluation.accuracy import information
from benchmark.evaluation.fidelity import FIDELITY
from benchmark.running.display import PlainDisplay
from benchmark.running.provenance import provenance
from benchmark.running.store import CorruptRecord, RunFolder
from benchmark.running.teachers import Teachers
from benchmark.training.checkpoint import Snapshots, save_weights
from benchmark.training.cohort import CohortTraining, Outcome
from benchmark.training.teacher import Teacher


@dataclass
class Executor:
    """Runs what is not yet recorded. Results go to `folder`/runs, teachers to `teachers`."""

    folder: Path
    teachers: Path
    fabric: Fabric
    display: PlainDisplay
    failures: list[str] = field(default_factory=list)
    _outdated: Counter[str] = field(default_factory=Counter)
    _probed: dict[object, object] = field(default_factory=dict)

    def execute(self, cohorts: list[Cohort]) -> None:
        """Trains every run without a record. Failures of single baselines are collected, not raised."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        pending = {id(cohort): self.pending(cohort) for cohort in cohorts}
        self.name_outdated()
        done = total - sum(len(runs) for runs in pending.values())
        teachers = Teachers(self.teachers, self.fabric, self.display.training, self.display.say)
        for cohort in cohorts:
            if runs := pending[id(cohort)]:
                self.display.grid(done, total, len(runs))
                self._cohort(cohort, runs, teachers)
                done += len(runs)
        self.display.grid(done, total)

    def pending(self, cohort: Cohort) -> tuple[Run, ...]:
        """The runs of a cohort that have no valid record; a damaged record is named and counts as none."""
        return tuple(run for run in cohort.runs if not self._recorded(run))

    def name_outdated(self) -> None:
        """Says which records were made with other code of their baseline; they stay as they are."""
        for name, count in self._outdated.items():
            self.display.say(
                f"{name}: {count} of the records found were made with other code of this baseline; "
                f"delete their folders in {self.folder / 'runs'} to repeat them"
            )

    def _recorded(self, run: Run) -> bool:
        try:
            record = self._folder(run).record()
        except CorruptRecord as problem:
            self.display.say(f"{problem}; this run is repeated")
            return False
        found = record is not None and record.get("id") == run.id
        if found and record["provenance"].get("code_checksum") != run.code_checksum:
            self._outdated[run.baseline] += 1
        return found

    def _folder(self, run: Run) -> RunFolder:
        return RunFolder(self.folder / "runs" / run.slug)

    def _cohort(self, cohort: Cohort, runs: tuple[Run, ...], teachers: Teachers) -> None:
        teacher = teachers.get(cohort)
        if self.fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.fabric.device)
        snapshots = Snapshots(
            {run.baseline: self._folder(run).snapshot for run in runs},
            {run.baseline: f"{run.id} {run.code_checksum}" for run in runs},
            self.display.say,
        )
        found = {run.baseline: snapshots.load(run.baseline) for run in runs}
        # Runs that were stopped at different epochs go on in companies of their own: it makes no difference.
        for first_epoch in sorted({epoch for epoch, _ in found.values()}):
            company = tuple(run for run in runs if found[run.baseline][0] == first_epoch)
            states = {run.baseline: found[run.baseline][1] for run in company if first_epoch}
            training = CohortTraining(
                cohort, company, teacher, self.fabric, first_epoch, states, self._probed
            )
            self._train(training, company, snapshots)

    def _train(self, training: CohortTraining, runs: tuple[Run, ...], snapshots: Snapshots) -> None:
        cohort, folders = training.cohort, {run.id: self._folder(run) for run in runs}
        for run in runs:
            history = training.states.get(run.baseline, {}).get("history", ())
            folders[run.id].begin(_config(cohort, run), history)

        def log(run: Run, epoch: Mapping[str, Any]) -> None:
            folders[run.id].log_epoch(epoch)

        display = self.display.training(f"{cohort.title}: {len(runs)} runs", counts=True)
        for outcome in training.train(display, log, snapshots.keep):
            self._write(training, outcome, folders[outcome.run.id])

    def _write(self, training: CohortTraining, outcome: Outcome, folder: RunFolder) -> None:
        if outcome.status == "failed":
            (folder.path / "error.txt").write_text(outcome.reason)
            last = outcome.reason.strip().splitlines()[-1]
            self.failures.append(
                f"{outcome.run.slug} failed: {last} (all of it: {folder.path / 'error.txt'})"
            )
            return
        if outcome.status == "finished":
            save_weights(outcome.learner.finished_weights(), folder.path / "weights.safetensors")
        if outcome.arrays:
            folder.save_arrays(outcome.arrays)
        folder.finish(make_record(training.cohort, outcome, training.teacher, self.fabric.device))


def _config(cohort: Cohort, run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "run": _run_part(run),
        "condition": run.condition,
        "recipe": asdict(cohort.recipe),
        "hyperparameters": run.hyperparameters,
        "teacher": asdict(cohort.teacher) | {"id": cohort.teacher.id},
    }


def _run_part(run: Run) -> dict[str, Any]:
    names = ("task", "dataset", "pair", "baseline", "seed")
    return {name: getattr(run, name) for name in names}


def make_record(cohort: Cohort, outcome: Outcome, teacher: Teacher, device: torch.device) -> dict[str, Any]:
    """The record of an outcome: everything that tables and figures may ever ask of it."""
    run = outcome.run
    return {
        "id": run.id,
        "run": _run_part(run),
        "condition": run.condition,
        "status": outcome.status,
        "reason": outcome.reason,
        "about": _about(cohort, run),
        "metrics": information(cohort.task.metrics(cohort.data), FIDELITY),
        "results": outcome.results,
        "hyperparameters": run.hyperparameters,
        "recipe": asdict(cohort.recipe),
        "measurements": outcome.measurements,
        "provenance": provenance(
            device,
            teacher_id=teacher.spec.id,
            teacher_checksum=teacher.checksum,
            data_fingerprint=cohort.data.fingerprint,
            code_checksum=run.code_checksum,
        ),
    }


def _about(cohort: Cohort, run: Run) -> dict[str, Any]:
    alone = run.parts[0] if len(run.parts) == 1 else None
    splits, pair = cohort.splits, cohort.pair
    return {
        "task_title": cohort.task.title,
        "dataset_title": cohort.card.title,
        "baseline_title": " + ".join(part.title for part in run.parts),
        "role": alone.role if alone else "method",
        "paper": "; ".join(part.paper for part in run.parts if part.paper),
        "arxiv": "; ".join(part.arxiv for part in run.parts if part.arxiv),
        "anchor": alone.anchor if alone else False,
        "companion": alone.companion if alone else "",
        "order": run.order,
        "synthetic": cohort.data.synthetic,
        "num_classes": len(cohort.data.classes),
        "num_train": len(splits.train),
        "num_labelled": int(splits.labelled.sum()),
        "num_validation": len(splits.validation),
        "num_test": len(cohort.data.test),
        "num_teacher": len(splits.teacher),
        "teacher": cohort.teacher.architecture,
        "student": pair.student,
        "teacher_modalities": cohort.teacher.modalities,
        "student_modalities": pair.student_modalities,
    }
