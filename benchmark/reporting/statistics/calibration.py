"""Do the tests keep their word? Simulated, and printed as CSV.

`python -m benchmark.reporting.statistics.calibration`

`results/reference/calibration.csv` is what it printed; docs/protocol.md shows it. Eight methods and a
reference whose runs are normal. `half` and the like name what has the larger variance.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.special import stdtr

from benchmark.errors import UserError
from benchmark.reporting.statistics.inference import best_set, differences_to
from benchmark.reporting.statistics.spread import holm, t_test

Test = Callable[[np.ndarray, np.ndarray], float]

REFERENCE = "reference"
SHIFTS = (2.0, 3.0, 5.0)
EVERY = 10
REPEATS = 10_000
"""Of each setting, where the command names no other number."""


@dataclass(frozen=True)
class Setting:
    name: str
    deviations: tuple[float, ...]
    """[1 + methods], standard deviations, the reference's first"""
    seeds: tuple[int, ...] = (3,)
    """runs of each (repeated in turn); with clusters how many of them"""
    clustered: bool = False
    """two runs in each cluster; the cluster's effect has three times the standard deviation of a run"""


@dataclass(frozen=True)
class Outcome:
    """Shares of repeats; the first five where all means are equal, then where one method is above.

    The first four are of all repeats, the others, which take longer, of each tenth.
    """

    family_error: float
    """some method was called above or below"""
    coverage: float
    """95 % intervals, on average over methods"""
    worst_coverage: float
    """of the method with the lowest, or where farther from 95 %, the highest"""
    simultaneous: float
    """all simultaneous intervals held 0"""
    false_winner: float
    best_in_set: float
    """with one method 3 sd above: it was in the set of those that may be the best"""
    winner: float
    """it was marked"""
    power: tuple[float, ...]
    """the last method was found 2, 3 and 5 of its sd above the reference"""
    power_holm: tuple[float, ...]
    """by paired t tests with Holm's correction"""
    power_welch: tuple[float, ...]
    """by Welch's tests with Holm's correction"""


def settings(seeds: Sequence[int] = (3, 5, 10)) -> list[Setting]:
    """The settings of the table: tenfold variances, then tenfold standard deviations, clusters, ragged."""
    found = []
    for count in seeds:
        for ratio, much in ((10**0.5, ""), (10.0, ", sd x 10")):
            found += [
                Setting(f"half of the methods large{much}", (1, *[ratio] * 4, 1, 1, 1, 1), (count,)),
                Setting(f"one method large{much}", (1, ratio, *[1] * 7), (count,)),
                Setting(f"reference large{much}", (ratio, *[1] * 8), (count,)),
                Setting(f"reference small{much}", (1 / ratio, *[1] * 8), (count,)),
            ]
        found = [*found[:-8], Setting("equal", (1,) * 9, (count,)), *found[-8:]]
    ragged, clusters = (3, 10, 5), (3, 5)
    for name, deviations in (("equal", (1.0,) * 9), ("one method large", (1.0, 10**0.5, *[1.0] * 7))):
        found.append(Setting(f"{name}, 3 to 10 runs", deviations, ragged))
        found += [Setting(f"{name}, clusters", deviations, (count,), clustered=True) for count in clusters]
    few = (1.0, 10**0.5, *[1.0] * 7)
    found.append(Setting("one method large with few runs", few, (10, 3, *[10] * 7)))
    large = Setting("reference large, clusters", (10**0.5, *[1.0] * 8), (3,), clustered=True)
    return [*found, large, replace(large, seeds=(5,)), *_few_methods()]


def _few_methods() -> list[Setting]:
    return [
        Setting(f"{name}, {methods} method{'s' * (methods > 1)}", (first, *[1.0] * methods))
        for methods in (1, 3, 15)
        for name, first in (("equal", 1.0), ("reference large", 10**0.5))
    ]


def simulate(setting: Setting, repeats: int = 1000, seed: int = 0) -> Outcome:
    """Draws runs `repeats` times and counts; the same for the same seed."""
    draw = np.random.default_rng(seed)
    names = [REFERENCE, *(f"method {k}" for k in range(1, len(setting.deviations)))]
    counts = [setting.seeds[k % len(setting.seeds)] for k in range(len(names))]
    last, sd = names[-1], setting.deviations[-1]
    error, held, winners, inside, marked = 0, 0, 0, 0, 0
    tenths = range(0, repeats, EVERY)
    covered = np.zeros(len(names) - 1)
    found = np.zeros((3, len(SHIFTS)))
    for repeat in range(repeats):
        samples, clusters = _draw(setting, names, counts, draw)
        null = differences_to(samples, REFERENCE, clusters=clusters)
        error += any(each.verdict in ("above", "below") for each in null.values())
        covered += [each.low <= 0 <= each.high for each in null.values()]
        held += all(each.simultaneous_low <= 0 <= each.simultaneous_high for each in null.values())
        if repeat not in tenths:
            continue
        winners += best_set(samples, clusters=clusters).winner is not None
        above = best_set(samples | {last: samples[last] + 3 * sd}, clusters=clusters)
        inside += last in above.names
        marked += above.winner == last
        for k, shift in enumerate(SHIFTS):
            shifted = samples | {last: samples[last] + shift * sd}
            ours = differences_to(shifted, REFERENCE, clusters=clusters)[last].verdict == "above"
            found[:, k] += [ours, _holm_finds(shifted, _paired), _holm_finds(shifted, _welch)]
    coverage = covered / repeats
    worst = coverage[np.argmax(np.abs(coverage - 0.95))]
    power = [tuple((row / len(tenths)).tolist()) for row in found]
    return Outcome(
        family_error=error / repeats,
        coverage=float(coverage.mean()),
        worst_coverage=float(worst),
        simultaneous=held / repeats,
        false_winner=winners / len(tenths),
        best_in_set=inside / len(tenths),
        winner=marked / len(tenths),
        power=power[0],
        power_holm=power[1],
        power_welch=power[2],
    )


def _draw(
    setting: Setting, names: Sequence[str], counts: Sequence[int], draw: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, list[int]] | None]:
    """Runs of each name around 0, and their clusters."""
    if not setting.clustered:
        runs = zip(names, counts, setting.deviations, strict=True)
        return {name: draw.normal(size=count) * sd for name, count, sd in runs}, None
    labels = [cluster for cluster in range(counts[0]) for _ in range(2)]
    shared = 3 * draw.normal(size=counts[0])[labels]
    deviations = zip(names, setting.deviations, strict=True)
    samples = {name: shared + draw.normal(size=len(labels)) * sd for name, sd in deviations}
    return samples, dict.fromkeys(names, labels)


def _holm_finds(samples: dict[str, np.ndarray], test: Test) -> bool:
    """Whether the last method is found above the reference."""
    reference, *methods = samples.values()
    adjusted = holm([test(each, reference) for each in methods])
    return adjusted[-1] < 0.05 and methods[-1].mean() > reference.mean()


def _paired(values: np.ndarray, others: np.ndarray) -> float:
    common = min(len(values), len(others))
    return t_test((values[:common] - others[:common]).tolist())


def _welch(values: np.ndarray, others: np.ndarray) -> float:
    ours, theirs = (each.var(ddof=1) / len(each) for each in (values, others))
    df = (ours + theirs) ** 2 / (ours**2 / (len(values) - 1) + theirs**2 / (len(others) - 1))
    return float(2 * stdtr(df, -abs(values.mean() - others.mean()) / np.sqrt(ours + theirs)))


def print_table(repeats: int) -> None:
    """Prints a line for each setting, in per cent."""
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(["setting", "seeds", "repeats", *(field.name for field in fields(Outcome))])
    for setting in settings():
        outcome = simulate(setting, repeats)
        cells = [_cell(getattr(outcome, field.name)) for field in fields(Outcome)]
        lines.writerow([setting.name, "/".join(map(str, dict.fromkeys(setting.seeds))), repeats, *cells])
        sys.stdout.flush()


def _cell(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return " / ".join(f"{100 * each:.0f}" for each in value)
    return f"{100 * value:.1f}"


def main(arguments: list[str]) -> int:
    """The command, which may be given the number of repeats: without, a quarter of an hour. The exit code."""
    given = arguments or [str(REPEATS)]
    if len(given) > 1 or not re.fullmatch(r"0*[1-9][0-9]{0,8}", given[0], re.ASCII):
        wrong = UserError(f"{' '.join(given)!r} is no number of repeats: give a whole number from 1 up")
        print(f"benchmark.reporting.statistics.calibration: {wrong}", file=sys.stderr)
        return 2
    print_table(int(given[0]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
