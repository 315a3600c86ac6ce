"""What a plan would take on this device: a few steps of each cohort are timed, and multiplied.

The students' training is counted with their first stages, and the training of teachers that are not kept;
evaluation and probes come on top, and so does what processes cost each other that share a machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.data.split_settings import steps_per_epoch
from benchmark.planning.grid import make_plan, storage_of
from benchmark.planning.specs import CohortSpec
from benchmark.plugins import Registry
from benchmark.program import command
from benchmark.ranks import Fabric
from benchmark.reporting.papers import load_papers, placed
from benchmark.reporting.results import Results
from benchmark.running.device import make_fabric
from benchmark.running.display import show_seconds
from benchmark.running.ledger import Ledger
from benchmark.running.teachers import is_kept
from benchmark.settings import Precision, Settings, parse
from benchmark.speed import NoneSuited, bench_of, suited
from benchmark.training.materials import Workbench

STEPS = 3
"""That are timed, after two that nobody times."""


@dataclass
class Seconds:
    """Of training: all of it, and the teachers' part, which is None where no teacher has to be trained."""

    total: float = 0.0
    teachers: float | None = None

    def __str__(self) -> str:
        teachers = "" if self.teachers is None else f", {show_seconds(self.teachers)} of it the teachers'"
        return f"{show_seconds(self.total)} of training{teachers}"

    def add(self, other: Seconds) -> None:
        self.total += other.total
        if other.teachers is not None:
            self.teachers = (self.teachers or 0.0) + other.teachers


@dataclass(frozen=True)
class _Step:
    """Of one step: of the teacher's own training, and of a run with its share of its cohort's passes.

    baselines   those that apply: the others' runs are recorded as such at once
    """

    teacher: float
    run: float
    baselines: frozenset[str]


class Meter:
    """Times what it has not timed before: a pair of networks and its methods, on one dataset.

    absent   the datasets that are not here, whose runs are not counted
    """

    def __init__(self, settings: Settings, registry: Registry, say: Callable[[str], None]):
        self._registry = registry
        self._workbench = Workbench(registry, storage_of(settings), say)
        self._settings = settings
        self._teachers = settings.results_dir / "teachers"
        self._fabrics: dict[Precision, Fabric] = {}
        self._steps: dict[tuple[object, ...], _Step] = {}
        self.absent: set[str] = set()

    def seconds(
        self, cohorts: Sequence[CohortSpec], pending: Mapping[int, set[str]]
    ) -> dict[tuple[str, str], Seconds]:
        """For each dataset and pair; a teacher of several pairs is counted with the first of them.

        pending   id(cohort) -> the names of its runs that are to do
        """
        found: dict[tuple[str, str], Seconds] = {}
        counted: set[str] = set()
        for cohort in cohorts:
            runs = [run for run in cohort.runs if run.name in pending[id(cohort)]]
            if runs and not cohort.data.fingerprint:
                self.absent.add(cohort.data.dataset)
            elif runs:
                step, teacher = self._step(cohort), cohort.teacher
                spent = found.setdefault((cohort.data.dataset, cohort.pair), Seconds())
                trained = [run for run in runs if run.baseline in step.baselines]
                spent.add(Seconds(step.run * sum(run.updates or 0 for run in trained)))
                if teacher.id not in counted and not is_kept(self._teachers, teacher):
                    counted.add(teacher.id)
                    steps = steps_per_epoch(cohort.data.splits.sizes["teacher"], teacher.recipe.batch_size)
                    own = step.teacher * teacher.recipe.epochs * steps
                    spent.add(Seconds(own, own))
        return found

    def _step(self, cohort: CohortSpec) -> _Step:
        names, labels = sorted({run.baseline for run in cohort.runs}), cohort.data.split.label_fraction
        sizes = (cohort.recipe.batch_size, cohort.teacher.recipe.batch_size)
        key = (cohort.data.dataset, labels, cohort.pair, cohort.precision, *sizes, *names)
        if key not in self._steps:
            fabric = self._fabric(cohort.precision)
            bench = bench_of(self._workbench.materials(cohort), self._registry, fabric)
            try:
                runs = suited(bench, lambda line: None)
            except NoneSuited:
                runs = ()
            each = bench.time(runs, STEPS).wall / len(runs) / 1000 if runs else 0.0
            baselines = frozenset(run.baseline for run in runs)
            self._steps[key] = _Step(bench.time_teacher(STEPS) / 1000, each, baselines)
        return self._steps[key]

    def _fabric(self, precision: Precision) -> Fabric:
        """What a cohort of this precision computes on."""
        if precision not in self._fabrics:
            self._fabrics[precision] = make_fabric(self._settings.device, precision)
            self._fabrics[precision].fold = self._settings.fold
        return self._fabrics[precision]

    def told(self) -> Iterator[str]:
        """A line for each dataset that is not here."""
        for dataset in sorted(self.absent):
            yield f"estimate: {dataset} is not here and not counted"


def estimate(
    cohorts: Sequence[CohortSpec],
    pending: Mapping[int, set[str]],
    settings: Settings,
    registry: Registry,
    say: Callable[[str], None],
) -> Iterator[str]:
    """A line per dataset and pair, and one for all of them; `pending` as Meter.seconds takes it."""
    meter, total = Meter(settings, registry, say), 0.0
    for where, seconds in meter.seconds(cohorts, pending).items():
        yield f"estimate: {' '.join(where)}: {seconds}"
        total += seconds.total
    yield from meter.told()
    yield f"estimate: {show_seconds(total)} in all, in one process on this device"


def estimate_papers(settings: Settings, registry: Registry, say: Callable[[str], None]) -> Iterator[str]:
    """A line per table and figure of the papers' lists: the training of its missing runs, with the teachers
    that it would need if nothing else was run. A cohort is timed once for all items."""
    meter, records = Meter(settings, registry, say), Results.read(settings.folder).records
    for paper in load_papers(settings.figures):
        for item in paper.items:
            commands = item.missing(records, placed(settings.folder))
            seconds = _of_commands(commands, meter, settings, registry)
            if seconds.total:
                yield f"estimate: {paper.name}, {item.number}: {seconds}"
    yield from meter.told()


def _of_commands(commands: Iterable[str], meter: Meter, settings: Settings, registry: Registry) -> Seconds:
    """What commands of the suite train together; data and plugins are those of `settings`."""
    cohorts: list[CohortSpec] = []
    pending: dict[int, set[str]] = {}
    for each in commands:
        meant = parse(shlex.split(each)[len(command()) :])
        meant = replace(meant, data_dir=settings.data_dir or meant.data_dir, plugin=settings.plugin)
        ledger = Ledger(meant.folder, registry)
        planned = make_plan(meant, registry, without_data=True).cohorts
        cohorts += planned
        pending |= {id(cohort): {run.name for run in ledger.pending(cohort)} for cohort in planned}
    found = Seconds()
    for seconds in meter.seconds(cohorts, pending).values():
        found.add(seconds)
    return found
