"""What --list prints: tasks with datasets and pairs, and the baselines; in 80 columns, without torch."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console

from benchmark import plugins
from benchmark.catalogue.index import Catalogue, Listed, catalogue
from benchmark.contracts import DatasetCard, Pair, Task
from benchmark.errors import unknown
from benchmark.planning.datasets import check_names
from benchmark.settings import Settings
from benchmark.telling import tell

INDENT = "  "
LIBRARIES = "torchvision:MODEL and timm:MODEL, for images"


def print_plugins(settings: Settings, console: Console) -> None:
    """Every task, or those of --tasks, with datasets and pairs; then every baseline, or those of --baselines.

    Raises UserError for unknown names.
    """
    # A file may bring a task, and to import one takes torch.
    registry = plugins.load(settings.plugin) if settings.plugin else plugins.load_tasks()
    check_names(settings, registry, plugins.declared_baselines(settings.plugin))
    tasks = [registry.task(name) for name in settings.tasks or registry.tasks]
    for task in tasks:
        _print(console, f"Task {task.name}: {task.title}", _datasets(task))
        _print(console, f"Pairs of {task.name}", _pairs(task))
    found = catalogue(settings.cache, settings.plugin)
    _print(
        console,
        "Architectures, for pairs of your own",
        [("TEACHER-STUDENT, or PAIR:TEACHER-STUDENT", [*_by_family(found.architectures), LIBRARIES])],
    )
    _print(
        console,
        f"Baselines (a+b composes any two), as built on {_built_on(found, tasks)}",
        [(each.name, _baseline(each, tasks)) for each in _chosen(found, settings)],
    )
    headline = f"Headline set (the default): {' '.join(registry.headline)}"
    console.print(headline, markup=False, highlight=False)


def _print(console: Console, title: str, rows: Iterable[tuple[str, Sequence[str]]]) -> None:
    """A title, then each name with its lines below it, indented and wrapped."""
    console.print(title, style="bold", markup=False, highlight=False)
    for name, lines in rows:
        console.print(f"{INDENT}{name}", style="bold", markup=False, highlight=False)
        for line in lines:
            wrapped = textwrap.fill(line, console.width - 1, break_on_hyphens=False, break_long_words=False,
                                    initial_indent=2 * INDENT, subsequent_indent=2 * INDENT)  # fmt: skip
            tell(console, wrapped)
    console.print()


def _datasets(task: Task) -> list[tuple[str, list[str]]]:
    return [(name, _dataset(card)) for name, card in task.datasets().items()]


def _dataset(card: DatasetCard) -> list[str]:
    kind = "synthetic, embedded" if card.synthetic else "real"
    lines = [f"{card.title}; {kind}"]
    lines += [f"folds: {', '.join(card.folds)}"] if card.folds else []
    lines += [f"needs on disk: {card.requires}"] if card.requires else []
    return lines


def _pairs(task: Task) -> list[tuple[str, list[str]]]:
    """Each pair with what its networks see; the same name may mean other modalities on another dataset."""
    found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for dataset in task.datasets():
        for name, pair in task.pairs(dataset).items():
            teacher, student = ("+".join(e) for e in (pair.teacher_modalities, pair.student_modalities))
            sees = f"{teacher} -> {student}; {pair.recipe.epochs} epochs"
            found.setdefault((name, sees, _published(pair)), []).append(dataset)
    everywhere = len(task.datasets())
    return [
        (name, [f"{sees}; {'all datasets' if len(on) == everywhere else ', '.join(on)}", *published])
        for (name, sees, published), on in found.items()
    ]


def _published(pair: Pair) -> tuple[str, ...]:
    """A line for each baseline whose settings for this pair are published."""
    return tuple(
        f"{name}: {' '.join(f'{key}={value}' for key, value in each.values.items())} ({each.source})"
        for name, each in pair.hyperparameters.items()
    )


def _by_family(architectures: Iterable[str]) -> list[str]:
    """A line for those that have their letters in common: resnet8 with resnet8x4, wrn_16_1 with wrn_40_2."""
    return [
        " ".join(each) for _, each in groupby(architectures, lambda name: re.split(r"\d+(x|_|$)", name)[0])
    ]


def _built_on(found: Catalogue, tasks: list[Task]) -> str:
    names = {task.name for task in tasks}
    return ", ".join(f"{pair} ({task})" for task, pair in found.pairs.items() if task in names)


def _chosen(found: Catalogue, settings: Settings) -> list[Listed]:
    """The baselines asked for, the parts of compositions among them; all where none is."""
    asked = {part for name in settings.baselines for part in name.split("+")}
    known = {each.name for each in found.baselines}
    if lost := sorted(asked - known - {"all"}):
        raise unknown("baseline", lost[0], known)
    every = not asked or "all" in asked
    return [each for each in found.baselines if every or each.name in asked]


def _baseline(listed: Listed, tasks: list[Task]) -> list[str]:
    lines = [", ".join(filter(None, [listed.title, listed.role, listed.source]))]
    lines += ["; ".join(f"{what} {value}" for what, value in listed.facts.items())] if listed.facts else []
    lines += [f"defaults: {listed.defaults}"] if listed.defaults else []
    names = {task.name for task in tasks}
    lines += [f"not {task}: {why}" for task, why in listed.refusals.items() if why and task in names]
    return lines
