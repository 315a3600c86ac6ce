"""What each baseline acts on, adds and fits, found by building it on pairs of untrained networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from benchmark.contracts import (
    IGNORE,
    Activations,
    Context,
    Distiller,
    NotApplicable,
    Pair,
    Progress,
)
from benchmark.contracts.distiller import SecondView
from benchmark.models import Network, build
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.plugins import Baseline, Registry
from benchmark.training.composition import build_distiller
from benchmark.training.networks import describe

CLASSES, SAMPLES, BATCH = 10, 64, 4
START = Progress(epoch=1, epochs=4, step=10, steps=40)
KINDS = ("logits", "embedding", "maps", "preactivations")


@dataclass(frozen=True, eq=False)
class TaskPair:
    """A pair on a dataset: where a baseline is tried. Half of the labels may be used."""

    task: str
    dataset: str
    name: str
    pair: Pair
    shapes: Mapping[str, tuple[int, ...]]

    @cached_property
    def networks(self) -> tuple[Network, Network]:
        """Teacher and student, untrained."""
        pair = self.pair
        return (
            self._network(pair.teacher, pair.teacher_modalities),
            self._network(pair.student, pair.student_modalities),
        )

    def _network(self, architecture: str, seen: tuple[str, ...]) -> Network:
        return build(architecture, [self.shapes[each] for each in seen], CLASSES, seen).eval()

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """A batch of noise, [BATCH, C, *space] per modality that one of the two sees."""
        draw = torch.Generator().manual_seed(0)
        seen = dict.fromkeys((*self.pair.teacher_modalities, *self.pair.student_modalities))
        return {name: torch.randn(BATCH, *self.shapes[name], generator=draw) for name in seen}

    @cached_property
    def activations(self) -> tuple[Activations, Activations]:
        """What teacher and student show of `inputs`, without gradient."""
        teacher, student = self.networks
        with torch.no_grad():
            return teacher(self.inputs), student(self.inputs)

    def shown(self, view: SecondView) -> tuple[Activations, Activations]:
        """`activations`, with a second view of as many rows as that one has."""
        if not view:
            return self.activations
        copies = 3 if view == "rotated" else 1
        inputs = {name: x.repeat_interleave(copies, 0) + 0.1 for name, x in self.inputs.items()}
        with torch.no_grad():
            second = [network(inputs) for network in self.networks]
        teacher, student = self.activations
        return replace(teacher, second=second[0]), replace(student, second=second[1])

    @cached_property
    def views(self) -> frozenset[SecondView]:
        """The second views that its shapes allow: what they don't say (the units) is taken to be right."""
        shapes = [self.shapes[name] for name in self.inputs]
        found: set[SecondView] = set()
        if self.activations[1].logits.ndim == 2:
            if all(len(shape) == 3 and shape[0] == 3 for shape in shapes):
                found.add("strong")
            if all(len(shape) > 2 and shape[-1] == shape[-2] for shape in shapes):
                found.add("rotated")
        return frozenset(found)

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
        return describe(*self.networks, self.inputs, CLASSES, self.labels, self.views)

    def build(self, baseline: Baseline) -> Distiller:
        """The baseline at its defaults. Raises NotApplicable."""
        hyperparameters = resolve_hyperparameters((baseline,), self.pair.hyperparameters, {})
        return build_distiller((baseline,), self.context, hyperparameters)


@dataclass(frozen=True)
class Entry:
    """What was found about a baseline.

    acts_on      which of the student's activations its terms move
    parameters   how many trainable ones it adds, on the first pair that it fits
    stages       its first stages, with their share of the epochs
    refusals     pair -> why it doesn't apply there
    """

    baseline: Baseline
    acts_on: str
    parameters: int
    stages: tuple[str, ...]
    refusals: Mapping[TaskPair, str]


def task_pairs(registry: Registry, *, quick: bool) -> list[TaskPair]:
    """Pairs with known shapes, each on the first dataset that has it: the quick presets' ones, or all.

    In the order of the tasks' names.
    """
    found: dict[tuple, TaskPair] = {}
    for task in sorted(registry.tasks.values(), key=lambda each: each.name):
        cards = task.datasets()
        preset = task.presets()["quick"]
        for dataset in preset.datasets if quick else cards:
            shapes = cards[dataset].shapes
            for name, pair in task.pairs(dataset).items():
                seen = (*pair.teacher_modalities, *pair.student_modalities)
                if not shapes.keys() >= set(seen) or (quick and name not in preset.pairs):
                    continue
                alike = (task.name, pair.teacher, pair.student, seen)
                found.setdefault(alike, TaskPair(task.name, dataset, name, pair, shapes))
    return list(found.values())


def explore(baselines: Iterable[Baseline], places: Iterable[TaskPair]) -> Iterator[Entry]:
    """Builds every baseline on every pair. One that breaks is reported as refusing, with its error."""
    places = list(places)
    for baseline in baselines:
        fitting: Distiller | None = None
        where, refusals = "", {}
        for place in places:
            try:
                with torch.random.fork_rng(devices=[]):
                    distiller = place.build(baseline)
                    if fitting is None:
                        where, fitting = acts_on(distiller, place), distiller
            except NotApplicable as reason:
                refusals[place] = str(reason)
            except Exception as error:
                refusals[place] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        parameters = sum(p.numel() for p in fitting.parameters() if p.requires_grad) if fitting else 0
        stages = (
            [f"{each.name} ({each.share:g} of the epochs)" for each in fitting.first_stages()]
            if fitting
            else []
        )
        yield Entry(baseline, where, parameters, tuple(stages), refusals)


def acts_on(distiller: Distiller, place: TaskPair) -> str:
    """The student's activations that get a gradient from the distiller's terms or its first stages'."""
    teacher, shown = place.shown(distiller.second_view)
    student = shown.map(lambda x: x.clone().requires_grad_())
    stages = [distiller, *(stage.loss for stage in distiller.first_stages())]
    terms = [term for stage in stages for term in stage(teacher, student, place.batch, START).values()]
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
