"""What of a plan is recorded in a results folder already, and who is at the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark import records
from benchmark.errors import UserError
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.running.locks import Claim, locked, sweep
from benchmark.running.store import RunFolder

NAMED = 10
"""As many run folders are named in one line."""

Pending = list[tuple[CohortSpec, tuple[RunSpec, ...]]]
"""Cohorts with those of their runs that are to be trained."""


class Ledger:
    """What of a plan is recorded in a results folder already. A damaged record counts as none.

    Looking (`pending`, `record`) writes nothing: a plan may be of a folder that is not to be changed.
    """

    def __init__(self, folder: Path, registry: Registry):
        self.folder, self._registry = folder, registry
        self._damaged: list[str] = []
        self._told: set[str] = set()
        self._outdated: dict[tuple[str, Path], set[str]] = {}

    def opened(self, cohorts: Sequence[CohortSpec], say: Callable[[str], None]) -> Pending:
        """What is to do of a plan; what is recorded of it is `refreshed`, and `tell` says what is wrong."""
        pending = [(cohort, runs) for cohort in cohorts if (runs := self.refreshed(cohort))]
        self.tell(say)
        return pending

    def pending(self, cohort: CohortSpec, failed: bool = True) -> tuple[RunSpec, ...]:
        """The runs of a cohort that have no valid record, or (where `failed` ones are tried again) one of a
        failure; beside such a trial all trials of its baseline, with which it is halved."""
        return _to_do([(run, self.record(run)) for run in cohort.runs], failed)

    def refreshed(self, cohort: CohortSpec, failed: bool = True) -> tuple[RunSpec, ...]:
        """`pending`, and of the other runs the folders are tidied, and what their records say of a choice is
        brought up to date. Raises OSError where that can't be written."""
        return _to_do([(run, self._refreshed(run)) for run in cohort.runs], failed)

    def record(self, run: RunSpec) -> records.Record | None:
        """A run's record; None where it has none that is valid, and for a trial that was halved among another
        number of them: which ones were stopped is a verdict among those.

        Raises UserError for a record of a later version, which must not be trained over.
        """
        if not run.id:
            return None
        folder = self.run_folder(run)
        try:
            record = records.read_record(folder.record)
        except records.NewerRecord as problem:
            raise UserError(str(problem)) from problem
        except records.CorruptRecord as problem:
            self._damaged.append(f"{problem}; this run is repeated")
            return None
        if record is None or record.id != run.id:
            return None
        if record.trial is not None and record.trial.trials not in (None, run.trials):
            return None
        if record.status != "failed" and record.provenance.code_checksum != code_checksum(
            run, self._registry
        ):
            self._outdated.setdefault((run.baseline, folder.path.parent), set()).add(run.slug)
        return record

    def _refreshed(self, run: RunSpec) -> records.Record | None:
        record, folder = self.record(run), self.run_folder(run)
        if record is None:
            return None
        if run.selection and record.selection and record.selection.trials != run.selection.trials:
            # Chosen among fewer or more since then, and alike: the same training.
            record = replace(record, selection=run.selection)
            records.write_record(folder.record, record)
        folder.tidy()
        return record

    def run_folder(self, run: RunSpec) -> RunFolder:
        """Where a run's files stand."""
        return RunFolder(self.folder / ("trials" if run.tuning == "trial" else "runs") / run.slug)

    def claimed(self, runs: Iterable[RunSpec], claim: Claim) -> tuple[RunSpec, ...]:
        """Those of the runs that no other command is at; from now on this one is."""
        free = (
            group
            for group in kept_together(runs)
            if all(claim.take(self.run_folder(run).lock) for run in group)
        )
        return tuple(run for group in free for run in group)

    def awaited(
        self, cohort: CohortSpec, runs: Iterable[RunSpec], say: Callable[[str], None]
    ) -> tuple[RunSpec, ...]:
        """Waits for the command that is at some runs of a cohort; returns those of which it leaves no
        record."""
        for run in runs:
            with locked(self.run_folder(run).lock, say, run.slug):
                pass
        names = {run.name for run in runs}
        return tuple(run for run in self.refreshed(cohort, failed=False) if run.name in names)

    def tell(self, say: Callable[[str], None]) -> None:
        """Says, once, which records are damaged, and which of a baseline were made with other code of it:
        those stay as they are."""
        outdated = (
            f"{name}: {len(runs)} of the records found were made with other code of this baseline; "
            f"delete their folders in {folder} to repeat them: {_listed(runs)}"
            for (name, folder), runs in self._outdated.items()
        )
        for line in (*self._damaged, *outdated):
            if line not in self._told:
                self._told.add(line)
                say(line)

    def sweep(self) -> None:
        """Removes the lock files that commands which were killed have left."""
        for kind in ("runs", "trials"):
            sweep(self.folder / kind)


def _listed(names: set[str]) -> str:
    """The first of the names, and how many more there are."""
    first, more = sorted(names)[:NAMED], len(names) - NAMED
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def _to_do(found: Sequence[tuple[RunSpec, records.Record | None]], failed: bool) -> tuple[RunSpec, ...]:
    """The runs of a cohort that need training, by what is recorded of each."""
    missing = {run.name for run, record in found if record is None or (failed and record.status == "failed")}
    halved = {run.baseline for run, _ in found if run.tuning == "trial" and run.name in missing}
    return tuple(
        run for run, _ in found if run.name in missing or (run.tuning == "trial" and run.baseline in halved)
    )


def runs_in(pending: Pending) -> int:
    """How many runs are to be trained."""
    return sum(len(runs) for _, runs in pending)


def kept_together(runs: Iterable[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """The runs in groups of which one process trains each: those that train alike, and the trials of a
    baseline, which are halved among themselves."""
    groups: dict[str, list[RunSpec]] = {}
    for run in runs:
        groups.setdefault(run.baseline if run.tuning == "trial" else run.training_id, []).append(run)
    return [tuple(group) for group in groups.values()]


def snapshot_identity(run: RunSpec, registry: Registry) -> str:
    """What must agree for a snapshot of a run to be used; trials pass rungs among as many as they are."""
    halved = f" of {run.trials}" if run.tuning == "trial" else ""
    return f"{run.id} {code_checksum(run, registry)}{halved}"


def code_checksum(run: RunSpec, registry: Registry) -> str:
    """Which version of the baselines' files a run would be trained with."""
    return "+".join(part.code_checksum for part in registry.parts(run.baseline))
