"""What the speed command prints."""

from __future__ import annotations

from dataclasses import fields

from rich.console import Console
from rich.table import Table

from benchmark.speed.bench import Timing
from benchmark.speed.growth import Grown, prediction
from benchmark.speed.parts import StepParts
from benchmark.speed.report import Report
from benchmark.speed.settings import Axis
from benchmark.speed.spread import Spread, spread, total

RATIOS = {
    "cohort/parts": "cohort / (a teacher pass, a data pass and own steps, as they are alone)",
    "cohort/alone": "cohort / runs one by one",
    "cohort/plain": "cohort / plain loops one by one",
    "alone/plain": "runs one by one / plain loops one by one",
    "overhead": "engine overhead: what the cohort's time is above that of its parts",
    "fused/cohort": "cohort with one pass for its students / cohort",
    "graphs/cohort": "cohort with its passes launched as CUDA graphs / cohort",
    "cohort/floor": "cohort / arithmetic floor",
    "memory_gib": "peak memory of the cohort, GiB",
}
"""In words; those of comparisons are in their table."""


def show(report: Report, console: Console) -> None:
    """Prints every table of what was measured, and the ratios."""
    if report.together or report.alone or report.plain or report.fused or report.graphed:
        console.print(_steps(report))
    if report.together or report.alone:
        console.print(_parts(report))
    if report.floor is not None:
        _show_floor(report, console)
    if report.compared:
        console.print(_comparisons(report))
    for axis, rows in report.grown.items():
        console.print(_growth(report, axis, rows))
        console.print(f"Predicted: {prediction(axis)}.", highlight=False)
    ratios, limits = report.ratios(), report.speed.limits()
    for name, words in RATIOS.items():
        if name in ratios:
            bound = f" (bound {limits[name]:g})" if name in limits else ""
            console.print(f"{words}: {name} {ratios[name]:.3f}{bound}", highlight=False, soft_wrap=True)
    if report.together:
        rate = 1000 * report.batch_size / spread(report.together, lambda t: t.wall).median
        students = len(report.together[0].own)
        line = f"{rate:.0f} samples per second, {rate * students:.0f} counted for each of {students} students"
        console.print(line, highlight=False, soft_wrap=True)
        if not _memory(report, ""):
            console.print("Peak memory on a CPU is that of the process, all runs together.", highlight=False)


def _memory(report: Report, cell: str) -> tuple[str, ...]:
    """The cell, where a device tells the memory of one training from another's: only CUDA does."""
    return (cell,) if report.fabric.device.type == "cuda" else ()


def _steps(report: Report) -> Table:
    """The shared passes, then each run: its own step, alone, as a plain loop; then their sums."""
    alone, plain, together = report.alone, report.plain, report.together
    timings = [each for timings in alone.values() for each in timings] or together
    title = f"Milliseconds per step of {report.batch_size} samples, median (least–most)"
    table = _table(title, "part", "own step", "run alone", "plain loop", *_memory(report, "peak memory, MB"))
    if taught := [each for each in timings if each.teacher is not None]:
        table.add_row("teacher pass", str(spread(taught, lambda t: t.teacher or 0.0)))
    if timings:
        table.add_row("data", str(spread(timings, lambda t: t.data)))
    if any(each.second for each in together):
        table.add_row("second views", str(spread(together, lambda t: t.second)))
    for run in report.runs:
        own = spread(alone.get(run, together), lambda t, run=run: t.own[run]) if timings else ""
        whole = spread(alone[run], lambda t: t.wall) if alone else ""
        memory = f"{alone[run][-1].memory_mb:.0f}" if alone else ""
        table.add_row(run, str(own), str(whole), str(plain.get(run, "")), *_memory(report, memory))
    table.add_section()
    table.add_row(
        "sums",
        str(report.parts_alone()) if alone and together else "",
        str(total(spread(each, lambda t: t.wall) for each in alone.values())) if alone else "",
        str(total(plain.values())) if plain else "",
    )
    if together:
        memory = f"{together[-1].memory_mb:.0f}"
        table.add_row("cohort", str(spread(together, lambda t: t.wall)), "", "", *_memory(report, memory))
    if report.fused is not None:
        table.add_row("cohort, one pass", str(report.fused), "", "", *_memory(report, ""))
    if report.graphed is not None:
        table.add_row("cohort, graphs", str(report.graphed), "", "", *_memory(report, ""))
    return table


def _parts(report: Report) -> Table:
    """What the steps of the runs consist of, in the cohort where that was timed."""
    names = [each.name for each in fields(StepParts)]
    where = "in the cohort" if report.together else "alone"
    table = _table(f"Parts of own steps {where}, milliseconds (medians)", "run", *names, "engine")
    for run in report.runs:
        timings: list[Timing] = report.together or report.alone[run]
        cells = [spread(timings, lambda t, part=part, run=run: getattr(t.parts[run], part)) for part in names]
        cells.append(spread(timings, lambda t, run=run: t.own[run] - t.parts[run].total))
        table.add_row(run, *(f"{each.median:.2f}" for each in cells))
    return table


def _show_floor(report: Report, console: Console) -> None:
    floor = report.floor
    assert floor is not None
    lines = [
        f"A matrix product: {floor.rate / 1e9:.1f} giga multiply-accumulates per second; a sample forward: "
        f"{floor.teacher / 1e6:.1f} million in the teacher, {floor.student / 1e6:.1f} in the student."
    ]
    for name, timings in {"the cohort": report.together, **report.alone}.items():
        if timings:
            lines.append(f"arithmetic floor of {name}: {report.floor_ms(timings[0]):.1f} ms")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _comparisons(report: Report) -> Table:
    table = _table("Milliseconds per call, ours beside other code", "name", "size", "ours", "theirs", "by",
                   "ratio", "differs by", "at most")  # fmt: skip
    ratios = report.ratios()
    for each in report.compared:
        its = each.comparison
        sides = (str(Spread(tuple(side))) for side in (each.ours, each.theirs))
        table.add_row(its.name, its.size, *sides, its.rival, f"{ratios[its.name]:.2f}",
                      f"{each.difference:.1e}", f"{its.tolerance:.0e}")  # fmt: skip
    return table


def _growth(report: Report, axis: Axis, rows: list[Grown]) -> Table:
    table = _table(f"Growth with {axis}, milliseconds per step", axis, "measured", "predicted", "ratio",
                   "10^9 MACs", *_memory(report, "peak memory, MB"))  # fmt: skip
    for row in rows:
        predicted = ("", "")
        if row.predicted is not None:
            predicted = f"{row.predicted:.1f}", f"{row.wall / row.predicted:.2f}"
        memory = _memory(report, f"{row.memory_mb:.0f}")
        cells = (str(Spread(tuple(row.each))), *predicted, f"{row.macs / 1e9:.1f}", *memory)
        table.add_row(str(row.size), *cells)
    return table


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in (first, *others):
        left = column in (first, "size", "by")
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table
