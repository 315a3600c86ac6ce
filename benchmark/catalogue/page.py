"""The baselines in words: cells of --list, and docs/baselines.md."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from benchmark.catalogue.exploration import Entry, TaskPair, explore, task_pairs
from benchmark.contracts import Choice, Range
from benchmark.declarations import Hyperparameter
from benchmark.planning.hyperparameters import order_of
from benchmark.plugins import Baseline, Registry
from benchmark.program import ROOT


def applies(entry: Entry, places: Iterable[TaskPair]) -> dict[str, str]:
    """Task -> on how many of its pairs it applies: "all 17", "13 of 17", or "-"."""
    counts: dict[str, list[bool]] = {}
    for place in places:
        counts.setdefault(place.task, []).append(place not in entry.refusals)
    return {task: _share(sum(fits), len(fits)) for task, fits in counts.items()}


def _share(fits: int, total: int) -> str:
    if fits == 0:
        return "-"
    return f"{'all ' if fits == total else f'{fits} of '}{total}"


def defaults(baseline: Baseline) -> str:
    """`weight=1000 task_weight=1`: every hyper-parameter, as `--set` takes it."""
    return " ".join(f"{each.name}={_plain(each.default)}" for each in baseline.hyperparameters.values())


def weights(baseline: Baseline) -> str:
    """Those of the default hyper-parameters that weigh a term."""
    own = [each for each in baseline.hyperparameters.values() if each.name.endswith("weight")]
    return ", ".join(f"{each.name.removesuffix('_weight')} {_plain(each.default)}" for each in own)


def source(baseline: Baseline) -> str:
    """Paper and arXiv number; empty where there is none."""
    return ", ".join(filter(None, [baseline.paper, baseline.arxiv and f"arXiv {baseline.arxiv}"]))


def needed(baseline: Baseline) -> str:
    """What must be there, with a teacher that isn't the pair's trained one, and a second view."""
    teacher = baseline.distiller.learns_from
    other = [] if teacher == "trained" else [f"a teacher: {teacher.replace('_', ' ')}"]
    view = baseline.distiller.second_view
    second = [f"a second view: {view}"] if view else []
    return ", ".join([*sorted(baseline.distiller.needs), *other, *second])


def count(parameters: int) -> str:
    """1,120; empty for none."""
    return f"{parameters:,}" if parameters else ""


def ordered(registry: Registry) -> list[Baseline]:
    """Every baseline in the order of tables."""
    return sorted(registry.baselines.values(), key=lambda each: order_of(each.name, registry))


def page(registry: Registry) -> str:
    """docs/baselines.md: a table of every baseline, then the loss and the settings of each."""
    places = task_pairs(registry, quick=False)
    entries = list(explore(ordered(registry), places))
    tasks = list(dict.fromkeys(place.task for place in places))
    head = ["name", "title", "year", "acts on", "needs", "adds", "first stages", "default weights", *tasks]
    rows = [
        [
            f"[`{entry.baseline.name}`](#{anchor(entry.baseline)})",
            entry.baseline.title,
            entry.baseline.year or "-",
            entry.acts_on or "-",
            needed(entry.baseline) or "-",
            count(entry.parameters) or "-",
            "; ".join(entry.stages) or "-",
            weights(entry.baseline),
            *applies(entry, places).values(),
        ]
        for entry in entries
    ]
    return "\n".join([INTRODUCTION, *table(head, rows), "", *(_section(entry) for entry in entries)])


INTRODUCTION = """# The baselines

Generated from the code with `python -m benchmark.catalogue`; a test keeps it current.
Everything below was found by building each baseline, untrained, on every pair of every task, each on the
first dataset that has it.

- **acts on**: the student's activations that its terms move; `maps 1-3` are the stages behind the stem.
- **needs**: what must be there; logits must also be of one shape in teacher and student.
- **adds**: trainable parameters of its own, on the first pair that it fits.
- **first stages**: trainings of their own before the students train together.
- **default weights**: of its terms; `task` is that of the supervised loss.
- a column per task: on how many of its pairs it applies. The reasons stand with each baseline; a run that
  does not apply is recorded as such, with the reason.

Any two compose as `a+b`.
"""


def _section(entry: Entry) -> str:
    baseline = entry.baseline
    lines = [
        f"## {_heading(baseline)}",
        "",
        _cited(baseline),
        "",
        inspect.getdoc(baseline.distiller) or "",
        "",
    ]
    settings = [
        [
            f"`{each.name}`",
            _plain(each.default),
            _searched(each),
            getattr(each.search, "source", "") or "-",
        ]
        for each in baseline.hyperparameters.values()
    ]
    lines += [*table(["hyper-parameter", "default", "search range", "source of the default"], settings), ""]
    reasons: dict[str, list[str]] = {}
    for place, reason in entry.refusals.items():
        reasons.setdefault(reason, []).append(f"{place.dataset} {place.name}")
    lines += [f"- Not applicable to {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join([*lines, ""] if reasons else lines)


def _cited(baseline: Baseline) -> str:
    link = f" ([arXiv {baseline.arxiv}](https://arxiv.org/abs/{baseline.arxiv}))" if baseline.arxiv else ""
    paper = f", {baseline.paper}{link}" if baseline.paper else ""
    return f"{baseline.role.capitalize()}{paper}; `{baseline.file.relative_to(ROOT)}`."


def _heading(baseline: Baseline) -> str:
    return f"{baseline.name}: {baseline.title}"


def anchor(baseline: Baseline) -> str:
    """The anchor that viewers give the heading: lower case, punctuation dropped, spaces to dashes."""
    kept = "".join(c for c in _heading(baseline).lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _searched(each: Hyperparameter) -> str:
    search = each.search
    if isinstance(search, Range):
        return f"{search.low:g} to {search.high:g}{', logarithmic' if search.log else ''}"
    if not isinstance(search, Choice) or not search.values:
        return "-"
    return ", ".join(map(str, search.values)) + (" (set by hand)" * (not each.searched))


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(head), line(["---"] * len(head)), *(line(row) for row in rows)]
