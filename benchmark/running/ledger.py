"""What of a plan is recorded in a results folder already."""

from __future__ import annotations

from pathlib import Path

from benchmark import records
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.plugins import Registry
from benchmark.running.store import RunFolder


class Ledger:
    """What of a plan is recorded in a results folder already.

    problems   a line for each damaged record; the run counts as not recorded
    """

    def __init__(self, folder: Path, registry: Registry):
        self.folder, self._registry = folder, registry
        self.problems: list[str] = []
        self._outdated: dict[str, set[str]] = {}

    def pending(self, cohort: CohortSpec) -> tuple[RunSpec, ...]:
        """The runs of a cohort that have no valid record, or one of a failure: these are tried again."""
        return tuple(run for run in cohort.runs if self._record(run) in (None, "failed"))

    def ended(self, run: RunSpec) -> bool:
        """Whether a run has a valid record, be it one of a failure."""
        return self._record(run) is not None

    def run_folder(self, run: RunSpec) -> RunFolder:
        """Where a run's files stand."""
        return RunFolder(self.folder / "runs" / run.slug)

    def outdated(self) -> list[str]:
        """A line for each baseline of which records were made with other code; they stay as they are."""
        return [
            f"{name}: {len(runs)} of the records found were made with other code of this baseline; "
            f"delete their folders in {self.folder / 'runs'} to repeat them"
            for name, runs in self._outdated.items()
        ]

    def _record(self, run: RunSpec) -> records.Status | None:
        """The status of a run's record; None where it has none that is valid."""
        if not run.id:
            return None
        folder = self.run_folder(run)
        try:
            record = records.read_record(folder.record)
        except records.CorruptRecord as problem:
            self.problems.append(f"{problem}; this run is repeated")
            return None
        if record is None or record.id != run.id:
            return None
        if record.status != "failed" and record.provenance.code_checksum != code_checksum(
            run, self._registry
        ):
            self._outdated.setdefault(run.baseline, set()).add(run.slug)
        folder.tidy()
        return record.status


def code_checksum(run: RunSpec, registry: Registry) -> str:
    """Which version of the baselines' files a run would be trained with."""
    return "+".join(part.code_checksum for part in registry.parts(run.baseline))
