"""The benchmark from Python: `run(Settings(...))` does what the command does and returns its results."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.console import Console

from benchmark.errors import UserError
from benchmark.program import command
from benchmark.settings import Settings, arguments_of

if TYPE_CHECKING:
    from benchmark.clusters.ray_cluster import RayExecutor
    from benchmark.plugins import Registry
    from benchmark.reporting.results import Results
    from benchmark.running.display import PlainDisplay
    from benchmark.running.ledger import Ledger
    from benchmark.running.workers import WorkerPool


def run(settings: Settings, console: Console | None = None) -> Results:
    """Trains what has no record yet, writes the report (if asked to, and of no shard), and returns what the
    folder holds.

    settings   as on the command line; `list`, `dry_run` and the other ways to stop early are not heeded
    console    where progress and tables are printed; standard output without one

    A baseline that fails leaves a record of status "failed" and stops nobody else. Raises UserError for bad
    input, and for executor "slurm": the jobs of an array are commands.
    """
    from benchmark.reporting.results import Results

    settings.check()
    if settings.config is not None:
        raise UserError(
            f"config {settings.config}: a file is read by the command line; here give what it says, or "
            f"benchmark.settings.parse(['--config', '{settings.config}'])"
        )
    if settings.executor == "slurm":
        written = shlex.join([*command(), *arguments_of(settings)])
        raise UserError(f'executor "slurm": the command line writes the array, run trains here: {written}')
    train(settings, console or Console())
    if settings.report and not settings.shard:
        write_report(settings, console or Console())
    return Results.read(settings.folder)


def load_plugins(settings: Settings) -> Registry:
    """Every plugin. Names that nothing has are told before torch is imported: UserError."""
    from benchmark import plugins
    from benchmark.planning.datasets import check_names

    registry = plugins.load_tasks()
    known = {*registry.tasks, *(name for task in registry.tasks.values() for name in task.datasets())}
    if settings.plugin and not known.issuperset((*settings.tasks, *settings.datasets)):
        plugins.load(settings.plugin)  # a file may bring a task
    check_names(settings, registry, plugins.declared_baselines(settings.plugin))
    return plugins.load(settings.plugin)


def train(settings: Settings, console: Console) -> list[str]:
    """Trains every run of a command that has no record; returns a line for each one that failed."""
    registry = load_plugins(settings)
    if settings.follows:
        from benchmark.running.followers import follow

        raise SystemExit(follow(settings, registry))
    # Imported here, as below: torch takes seconds, and a misspelt name must not.
    from benchmark.planning.grid import make_plan, storage_of
    from benchmark.planning.tuning import tuned
    from benchmark.running.display import make_display
    from benchmark.running.followers import together
    from benchmark.running.ledger import Ledger
    from benchmark.running.local import make_executor
    from benchmark.running.provenance import code
    from benchmark.running.sharding import own_first, shard
    from benchmark.running.store import check_writable
    from benchmark.running.tuning import chosen_settings
    from benchmark.training.materials import Workbench

    code()  # asked now: another commit may be checked out before the first record
    with make_display(console) as display:
        workbench = Workbench(registry, storage_of(settings), display.say)
        executor = make_executor(settings, registry, display, workbench)
        check_writable(settings.folder)
        plan = make_plan(settings, registry, display.say, workbench.load)
        cohorts = plan.cohorts
        ledger = Ledger(settings.folder, registry)
        with together(settings, executor.fabric):
            performer = _elsewhere(settings, ledger, display) or executor
            if plan.tuning:
                performer.execute(own_first(plan.tuning, *settings.shard_of()))
                chosen = chosen_settings(plan.tuning, ledger, display.say)
                cohorts = tuple(tuned(cohort, chosen) for cohort in cohorts)
            performer.execute(shard(cohorts, *settings.shard_of()))
        return performer.failures


def _elsewhere(settings: Settings, ledger: Ledger, display: PlainDisplay) -> RayExecutor | WorkerPool | None:
    """Who executes a grid outside of this process; None where nobody is asked to."""
    if settings.executor == "ray":
        from benchmark.clusters.ray_cluster import RayExecutor

        return RayExecutor(ledger, settings, display)
    if settings.jobs > 1:
        from benchmark.running.workers import WorkerPool

        return WorkerPool(ledger, settings, display)
    return None


def write_report(settings: Settings, console: Console) -> None:
    """Tables, figures and the page, from the records of the results folder."""
    from benchmark.reporting import report
    from benchmark.running.store import check_writable

    if settings.folder.is_dir():
        check_writable(settings.folder)
    report(settings.folder, console)
