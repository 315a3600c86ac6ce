"""The report: tables, figures and a page as functions of the records; imports neither torch nor a plugin."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.telling import tell

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.reporting.comparisons import compare as compare
    from benchmark.reporting.figures import draw as draw
    from benchmark.reporting.frame import tidy_frame as tidy_frame
    from benchmark.reporting.results import Results as Results
    from benchmark.reporting.results import history_frame as history_frame
    from benchmark.reporting.results import load_records as load_records
    from benchmark.reporting.tables.pair_tables import wide_frame as wide_frame

_HOMES = {
    "Results": "benchmark.reporting.results",
    "compare": "benchmark.reporting.comparisons",
    "draw": "benchmark.reporting.figures",
    "history_frame": "benchmark.reporting.results",
    "load_records": "benchmark.reporting.results",
    "tidy_frame": "benchmark.reporting.frame",
    "wide_frame": "benchmark.reporting.tables.pair_tables",
}
__all__ = sorted([*_HOMES, "report", "report_papers"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'benchmark.reporting' has no attribute {name!r}")


def report(folder: Path, console: "Console | None" = None) -> list[Path]:
    """Rebuild all tables, figures and the page of `results/<name>/`; print the tables; return the paths.

    Args:
        folder: the folder that holds `runs/`.
        console: where tables, problems and paths are printed (standard output without one).

    Raises:
        UserError: when the folder holds no valid record.
    """
    # Here and not above: drawing libraries take a second to import, and not every command draws.
    from rich.console import Console

    from benchmark.errors import UserError
    from benchmark.reporting import comparisons, figures
    from benchmark.reporting.output import write
    from benchmark.reporting.page import write_page
    from benchmark.reporting.results import Results
    from benchmark.reporting.tables import render
    from benchmark.reporting.tables.across_table import across_tables
    from benchmark.reporting.tables.corruption_tables import corruption_tables
    from benchmark.reporting.tables.pair_tables import adds_to_task_table, pair_tables
    from benchmark.reporting.tables.probe_tables import probe_tables
    from benchmark.reporting.tables.task_tables import task_tables
    from benchmark.reporting.trials import trial_frame

    folder = Path(folder)
    console = console or Console()
    results = Results.read(folder)
    if not results.records:
        _print_problems(results, console)
        raise UserError(f"{folder} holds no finished run: run the benchmark with this results folder first")
    written = [
        write(folder / "records.parquet", results.frame.to_parquet(index=False)),
        write(folder / "records.csv", results.frame.to_csv(index=False)),
    ]
    if results.trials:
        trials = trial_frame(results.trials, results.records)
        written.append(write(folder / "tuning.parquet", trials.to_parquet(index=False)))
    by_task, by_pair = task_tables(results), pair_tables(results)
    further = [
        *probe_tables(results),
        *corruption_tables(results),
        *across_tables(results),
    ]
    written += render.save_tables([*by_task, *by_pair, *further], folder / "tables")
    shown = [*by_task, *filter(adds_to_task_table, by_pair), *further]
    differences = comparisons.comparison_frame(results).to_csv(index=False)
    written.append(write(folder / "tables" / "comparisons.csv", differences))
    saved = figures.save_figures(results, folder / "figures")
    written += [path for each in saved for path in each.paths]
    # After the figures, and the comparisons: by now every array that is needed was read.
    written.append(write_page(results, shown, saved, folder / "report.html"))
    _print_problems(results, console)
    for table in shown:
        render.print_table(table, console)
    _print_lines((f"wrote {path}" for path in written), console)
    return written


def report_papers(folder: Path, names: Iterable[str], console: "Console | None" = None) -> list[str]:
    """Make the tables and figures of published papers again, as far as the records of `folder` allow.

    Args:
        folder: the folder that holds `runs/`; files are written to `papers/` in it.
        names: stems of `results/reported/*.yaml`; `paper` stands for all of them.
        console: where items, paths, and the commands of missing runs are printed.

    Returns:
        The lines printed.

    Raises:
        UserError: for a name that has no list, and for a list that can't be read.
    """
    from rich.console import Console

    from benchmark.reporting.papers import load_papers, save_papers
    from benchmark.reporting.results import Results

    folder = Path(folder)
    console = console or Console()
    papers = load_papers(names)
    results = Results.read(folder)
    lines = save_papers(results, papers, folder / "papers")
    _print_problems(results, console)
    _print_lines(lines, console)
    return lines


def _print_problems(results: "Results", console: "Console") -> None:
    _print_lines((f"problem: {problem}" for problem in results.problems), console, style="yellow")


def _print_lines(lines: Iterable[str], console: "Console", style: str | None = None) -> None:
    """Each as one line, however narrow the terminal."""
    for line in lines:
        tell(console, line, style)
