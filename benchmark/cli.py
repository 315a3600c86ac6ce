"""The command line: arguments -> settings -> plan -> records -> report; messages and exit codes."""

from __future__ import annotations

import sys
from functools import partial

from rich.console import Console

import benchmark
from benchmark import api
from benchmark.errors import RanksApart, UserError, told_of_file
from benchmark.interruption import Interrupted, signals_heard
from benchmark.program import INSTALLED, command, program
from benchmark.records import RECORD
from benchmark.settings import Settings, parse
from benchmark.telling import tell


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; exit code 0: done, 1: a baseline failed, 2: bad input, 130 and 143: interrupted."""
    console, errors = Console(), Console(stderr=True)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if {"-h", "--help"} & set(arguments):
            _help(console)
            return 0
        if "--version" in arguments:
            tell(console, f"{INSTALLED} {benchmark.__version__}")
            return 0
        with signals_heard():
            return _run(parse(arguments), console)
    except UserError as error:
        tell(errors, f"{program()}: {error}")
        return 2
    except OSError as error:
        tell(errors, f"{program()}: {told_of_file(error)}")
        return 2
    except RanksApart as error:
        tell(errors, f"{program()}: {error}")
        return 1
    except KeyboardInterrupt as stop:
        tell(errors, "interrupted; finished runs are recorded, the same command goes on from there")
        return stop.exit_code if isinstance(stop, Interrupted) else 130


def _run(settings: Settings, console: Console) -> int:
    if settings.follows and (settings.reports or settings.list or settings.dry_run):
        return 0  # the first process does it
    if settings.reports:
        if settings.report_only:
            _report(settings, console)
        if settings.figures:
            _report_papers(settings, console)
        return 0
    if settings.list:
        from benchmark.catalogue.listing import print_plugins

        print_plugins(settings, console)
        return 0
    if settings.dry_run:
        from benchmark.catalogue.grid_listing import print_plan

        print_plan(settings, console)
        return 0
    if settings.executor == "slurm":
        _submit(settings, console)
        return 0
    failures = api.train(settings, console)
    if settings.report and not settings.shard and any((settings.folder / "runs").glob(f"*/{RECORD}")):
        _report(settings, console)
    for failure in failures:
        tell(console, failure, style="red")
    return 1 if failures else 0


def _help(console: Console) -> None:
    from benchmark import plugins
    from benchmark.usage import usage

    task = next(iter(plugins.load_tasks().tasks), "TASK")
    tell(console, usage(" ".join(command()), task), end="")


def _submit(settings: Settings, console: Console) -> None:
    """Plans, so that what can't be meant is told now; then writes the array, and submits it where it can."""
    from benchmark.clusters.slurm import submit, write_array
    from benchmark.planning.grid import make_plan
    from benchmark.running.store import check_writable

    say = partial(tell, console)
    check_writable(settings.folder)
    make_plan(settings, api.load_plugins(settings), say)
    script = write_array(settings)
    answer = submit(script)
    say(answer if answer is not None else f"{script} is written: hand it to sbatch")
    say("when its jobs are done, the same command with --report-only in place of --executor slurm reports")


def _report(settings: Settings, console: Console) -> None:
    api.write_report(settings, console)


def _report_papers(settings: Settings, console: Console) -> None:
    from benchmark.reporting import report_papers

    report_papers(settings.folder, settings.figures, console)
    if settings.estimate:
        from benchmark.catalogue.estimate import estimate_papers

        say = partial(tell, console)
        for line in estimate_papers(settings, api.load_plugins(settings), say):
            say(line)
