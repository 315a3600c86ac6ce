"""What a plan would take on this device: a few steps of each pair are timed, and multiplied.

The students' training is counted with their first stages, and the training of teachers that are not kept;
evaluation and probes come on top, and so does what processes cost each other that share a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmark.data.split_settings import steps_per_epoch
from benchmark.planning.grid import storage_of
from benchmark.planning.specs import CohortSpec
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.running.display import show_seconds
from benchmark.running.teachers import is_kept
from benchmark.settings import Settings
from benchmark.speed import bench_of, suited
from benchmark.training.materials import Workbench

STEPS = 3
"""That are timed, after two that nobody times."""


@dataclass(frozen=True)
class _Seconds:
    """Of one step: of the teacher's own training, and of a run in its cohort, with its share of passes."""

    teacher: float
    run: float


def estimate(
    cohorts: Sequence[CohortSpec],
    pending: Mapping[int, set[str]],
    settings: Settings,
    registry: Registry,
    say: Callable[[str], None],
) -> Iterator[str]:
    """A line per dataset and pair, and one for all of them. A teacher of several pairs is counted with the
    first of them.

    pending   id(cohort) -> the names of its runs that are to do
    """
    workbench = Workbench(registry, storage_of(settings), say)
    measured: dict[tuple[str, str], _Seconds] = {}
    totals: dict[tuple[str, str], float] = {}
    taught: dict[tuple[str, str], float] = {}
    counted: set[str] = set()
    absent: set[str] = set()
    for cohort in cohorts:
        runs = [run for run in cohort.runs if run.name in pending[id(cohort)]]
        where = (cohort.data.dataset, cohort.pair)
        if runs and not cohort.data.fingerprint:
            absent.add(cohort.data.dataset)
        elif runs:
            if where not in measured:
                measured[where] = _measured(cohort, settings, registry, workbench)
            seconds, teacher = measured[where], cohort.teacher
            spent = seconds.run * sum(run.updates or 0 for run in runs)
            if teacher.id not in counted and not is_kept(settings.results_dir / "teachers", teacher):
                counted.add(teacher.id)
                steps = steps_per_epoch(cohort.data.splits.sizes["teacher"], teacher.recipe.batch_size)
                own = seconds.teacher * teacher.recipe.epochs * steps
                taught[where] = taught.get(where, 0.0) + own
                spent += own
            totals[where] = totals.get(where, 0.0) + spent
    for where, spent in totals.items():
        part = f", {show_seconds(taught[where])} of it the teachers'" if where in taught else ""
        yield f"estimate: {' '.join(where)}: {show_seconds(spent)} of training{part}"
    for dataset in sorted(absent):
        yield f"estimate: {dataset} is not here and not counted"
    yield f"estimate: {show_seconds(sum(totals.values()))} in all, in one process on this device"


def _measured(cohort: CohortSpec, settings: Settings, registry: Registry, workbench: Workbench) -> _Seconds:
    fabric = make_fabric(settings.device, settings.precision)
    fabric.fold = settings.fold
    bench = bench_of(workbench.materials(cohort), registry, fabric)
    runs = suited(bench, lambda line: None)
    teacher = bench.time_teacher(STEPS)
    return _Seconds(teacher / 1000, bench.time(runs, STEPS).wall / len(runs) / 1000)
