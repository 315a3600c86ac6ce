"""The command `python -m benchmark.speed`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from rich.console import Console

from benchmark import plugins
from benchmark.arguments import parsed
from benchmark.contracts import Comparison
from benchmark.plugins import Registry
from benchmark.ranks import Fabric
from benchmark.running.device import make_fabric
from benchmark.speed.bench import make_bench, measure
from benchmark.speed.choices import choices
from benchmark.speed.content import write
from benchmark.speed.floor import floor
from benchmark.speed.growth import grow
from benchmark.speed.report import Report
from benchmark.speed.rivals import compare, known_comparisons
from benchmark.speed.settings import Speed
from benchmark.speed.tables import show
from benchmark.telling import exit_code


def report_of(speed: Speed, registry: Registry, fabric: Fabric, say: Callable[[str], None]) -> Report:
    """Everything that the settings ask for. Raises UserError for what can't be done."""
    report = Report(speed, fabric)

    def tell(line: str) -> None:
        report.said.append(line)
        say(line)

    if axes := speed.axes():
        for axis, sizes in axes.items():
            report.grown[axis] = grow(axis, sizes, speed, registry, fabric, tell)
        return report
    if {"cohort", "alone", "plain", "fused", "graphs"} & set(speed.measure):
        report.trainings = measure(speed, registry, fabric, tell)
    if "floor" in speed.measure:
        done = report.trainings
        bench = make_bench(speed, registry, fabric) if done is None else done.bench
        report.floor = floor(bench, speed.precision)
    # Last, as a gather takes more memory than a cohort may.
    sides: list[Iterable[Comparison]] = []
    if "choices" in speed.measure:
        sides.append(choices(make_bench(speed, registry, fabric), tell))
    if "comparisons" in speed.measure:
        sides.append(known_comparisons(fabric, tell))
    report.compared = compare(chain.from_iterable(sides), fabric, speed.repeats)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code: 1 where a ratio is above its bound, 2 for bad input, 130: interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code("benchmark.speed", partial(_main, given))


def _main(given: list[str]) -> int:
    speed = parsed(Speed, given, prog="python -m benchmark.speed")
    speed.check()
    fabric = make_fabric(speed.device, speed.precision)
    fabric.fold = speed.fold
    report = report_of(speed, plugins.load(), fabric, print)
    show(report, Console())
    if speed.json is not None:
        write(report, speed.json)
    above = report.above()
    for line in above:
        print(line)
    return 1 if above else 0


if __name__ == "__main__":
    raise SystemExit(main())
