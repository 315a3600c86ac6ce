"""Runs the trials of tuning in lockstep, halves them, and keeps what was chosen.

Nothing here opens the test split for a student: a trial is judged on validation alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import disk_full_told
from benchmark.planning.specs import CohortSpec, RunSpec, plain_name
from benchmark.planning.tuning import (
    Chosen,
    Contestant,
    Winner,
    choose,
    rungs,
    survivors,
    tuning_key,
)
from benchmark.records import (
    FIRM_VALIDATION,
    VALIDATION,
    Results,
    Trial,
)
from benchmark.running.companies import Trainer
from benchmark.running.ledger import Ledger
from benchmark.training.cohort import CohortTraining
from benchmark.training.loop import Position
from benchmark.training.outcomes import Outcome
from benchmark.training.run_state import RunState
from benchmark.training.snapshots import Snapshots
from benchmark.writing import write_whole


def chosen_settings(
    cohorts: Sequence[CohortSpec], ledger: Ledger, say: Callable[[str], None], *, keep: bool = True
) -> Chosen:
    """What is chosen among the trials that are recorded, by `tuning_key`; to `keep` it, in `tuned/`, too.

    `say` is told of each baseline without a choice.
    """
    chosen: dict[str, Winner] = {}
    files: dict[str, list[CohortSpec]] = {}
    for cohort in cohorts:
        files.setdefault(_file_name(cohort), []).append(cohort)
    for name, alike in files.items():
        own = [each for cohort in alike for each in _chosen(cohort, ledger, say)]
        if own and keep:
            _save(ledger.folder / "tuned" / f"{name}.yaml", alike[0].title, own)
        chosen |= {tuning_key(run): choice for run, choice in own}
    return chosen


def _save(file: Path, title: str, chosen: list[tuple[RunSpec, Winner]]) -> None:
    """The chosen settings as a file that --config takes; every value is written out."""
    file.parent.mkdir(parents=True, exist_ok=True)
    first = chosen[0][1][0]
    lines = [
        f"# {title}: the best of {first.trials} trials per baseline on {first.num_validation} "
        "validation samples",
        *(["# so few that the choice is mostly noise"] if first.num_validation < FIRM_VALIDATION else []),
    ]
    lines += [
        f"# {run.baseline}: trial {choice.number}, {_shown(choice.score)}"
        f" (default {_shown(choice.default_score)})"
        for run, (choice, _) in chosen
    ]
    content = {"set": {run.baseline: dict(values) for run, (_, values) in chosen}}
    text = "\n".join(lines) + "\n" + yaml.safe_dump(content, sort_keys=False)
    write_whole(file, text.encode())


def _shown(score: float | None) -> str:
    """A score on validation; None is that of a configuration which did not get to the end."""
    return "stopped before its end" if score is None else f"{score:.4g}"


def _file_name(cohort: CohortSpec) -> str:
    split = cohort.data.split
    words = [cohort.data.dataset, cohort.data.fold, cohort.pair, cohort.teacher.kind, split.teacher_data]
    words += [f"labels{split.label_fraction:g}"] if split.label_fraction < 1 else []
    return plain_name("-".join(filter(None, words)))


def _chosen(cohort: CohortSpec, ledger: Ledger, say: Callable[[str], None]) -> list[tuple[RunSpec, Winner]]:
    """For each baseline of which a trial got to the end: the chosen trial, and how it was chosen."""
    found = []
    for own in _by_baseline(cohort):
        ended = [record for run in own if (record := ledger.record(run)) is not None]
        if ended and (selection := choose(ended)) is not None:
            best = next(run for run in own if run.trial == selection.number)
            found.append((best, (selection, best.hyperparameters)))
        else:
            statuses = Counter(record.status.replace("_", " ") for record in ended)
            ends = ", ".join(f"{count} {status}" for status, count in statuses.items())
            say(
                f"{cohort.title}: no tuned runs of {own[0].baseline}, as none of its {len(own)} trials got "
                f"to the end with a score on validation ({ends or 'none is recorded'})"
            )
    return found


def _by_baseline(cohort: CohortSpec) -> list[list[RunSpec]]:
    names = dict.fromkeys(run.baseline for run in cohort.runs)
    return [[run for run in cohort.runs if run.baseline == name] for name in names]


class Trials:
    """The trials of one cohort: trained from rung to rung, recorded as they end.

    They are all trials of each of its baselines; those of another baseline, wherever they train, make no
    difference.
    """

    def __init__(self, cohort: CohortSpec, ledger: Ledger, trainer: Trainer):
        self._cohort, self._trainer = cohort, trainer
        self._folders = {run.name: ledger.run_folder(run) for run in cohort.runs}
        found = {run.name: ledger.record(run) for run in cohort.runs}
        # A failure is tried again.
        self._ended = {name: each for name, each in found.items() if each and each.status != "failed"}
        self._higher_is_better = True

    def run(self) -> None:
        """Leaves a record of every trial that has none. Raises TeacherFailed."""
        going = tuple(run for run in self._cohort.runs if run.name not in self._ended)
        companies = list(self._trainer.companies(self._cohort, going, self._folders))
        self._higher_is_better = companies[0][0].evaluation.higher_is_better
        epochs = self._cohort.recipe.epochs
        for rung, halt in enumerate((*rungs(epochs), epochs), start=1):
            for training, snapshots in companies:
                self._advance(training, snapshots, halt)
            if halt < epochs:
                self._halve(rung, halt, [training for training, _ in companies])
            for training, _ in companies:
                self._record_ended(training)

    def _advance(self, training: CohortTraining, snapshots: Snapshots, halt: int) -> None:
        if training.epochs_done >= halt:
            return
        going = sum(state.status == "training" for state in training.states)
        title = f"{self._cohort.title}: {going} trials, to epoch {halt}"
        training.advance(halt, self._trainer.display(title, training), self._log, snapshots, self._summary)
        # At a rung everyone has a snapshot of it: a command that is stopped while it halves goes on alike.
        snapshots.keep(Position(halt, 0), [state for state in training.states if state.status == "training"])

    def _summary(self, states: Sequence[RunState]) -> str:
        """The best of each baseline's trials at the last epoch, of how many."""
        words = []
        for own in _by_baseline(self._cohort):
            names = {run.name for run in own}
            going = [state for state in states if state.name in names]
            last = [score for state in going for score in validation_of(state.history)[-1:]]
            known = [score for score in last if score is not None]
            best = (max if self._higher_is_better else min)(known) if known else math.nan
            words.append(f"{own[0].baseline} {best:.3f} (best of {len(going)})")
        return "  ".join(words)

    def _log(self, run: RunSpec, epoch: Mapping[str, Any]) -> None:
        with disk_full_told():
            self._folders[run.name].log_epoch(epoch)

    def _halve(self, rung: int, halt: int, companies: Sequence[CohortTraining]) -> None:
        """Stops the worse half of each baseline's trials: of all that got to the rung, ended since or not."""
        histories = {name: record.trial.validation for name, record in self._ended.items() if record.trial}
        states = {state.name: state for training in companies for state in training.states}
        histories |= {name: validation_of(state.history) for name, state in states.items()}
        for own in _by_baseline(self._cohort):
            at_rung = {
                run.name: Contestant(run.trial, histories[run.name][halt - 1])
                for run in own
                if len(histories.get(run.name, ())) >= halt
            }
            count = math.ceil(len(own) / 2**rung)
            going = survivors(at_rung.values(), count, self._higher_is_better)
            for name, contestant in at_rung.items():
                state = states.get(name)
                if contestant.number not in going and state is not None and state.status == "training":
                    state.retire("stopped", f"not among the better half after {halt} epochs")

    def _record_ended(self, training: CohortTraining) -> None:
        """Writes the records of the trials that have ended since the last time."""
        outcomes = list(training.unsuited)
        for state in training.states:
            if state.status != "training":
                scores = {VALIDATION: state.history[-1].get("validation", {})} if state.history else {}
                outcomes.append(
                    Outcome(
                        training.runs[state.name],
                        state.status,
                        state.reason,
                        Results(scores=scores),
                        measurements=training.measurements(state),
                        history=state.history,
                    )
                )
        for outcome in outcomes:
            name, folder = outcome.run.name, self._folders[outcome.run.name]
            if name not in self._ended:
                outcome.trial = Trial(outcome.run.trial, validation_of(outcome.history), outcome.run.trials)
                with self._trainer.kept_in(folder, outcome.run):
                    self._ended[name] = self._trainer.write(training, outcome, folder)


def validation_of(history: Sequence[Mapping[str, Any]]) -> tuple[float | None, ...]:
    """The primary metric on validation after each epoch; None after the one in which a trial diverged."""
    return tuple(next(iter(epoch.get("validation", {}).values()), None) for epoch in history)
