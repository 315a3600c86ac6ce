"""The zoo: what each baseline acts on, adds and fits, found by building it; `python -m benchmark.zoo` prints
docs/baselines.md."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from benchmark import plugins
from benchmark.contracts import (
    IGNORE,
    Activations,
    Choice,
    Context,
    Distiller,
    NotApplicable,
    Pair,
    Progress,
    Range,
)
from benchmark.grid import order_of
from benchmark.models import build
from benchmark.models.network import Network, look
from benchmark.plugins import Baseline, Registry
from benchmark.training.composition import build_distiller, resolve_hyperparameters
from benchmark.training.learner import describe

CLASSES, SAMPLES, BATCH = 10, 64, 4
START = Progress(epoch=1, epochs=4, step=10, steps=40)
KINDS = ("logits", "embedding", "maps", "preactivations")


@dataclass(frozen=True, eq=False)
class Spot:
    """A pair on a dataset: where a baseline is tried. Half of the labels may be used."""

    task: str
    dataset: str
    name: str
    pair: Pair
    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def networks(self) -> tuple[Network, Network]:
        """Teacher and student, untrained."""
        return tuple(
            build(architecture, [self.shapes[each] for each in seen], CLASSES).eval()
            for architecture, seen in (
                (self.pair.teacher, self.pair.teacher_modalities),
                (self.pair.student, self.pair.student_modalities),
            )
        )

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """A batch of noise, [BATCH, C, *space] per modality that one of the two sees."""
        draw = torch.Generator().manual_seed(0)
        seen = dict.fromkeys((*self.pair.teacher_modalities, *self.pair.student_modalities))
        return {name: torch.randn(BATCH, *self.shapes[name], generator=draw) for name in seen}

    @cached_property
    def activations(self) -> tuple[Activations, Activations]:
        """What teacher and student show of `inputs`, without gradient."""
        seen = (self.pair.teacher_modalities, self.pair.student_modalities)
        with torch.no_grad():
            return tuple(look(*each) for each in zip(self.networks, (self.inputs,) * 2, seen, strict=True))

    @cached_property
    def labels(self) -> Tensor:
        """[SAMPLES] int64, or [SAMPLES, H, W] where the student answers per pixel."""
        labels = torch.arange(SAMPLES) % CLASSES
        labels[1::2] = IGNORE
        grid = self.activations[1].logits.shape[2:]
        return labels.view(-1, *[1] * len(grid)).expand(-1, *grid).clone()

    @property
    def batch(self) -> dict[str, Tensor]:
        index = torch.arange(BATCH)
        return {"index": index, "label": self.labels[:BATCH], "labelled": index % 2 == 0, **self.inputs}

    @cached_property
    def context(self) -> Context:
        teacher, student = self.networks
        seen = (self.pair.teacher_modalities, self.pair.student_modalities)
        return describe((teacher, seen[0]), (student, seen[1]), self.inputs, CLASSES, self.labels)

    def build(self, baseline: Baseline) -> Distiller:
        """The baseline at its defaults. Raises NotApplicable."""
        hyperparameters = resolve_hyperparameters((baseline,), self.pair.hyperparameters, {})
        return build_distiller((baseline,), self.context, hyperparameters)


@dataclass(frozen=True)
class Entry:
    """What was found about a baseline.

    acts_on      which of the student's activations its terms move
    parameters   how many trainable ones it adds, on the first spot that it fits
    preludes     its first stages, with their share of the epochs
    refusals     spot -> why it doesn't apply there
    """

    baseline: Baseline
    acts_on: str
    parameters: int
    preludes: tuple[str, ...]
    refusals: Mapping[Spot, str]


def spots(registry: Registry, *, quick: bool) -> list[Spot]:
    """Pairs with known shapes, each on the first dataset that has it: the quick presets' ones, or all."""
    found: dict[tuple, Spot] = {}
    for task in registry.tasks.values():
        cards = task.datasets()
        preset = task.presets()["quick"]
        for dataset in preset.datasets if quick else cards:
            shapes = cards[dataset].shapes
            for name, pair in task.pairs(dataset).items():
                seen = (*pair.teacher_modalities, *pair.student_modalities)
                if not shapes.keys() >= set(seen) or (quick and name not in preset.pairs):
                    continue
                alike = (task.name, pair.teacher, pair.student, seen)
                found.setdefault(alike, Spot(task.name, dataset, name, pair, shapes))
    return list(found.values())


def explore(baselines: Iterable[Baseline], places: Iterable[Spot]) -> Iterator[Entry]:
    """Builds every baseline on every spot. One that breaks is reported as refusing, with its error."""
    places = list(places)
    for baseline in baselines:
        fitting: Distiller | None = None
        where, refusals = "", {}
        for spot in places:
            try:
                with torch.random.fork_rng(devices=[]):
                    distiller = spot.build(baseline)
                    if fitting is None:
                        where, fitting = acts_on(distiller, spot), distiller
            except NotApplicable as reason:
                refusals[spot] = str(reason)
            except Exception as error:
                refusals[spot] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        parameters = sum(p.numel() for p in fitting.parameters() if p.requires_grad) if fitting else 0
        stages = (
            [f"{each.name} ({each.share:g} of the epochs)" for each in fitting.preludes()] if fitting else []
        )
        yield Entry(baseline, where, parameters, tuple(stages), refusals)


def acts_on(distiller: Distiller, spot: Spot) -> str:
    """The student's activations that get a gradient from the distiller's terms or its first stages'."""
    teacher, shown = spot.activations
    student = shown.map(lambda x: x.clone().requires_grad_())
    stages = [distiller, *(prelude.loss for prelude in distiller.preludes())]
    terms = [term for stage in stages for term in stage(teacher, student, spot.batch, START).values()]
    if not terms:
        return ""
    torch.stack([term.float() for term in terms]).sum().backward()
    found = []
    for kind in KINDS:
        tensors = getattr(student, kind)
        if isinstance(tensors, Tensor):
            found += [kind] if tensors.grad is not None else []
        elif touched := [i for i, each in enumerate(tensors) if each.grad is not None]:
            found.append(f"{kind} {_run(touched)}")
    return ", ".join(found)


def _run(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    whole = numbers == list(range(first, last + 1))
    return f"{first}-{last}" if whole and last > first else " ".join(map(str, numbers))


def applies(entry: Entry, places: Iterable[Spot]) -> dict[str, str]:
    """Task -> "all 17 pairs", "13 of 17 pairs", "the pair", or "-"."""
    counts: dict[str, list[bool]] = {}
    for spot in places:
        counts.setdefault(spot.task, []).append(spot not in entry.refusals)
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
    """What must be there, the teacher included where it isn't the pair's trained one."""
    teacher = baseline.distiller.learns_from
    other = [] if teacher == "trained" else [f"a teacher: {teacher.replace('_', ' ')}"]
    return ", ".join([*sorted(baseline.distiller.needs), *other])


def count(parameters: int) -> str:
    """1,120; empty for none."""
    return f"{parameters:,}" if parameters else ""


def ordered(registry: Registry) -> list[Baseline]:
    """Every baseline in the order of tables."""
    return sorted(registry.baselines.values(), key=lambda each: order_of(each.name, registry))


def page(registry: Registry) -> str:
    """docs/baselines.md: a table of every baseline, then the loss and the settings of each."""
    places = spots(registry, quick=False)
    entries = list(explore(ordered(registry), places))
    tasks = list(dict.fromkeys(spot.task for spot in places))
    head = ["name", "title", "year", "acts on", "needs", "adds", "first stages", "default weights", *tasks]
    rows = [
        [
            f"[`{entry.baseline.name}`](#{_anchor(entry.baseline)})",
            entry.baseline.title,
            entry.baseline.year or "-",
            entry.acts_on or "-",
            needed(entry.baseline) or "-",
            count(entry.parameters) or "-",
            "; ".join(entry.preludes) or "-",
            weights(entry.baseline),
            *applies(entry, places).values(),
        ]
        for entry in entries
    ]
    return "\n".join([INTRODUCTION, *_table(head, rows), "", *(_section(entry) for entry in entries)])


INTRODUCTION = """# The baselines

Generated from the code with `python -m benchmark.zoo > docs/baselines.md`; a test keeps it current.
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
            _searched(each.search),
            getattr(each.search, "source", "") or "-",
        ]
        for each in baseline.hyperparameters.values()
    ]
    lines += [*_table(["hyper-parameter", "default", "search range", "source of the default"], settings), ""]
    reasons: dict[str, list[str]] = {}
    for spot, reason in entry.refusals.items():
        reasons.setdefault(reason, []).append(f"{spot.dataset} {spot.name}")
    lines += [f"- Not applicable to {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join([*lines, ""] if reasons else lines)


def _cited(baseline: Baseline) -> str:
    link = f" ([arXiv {baseline.arxiv}](https://arxiv.org/abs/{baseline.arxiv}))" if baseline.arxiv else ""
    paper = f", {baseline.paper}{link}" if baseline.paper else ""
    return f"{baseline.role.capitalize()}{paper}; `{baseline.file.relative_to(plugins.ROOT)}`."


def _heading(baseline: Baseline) -> str:
    return f"{baseline.name}: {baseline.title}"


def _anchor(baseline: Baseline) -> str:
    """The anchor that viewers give the heading: lower case, punctuation dropped, spaces to dashes."""
    kept = "".join(c for c in _heading(baseline).lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _searched(search: Range | Choice | None) -> str:
    if isinstance(search, Range):
        return f"{search.low:g} to {search.high:g}{', logarithmic' if search.log else ''}"
    return ", ".join(map(str, search.values)) if isinstance(search, Choice) else "-"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(head), line(["---"] * len(head)), *(line(row) for row in rows)]


if __name__ == "__main__":
    sys.stdout.write(page(plugins.load()))
