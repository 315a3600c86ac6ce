"""What --list and --dry-run print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmark import zoo, zoo_page
from benchmark.cohorts import Cohort
from benchmark.contracts import Task
from benchmark.plugins import Registry
from benchmark.running.local import Executor


def print_plugins(registry: Registry, console: Console) -> None:
    """Every task with its datasets and pairs, then every baseline."""
    for task in registry.tasks.values():
        console.print(_datasets(task))
        console.print(_pairs(task))
    console.print(_baselines(registry))
    console.print(f"Headline set (the default): {' '.join(registry.headline)}", highlight=False)


def _baselines(registry: Registry) -> Table:
    places = zoo.spots(registry, quick=True)
    where = ", ".join(f"{spot.name} ({spot.task})" for spot in places)
    table = _table(
        f"Baselines (a+b composes any two), as built on {where}",
        "name", "what it is", "how it acts", "defaults", "applies to",
    )  # fmt: skip
    for entry in zoo.explore(zoo_page.ordered(registry), places):
        refused = {spot.task: reason for spot, reason in entry.refusals.items()}
        fits = [spot.task for spot in places if spot not in entry.refusals]
        found = {
            "on": entry.acts_on,
            "needs": zoo_page.needed(entry.baseline),
            "adds": zoo_page.count(entry.parameters),
            "first": "; ".join(entry.preludes),
        }
        table.add_row(
            entry.baseline.name,
            ", ".join(
                filter(None, [entry.baseline.title, entry.baseline.role, zoo_page.source(entry.baseline)])
            ),
            "\n".join(f"{what} {value}" for what, value in found.items() if value),
            zoo_page.defaults(entry.baseline),
            "\n".join([*fits, *(f"not {task}: {reason}" for task, reason in refused.items())]),
        )
    return table


def _datasets(task: Task) -> Table:
    table = _table(f"Task {task.name}: {task.title}", "dataset", "title", "kind", "folds", "needs on disk")
    for dataset, card in task.datasets().items():
        kind = "synthetic, embedded" if card.synthetic else "real"
        table.add_row(dataset, card.title, kind, ", ".join(card.folds) or "-", card.requires or "nothing")
    return table


def _pairs(task: Task) -> Table:
    table = _table(f"Pairs of {task.name}", "pair", "teacher sees", "student sees", "epochs", "datasets")
    found: dict[tuple[str, ...], list[str]] = {}
    for dataset in task.datasets():
        for name, pair in task.pairs(dataset).items():
            sees = ("+".join(each) for each in (pair.teacher_modalities, pair.student_modalities))
            # The same name may mean other modalities on another dataset: a row of its own.
            found.setdefault((name, *sees, str(pair.recipe.epochs)), []).append(dataset)
    for row, datasets in found.items():
        everywhere = len(datasets) == len(task.datasets())
        table.add_row(*row, "all" if everywhere else ", ".join(datasets))
    return table


def print_grid(cohorts: list[Cohort], executor: Executor, console: Console) -> None:
    """The grid: a line per cohort with its runs, those to do and those already recorded."""
    table = _table("Grid", "cohort", "teacher", "epochs", "to do", "recorded")
    total = to_do = 0
    for cohort in cohorts:
        pending = {run.id for run in executor.pending(cohort)}
        total, to_do = total + len(cohort.runs), to_do + len(pending)
        table.add_row(
            cohort.title,
            f"{cohort.teacher.architecture}, seed {cohort.teacher.seed}",
            str(cohort.recipe.epochs),
            " ".join(run.baseline for run in cohort.runs if run.id in pending) or "-",
            " ".join(run.baseline for run in cohort.runs if run.id not in pending) or "-",
        )
    console.print(table)
    executor.name_outdated()
    console.print(
        f"{len(cohorts)} cohorts, {total} runs: {total - to_do} recorded, {to_do} to do", highlight=False
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
