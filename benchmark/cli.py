"""The command line: arguments -> settings -> grid -> records -> report; messages and exit codes."""

from __future__ import annotations

import sys

from rich.console import Console

from benchmark.errors import UserError
from benchmark.settings import Settings, parse


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; exit code 0: done, 1: a baseline failed, 2: bad input, 130: interrupted."""
    console, errors = Console(), Console(stderr=True)
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments)
        return _run(settings, console)
    except UserError as error:
        errors.print(f"run_all.py: {error}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print(
            "interrupted; finished runs are recorded, the same command goes on from there", markup=False
        )
        return 130


def _run(settings: Settings, console: Console) -> int:
    if settings.report_only or settings.figures:
        if settings.report_only:
            _report(settings, console)
        if settings.figures:
            _report_papers(settings, console)
        return 0
    # Imported here: the report needs none of it, and it takes seconds.
    from benchmark import listing, plugins
    from benchmark.grid import make_grid
    from benchmark.running.device import make_fabric
    from benchmark.running.display import make_display
    from benchmark.running.local import Executor
    from benchmark.running.store import check_writable

    registry = plugins.load(settings.plugin)
    if settings.list:
        listing.print_plugins(registry, console)
        return 0
    fabric = make_fabric(settings.device, settings.precision)
    if not settings.dry_run:
        check_writable(settings.folder)
    with make_display(console) as display:
        cohorts = make_grid(settings, registry, display.say)
        executor = Executor(settings.folder, settings.results_dir / "teachers", fabric, display)
        if settings.dry_run:
            listing.print_grid(cohorts, executor, console)
            return 0
        executor.execute(cohorts)
    if any((settings.folder / "runs").glob("*/record.json")):
        _report(settings, console)
    for failure in executor.failures:
        console.print(failure, style="red", markup=False, highlight=False, soft_wrap=True)
    return 1 if executor.failures else 0


def _report(settings: Settings, console: Console) -> None:
    from benchmark.reporting import report

    report(settings.folder, console)


def _report_papers(settings: Settings, console: Console) -> None:
    from benchmark.reporting import report_papers

    report_papers(settings.folder, settings.figures, console)
