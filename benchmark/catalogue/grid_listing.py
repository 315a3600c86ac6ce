"""What --dry-run prints: how much a command would train, what is recorded, and what is missing for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from rich.console import Console

from benchmark import api
from benchmark.planning.grid import Plan, make_plan
from benchmark.planning.specs import CohortSpec
from benchmark.planning.tuning import tuned
from benchmark.running.ledger import Ledger
from benchmark.settings import Settings
from benchmark.telling import tell


def print_plan(settings: Settings, console: Console) -> None:
    """Sums per dataset, pair and condition, or with --verbose every cohort. Nothing is trained.

    Raises UserError for unknown names and settings that can't be met; missing data is told, not raised.
    """
    registry = api.load_plugins(settings)
    say = partial(tell, console)
    plan = make_plan(settings, registry, say, without_data=True)
    ledger = Ledger(settings.folder, registry)
    pending = {id(cohort): {run.name for run in ledger.pending(cohort)} for cohort in plan.cohorts}
    for line in (_cohorts if settings.verbose else _sums)(plan, pending):
        say(line)
    ledger.tell(say)
    for line in plan.missing:
        say(line)
    if plan.tuning:
        say(_trials(plan, ledger))
    say(_total(plan, pending))
    if settings.estimate:
        from benchmark.catalogue.estimate import estimate  # what trains is imported where something is timed

        further = _of_tuning(plan)
        pending |= {id(cohort): {run.name for run in cohort.runs} for cohort in further}
        for line in estimate([*plan.cohorts, *further], pending, settings, registry, say):
            say(line)
        if further:
            say(
                "estimate: at most that: every trial is counted to its end (halving makes them half), and "
                "every run once more with what is chosen, whatever is recorded"
            )


def _of_tuning(plan: Plan) -> list[CohortSpec]:
    """All that tuning may train: the runs once more with what is chosen, which cost what they do without,
    and the trials."""
    return [*(replace(cohort) for cohort in plan.cohorts), *plan.tuning] if plan.tuning else []


def _sums(plan: Plan, pending: dict[int, set[str]]) -> Iterator[str]:
    """The datasets, and below each its pairs under their conditions."""
    groups: dict[str, dict[tuple[str, str], list[CohortSpec]]] = {}
    for cohort in plan.cohorts:
        dataset = groups.setdefault(f"{cohort.data.task}/{cohort.data.dataset}", {})
        dataset.setdefault((cohort.pair, _condition(cohort)), []).append(cohort)
    for dataset, pairs in groups.items():
        yield dataset
        for (pair, condition), cohorts in pairs.items():
            runs = sum(len(cohort.runs) for cohort in cohorts)
            to_do = sum(len(pending[id(cohort)]) for cohort in cohorts)
            teachers = len({cohort.teacher for cohort in cohorts})
            yield f"  {pair}: {condition}"
            yield (
                f"    {_count(runs, 'run')} ({to_do} to do), {_count(len(cohorts), 'cohort')}, "
                f"{_count(teachers, 'teacher')}, "
                f"seeds {' '.join(map(str, dict.fromkeys(cohort.seed for cohort in cohorts)))}"
            )


def _condition(cohort: CohortSpec) -> str:
    split = cohort.data.split
    words = [cohort.data.fold] if cohort.data.fold else []
    words += [f"labels {split.label_fraction:g}"] if split.label_fraction < 1 else []
    return ", ".join([*words, f"{cohort.recipe.epochs} epochs"])


def _cohorts(plan: Plan, pending: dict[int, set[str]]) -> Iterator[str]:
    for cohort in plan.cohorts:
        to_do = pending[id(cohort)]
        names = [run.name for run in cohort.runs]
        teacher, epochs = cohort.teacher, cohort.recipe.epochs
        yield f"{cohort.title}: {epochs} epochs, teacher {teacher.architecture} seed {teacher.seed}"
        for what, chosen in (
            ("to do", [name for name in names if name in to_do]),
            ("recorded", [name for name in names if name not in to_do]),
        ):
            if chosen:
                yield f"  {what}: {' '.join(chosen)}"


def _trials(plan: Plan, ledger: Ledger) -> str:
    trials = sum(len(cohort.runs) for cohort in plan.tuning)
    further = sum(len(cohort.runs) for cohort in plan.cohorts)
    to_do = sum(len(ledger.pending(cohort)) for cohort in plan.tuning)
    told = f"before: {_count(trials, 'trial')} of tuning in {_count(len(plan.tuning), 'cohort')}"
    after = f"after: {_count(further, 'run')} more with what they choose"
    if to_do:
        recorded = f" ({trials - to_do} recorded, {to_do} to do)" if to_do < trials else ""
        return f"{told}{recorded}; {after}"
    from benchmark.running.tuning import chosen_settings  # with what trains

    chosen = chosen_settings(plan.tuning, ledger, lambda line: None, keep=False)
    both = [tuned(cohort, chosen) for cohort in plan.cohorts]
    further = sum(run.tuning == "tuned" for cohort in both for run in cohort.runs)
    to_do = sum(run.tuning == "tuned" for cohort in both for run in ledger.pending(cohort))
    after = f"after: {_count(further, 'run')} more with what they chose"
    return f"{told} (all recorded); {after} ({further - to_do} recorded, {to_do} to do)"


def _total(plan: Plan, pending: dict[int, set[str]]) -> str:
    total = sum(len(cohort.runs) for cohort in plan.cohorts)
    to_do = sum(map(len, pending.values()))
    teachers = len({cohort.teacher for cohort in plan.cohorts})
    return (
        f"{_count(len(plan.cohorts), 'cohort')}, {_count(teachers, 'teacher')}, {_count(total, 'run')}: "
        f"{total - to_do} recorded, {to_do} to do"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
