"""The report: tables and figures as pure functions of the records; imports neither torch nor a plugin."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_HOMES = {
    "history_frame": "benchmark.reporting.frame",
    "load_records": "benchmark.reporting.frame",
    "tidy_frame": "benchmark.reporting.frame",
}
__all__ = ["history_frame", "load_records", "report", "tidy_frame"]


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

    folder = Path(folder)
    console = console or Console()
    records, problems = frame.load_records(folder)
    history, broken_lines = frame.history_frame(folder, records)
    for problem in (*problems, *broken_lines):
        console.print(f"problem: {problem}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if not records:
        raise UserError(f"{folder} holds no finished run: run the benchmark with this results folder first")
    written = frame.save_frame(frame.tidy_frame(records), folder)
    task_tables = [*tables.task_tables(records), *probes.probe_tables(records)]
    written += render.save_tables(task_tables, folder / "tables")
    written += figures.save_figures(records, history, folder / "figures")
    for table in task_tables:
        render.print_table(table, console)
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return written
