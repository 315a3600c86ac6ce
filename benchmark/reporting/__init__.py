"""The report: tables and figures as pure functions of the records; imports neither torch nor a plugin."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_HOMES = {
    "compare": "benchmark.reporting.comparisons",
    "history_frame": "benchmark.reporting.frame",
    "load_records": "benchmark.reporting.frame",
    "tidy_frame": "benchmark.reporting.frame",
}
__all__ = ["compare", "history_frame", "load_records", "report", "tidy_frame"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'benchmark.reporting' has no attribute {name!r}")


def report(folder: Path, console: "Console | None" = None) -> list[Path]:
    """Rebuild every table and figure of `results/<name>/`, print the tables, and return the paths written.

    Args:
        folder: the folder that holds `runs/`.
        console: where tables, problems and paths are printed (standard output without one).

    Raises:
        UserError: when the folder holds no valid record.
    """
    # Here and not above: drawing libraries take a second to import, and not every command draws.
    from rich.console import Console

    from benchmark.errors import UserError
    from benchmark.reporting import figures, frame, probes, render, tables
    from benchmark.reporting.results import Results

    folder = Path(folder)
    console = console or Console()
    results = Results.read(folder)
    for problem in results.problems:
        console.print(f"problem: {problem}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if not results.records:
        raise UserError(f"{folder} holds no finished run: run the benchmark with this results folder first")
    written = frame.save_frame(frame.tidy_frame(results.records), folder)
    task_tables = [*tables.task_tables(results.records), *probes.probe_tables(results.records)]
    written += render.save_tables(task_tables, folder / "tables")
    written += [path for saved in figures.save_figures(results, folder / "figures") for path in saved.paths]
    for table in task_tables:
        render.print_table(table, console)
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return written
