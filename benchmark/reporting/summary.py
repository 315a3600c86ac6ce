"""The summary of each panel in words, computed from its numbers: who is best, beyond which noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.records import LAST
from benchmark.reporting.comparisons import LEVEL, against_anchor
from benchmark.reporting.formatting import decimals_of, row_n
from benchmark.reporting.panels import Panel
from benchmark.reporting.rows import LOST, ResultRow
from benchmark.reporting.statistics import (
    FIRM_FROM,
    INTERVAL_FROM,
    Estimate,
    estimate_of,
    paired_differences,
    t_test,
)

NAMES_SHOWN = 5


@dataclass(frozen=True)
class Summary:
    """What a reader takes away from one panel and one primary metric."""

    panel: Panel
    metric: str
    sentences: list[str]
    winners: tuple[str, ...]
    """labels of the best method and of those within noise of it; empty where none is beyond noise"""


def summaries(panels: Iterable[Panel]) -> list[Summary]:
    """A summary for each panel and primary metric."""
    return [summary(panel, metric) for panel in panels for metric in panel.block.primary_metrics]


def summary(panel: Panel, metric: str) -> Summary:
    """The best method against the anchor, its ties, what controls reach, and how far to trust it."""
    words = _Words(panel, metric)
    compared = [row for row in panel.rows if _difference(row, metric).n]
    methods = [row for row in compared if row.about.role == "method"]
    others = [row for row in compared if row not in methods]
    tested = [row for row in methods if _difference(row, metric).n >= INTERVAL_FROM]
    better = [row for row in tested if words.side(row) > 0]
    # A mean of those runs that did not diverge or fail wins nothing.
    sound = [row for row in better if not row.lost]
    winners: list[ResultRow] = []
    sentences = words.ends()
    if not compared:
        sentences += words.without_anchor()
    elif not methods:
        sentences.append("No method has a finished run to compare.")
    elif not tested:
        sentences.append(f"No winner marked: below {INTERVAL_FROM} seeds. {words.highest(methods)}")
    elif better and not sound:
        sentences.append(
            f"No winner marked: of all that gain, runs diverged or failed. {words.highest(better)}"
        )
    elif better:
        best = max(sound, key=words.gain)
        winners = [best, *words.ties(best, methods)]
        sentences += words.best(best, winners[1:], methods)
    else:
        sentences.append(f"No method is better than {words.anchor} beyond noise. {words.highest(methods)}")
    if tested:
        sentences.append(words.count(tested, len(methods)))
    if any(_difference(row, metric).n >= INTERVAL_FROM for row in others):
        sentences.append(words.controls(others))
    sentences += words.cautions(tested)
    return Summary(panel, metric, sentences, tuple(panel.label(row) for row in winners))


def _difference(row: ResultRow, metric: str) -> Estimate:
    """Test metric minus the anchor's, paired by seed; n = 0 for the anchor itself and without one."""
    return row.values.get(f"difference/{metric}") or estimate_of([])


class _Words:
    """Sentences about one panel and metric."""

    def __init__(self, panel: Panel, metric: str) -> None:
        self.panel, self.metric = panel, metric
        self.key = f"{LAST}/{metric}"
        self.description = panel.block.metrics[metric]
        self.decimals = decimals_of(self.description)
        tests = against_anchor(panel.block, metric)
        self.p_holm = {each.row.id: each.p_holm for each in tests}
        self.sign = -1 if self.description.direction == "min" else 1
        self.anchor_row = panel.anchor
        self.anchor = panel.label(self.anchor_row) if self.anchor_row else "the anchor"

    def gain(self, row: ResultRow) -> float:
        """The mean difference, positive where better."""
        mean = _difference(row, self.metric).mean
        return -math.inf if math.isnan(mean) else self.sign * mean

    def side(self, row: ResultRow) -> int:
        """1 where the row is better than the anchor beyond noise (Holm, 5 %), -1 where worse, else 0."""
        if not self.p_holm.get(row.id, math.nan) < LEVEL:
            return 0
        return 1 if self.gain(row) > 0 else -1

    def ties(self, best: ResultRow, rows: list[ResultRow]) -> list[ResultRow]:
        """The rows that gain too, and whose paired difference to the best one is within noise; best first."""
        top = best.by_seed(self.key)
        tied = [
            row
            for row in rows
            if row is not best
            and not row.lost
            and self.gain(row) > 0
            and _difference(row, self.metric).n >= INTERVAL_FROM
            and not t_test(paired_differences(top, row.by_seed(self.key))) < LEVEL
        ]
        return sorted(tied, key=self.gain, reverse=True)

    def ends(self) -> list[str]:
        """`Teacher 64.4 %; Scratch 41.3 ± 1.6 %.`"""
        parts = []
        first = self.panel.primary_metric
        # A panel knows its teachers' values of the first primary metric.
        teachers = self.panel.teachers() if self.metric == first else []
        if teachers:
            parts.append(f"{'Teacher' if len(teachers) == 1 else 'Teachers, mean'} {self._mean(teachers)}")
        if self.anchor_row:
            parts.append(f"{self.anchor} {self._value(self.anchor_row)}")
        return [f"{'; '.join(parts)}."] if parts else []

    def without_anchor(self) -> list[str]:
        rows = [row for row in self.panel.rows if row.values[self.key].n]
        rows = [row for row in rows if not math.isnan(row.values[self.key].mean)]
        if not rows:
            return ["No run finished."]
        best = max(rows, key=lambda row: self.sign * row.values[self.key].mean)
        return [
            "No differences: nothing here shares its condition and seeds with a finished anchor.",
            f"The best mean is {self.panel.label(best)}'s, {self._value(best)}.",
        ]

    def highest(self, rows: list[ResultRow]) -> str:
        best = max(rows, key=self.gain)
        return f"The best mean is {self.panel.label(best)}'s: {self._against(best)}."

    def best(self, best: ResultRow, tied: list[ResultRow], methods: list[ResultRow]) -> list[str]:
        """The sentence on the winner, and one on whatever has a better mean but too wide an interval."""
        name = self.panel.label(best)
        if not tied:
            sentences = [f"{name} is best beyond noise: {self._against(best)}."]
        else:
            sentences = [
                f"{name} has the largest gain beyond noise: {self._against(best)}.",
                f"Within noise of it, so no single winner: {self._names(tied)}.",
            ]
        above = [row for row in methods if self.gain(row) > self.gain(best)]
        for rows, but in (
            ([row for row in above if not row.lost], f"not beyond noise or below {INTERVAL_FROM} seeds"),
            ([row for row in above if row.lost], "only over the runs that neither diverged nor failed"),
        ):
            if rows:
                verb = "has" if len(rows) == 1 else "have"
                sentences.append(f"{self._names(rows)} {verb} a better mean, but {but}.")
        return sentences

    def count(self, tested: list[ResultRow], methods: int) -> str:
        """How many methods are better, worse and neither."""
        sides = [self.side(row) for row in tested]
        left_out = f"; {methods - len(tested)} with too few seeds" if methods > len(tested) else ""
        noun = "method" if methods == 1 else "methods"
        return (
            f"Of {methods} {noun}, {sides.count(1)} better than {self.anchor} beyond noise,"
            f" {sides.count(-1)} worse, {sides.count(0)} within noise{left_out}."
        )

    def controls(self, others: list[ResultRow]) -> str:
        """Which rows that are no method do as well."""
        better = sorted((row for row in others if self.side(row) > 0), key=self.gain, reverse=True)
        roles = " and ".join(f"{role}s" for role in sorted({row.about.role for row in others}))
        if not better:
            return f"Of the {roles}, none is better than {self.anchor} beyond noise."
        return f"Of the {roles}, better than {self.anchor} beyond noise: {self._names(better)}."

    def cautions(self, tested: list[ResultRow]) -> list[str]:
        """What the numbers are conditional on."""
        sentences = []
        if tested:
            seeds = max(_difference(row, self.metric).n for row in tested)
            few = f"indicative ({seeds} seeds), and " if seeds < FIRM_FROM else ""
            sentences.append(
                f"Beyond noise is {few}meant after Holm's correction for the number of comparisons, at 5 %."
            )
        unfinished = [row for row in self.panel.rows if not row.finished]
        if unfinished:
            sentences.append(f"Without a finished run: {self._names(unfinished, with_gain=False)}.")
        if self.panel.block.about.synthetic:
            sentences.append("The data is synthetic.")
        teachers = len(self.panel.teachers())
        on = "this one teacher" if teachers == 1 else f"these {teachers} teachers"
        sentences += [f"Everything here is conditional on {on}."] if teachers else []
        return sentences

    def _against(self, row: ResultRow) -> str:
        """`46.8 ± 0.9 %, +5.5 points against Scratch (95 % interval +2.8 to +8.2, paired by seed, n = 3)`."""
        difference = _difference(row, self.metric)
        text = f"{self._value(row)}, {self._signed(difference.mean)}{self._unit('points')}"
        text += f" against {self.anchor}"
        if difference.n < INTERVAL_FROM:
            text += f" (n = {difference.n})"
        else:
            low, high = self._signed(difference.low), self._signed(difference.high)
            text += f" (95 % interval {low} to {high}, paired by seed, n = {difference.n})"
        lost = [(row.count(status), status) for status in LOST if row.count(status)]
        return text + "".join(f"; {n} of its {len(row.records)} runs {status}" for n, status in lost)

    def _value(self, row: ResultRow) -> str:
        estimate = row.values[self.key]
        text = f"{estimate.mean:.{self.decimals}f}"
        if estimate.n > 1:
            text += f" ± {estimate.sd:.{self.decimals}f}"
        text += self._unit("%")
        return text if estimate.n == row_n(row) else f"{text} (n = {estimate.n})"

    def _mean(self, values: list[float]) -> str:
        return f"{sum(values) / len(values):.{self.decimals}f}{self._unit('%')}"

    def _signed(self, value: float) -> str:
        return f"{value:+.{self.decimals}f}".replace("-", "−")

    def _unit(self, percent: str) -> str:
        unit = self.description.unit or ""
        unit = percent if unit == "%" else unit
        return f" {unit}" if unit else ""

    def _names(self, rows: list[ResultRow], with_gain: bool = True) -> str:
        """`KD (+5.5), FitNet (+4.1) and 3 others`."""
        names = [self.panel.label(row) for row in rows]
        if with_gain:
            gains = [self._signed(_difference(row, self.metric).mean) for row in rows]
            names = [f"{name} ({gain})" for name, gain in zip(names, gains, strict=True)]
        # A list that hides a single name saves nothing.
        if len(names) > NAMES_SHOWN + 1:
            return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} others"
        return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
