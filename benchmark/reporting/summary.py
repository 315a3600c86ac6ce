"""The summary of each panel in words, computed from its numbers: what is decided, and what could not be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.records import LAST
from benchmark.reporting.differences import best_rows
from benchmark.reporting.formatting import decimals_of, row_n
from benchmark.reporting.panels import Panel
from benchmark.reporting.rows import LOST, ResultRow
from benchmark.reporting.statistics.inference import BestSet, Difference, Verdict
from benchmark.reporting.statistics.spread import INTERVAL_FROM
from benchmark.reporting.tables.captions import conditional_on, of_survivors

NAMES_SHOWN = 5
UNKNOWN = Difference(math.nan, 0)


@dataclass(frozen=True)
class Summary:
    """What a reader takes away from one panel and one primary metric."""

    panel: Panel
    metric: str
    sentences: list[str]
    winners: tuple[str, ...]
    """labels of the method with the largest gain and of those that may be better; empty where none gains"""


def summaries(panels: Iterable[Panel]) -> list[Summary]:
    """A summary for each panel and primary metric."""
    return [summary(panel, metric) for panel in panels for metric in panel.block.primary_metrics]


def summary(panel: Panel, metric: str) -> Summary:
    """The best method against the anchor, its ties, what controls reach, and how far to trust it."""
    words = _Words(panel, metric)
    compared = [row for row in panel.rows if not math.isnan(words.difference(row).mean)]
    methods = [row for row in compared if row.about.role == "method"]
    others = [row for row in compared if row not in methods]
    tested = [row for row in methods if not math.isnan(words.difference(row).p)]
    better = [row for row in tested if words.side(row) > 0]
    # A mean of survivors wins nothing.
    sound = [row for row in better if not row.lost]
    winners: list[ResultRow] = []
    sentences = words.ends()
    if not compared:
        sentences += words.without_anchor()
    elif not methods:
        finished = any(row.finished for row in panel.rows if row.about.role == "method")
        sentences.append(
            f"No finished run of a method can be compared with {words.anchor}."
            if finished
            else "No method has a finished run to compare."
        )
    elif not tested:
        sentences.append(f"No winner marked: below {words.fewest}. {words.highest(methods)}")
    elif better and not sound:
        sentences.append(
            f"No winner marked: of all that gain, runs diverged or failed. {words.highest(better)}"
        )
    elif better:
        best = max(sound, key=words.gain)
        # The marks of tables: those of all rows that it is compared with, references among them.
        rows = panel.block.compared_with(best)
        may_be = best_rows(rows, words.key, words.sign > 0)
        winners = [best, *words.rivals(best, rows, may_be)]
        sentences += words.best(best, winners[1:], methods, may_be)
    else:
        sentences.append(f"No method is shown to be better than {words.anchor}. {words.highest(methods)}")
    if tested:
        sentences += words.count(tested, len(methods))
    if any(not math.isnan(words.difference(row).p) for row in others):
        sentences.append(words.controls(others))
    sentences += words.cautions()
    return Summary(panel, metric, sentences, tuple(panel.label(row) for row in winners))


class _Words:
    """Sentences about one panel and metric."""

    def __init__(self, panel: Panel, metric: str) -> None:
        self.panel, self.metric = panel, metric
        self.key = f"{LAST}/{metric}"
        self.description = panel.block.metrics[metric]
        self.decimals = decimals_of(self.description)
        self.sign = -1 if self.description.direction == "min" else 1
        self.anchor_row = panel.anchor
        self.anchor = panel.label(self.anchor_row) if self.anchor_row else "the anchor"
        self.over = "teachers or splits" if any(row.clusters for row in panel.rows) else "seeds"
        self.fewest = f"{INTERVAL_FROM} {self.over}"

    def difference(self, row: ResultRow) -> Difference:
        """The row minus its anchor; nothing known for the anchor itself and without one."""
        return row.differences.get(self.metric, UNKNOWN)

    def gain(self, row: ResultRow) -> float:
        """The mean difference, positive where better."""
        mean = self.difference(row).mean
        return -math.inf if math.isnan(mean) else self.sign * mean

    def side(self, row: ResultRow) -> int:
        """1 where the row is shown to be better than the anchor, -1 where worse, else 0."""
        sides: dict[Verdict, int] = {"above": self.sign, "below": -self.sign}
        return sides.get(self.difference(row).verdict, 0)

    def rivals(self, best: ResultRow, rows: list[ResultRow], may_be: BestSet) -> list[ResultRow]:
        """The other rows that may be the best; by their gains."""
        found = [row for row in rows if row is not best and row.id in may_be.names]
        return sorted(found, key=self.gain, reverse=True)

    def ends(self) -> list[str]:
        """`Teacher 64.4 %; Scratch 41.3 ± 1.6 %.`"""
        parts = []
        first = self.panel.primary_metric
        # A panel knows its teachers' values of the first primary metric.
        teachers = self.panel.teachers() if self.metric == first else []
        if teachers:
            parts.append(f"{'Teacher' if len(teachers) == 1 else 'Teachers, mean'} {self._mean(teachers)}")
        if self.anchor_row and self.anchor_row.values[self.key].n:
            parts.append(f"{self.anchor} {self._value(self.anchor_row)}")
        return [f"{'; '.join(parts)}."] if parts else []

    def without_anchor(self) -> list[str]:
        rows = [row for row in self.panel.rows if row.values[self.key].n]
        rows = [row for row in rows if not math.isnan(row.values[self.key].mean)]
        if not rows and any(row.finished for row in self.panel.rows):
            return [f"No finished run has a value of {self.description.title or self.metric}."]
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

    def best(
        self, best: ResultRow, rivals: list[ResultRow], methods: list[ResultRow], may_be: BestSet
    ) -> list[str]:
        """The sentence on the winner, and one on whatever has a better mean but is not shown to gain.

        A single method is best of nothing: it is said to be better than the anchor, and no more.
        """
        name, alone = self.panel.label(best), len(methods) == 1
        lead = "is the best method" if may_be.winner == best.id else "has the largest gain"
        sentences = [f"{name} {'is better' if alone else lead}: {self._against(best)}."]
        if rivals and best.id in may_be.names:
            sentences.append(f"Not told apart from it, so no single winner: {self._names(rivals)}.")
        elif rivals:
            sentences.append(f"The rows that may be the best are others: {self._names(rivals)}.")
        elif may_be.winner is None and not alone:
            sentences.append("No other may be the best, but that is not sure enough to mark a winner.")
        above = [row for row in methods if self.gain(row) > self.gain(best)]
        for rows, but in (
            ([row for row in above if not row.lost], f"undecided or below {self.fewest}"),
            ([row for row in above if row.lost], "only over the runs that neither diverged nor failed"),
        ):
            if rows:
                verb = "has" if len(rows) == 1 else "have"
                sentences.append(f"{self._names(rows)} {verb} a better mean, but {but}.")
        return sentences

    def count(self, tested: list[ResultRow], methods: int) -> list[str]:
        """How many methods are better, worse, no different and undecided; what could have been seen."""
        found = [self.difference(row) for row in tested]
        sides = [self.side(row) for row in tested]
        equal = [each.equivalent_within for each in found if each.verdict == "no difference"]
        undecided = sum(each.verdict == "undecided" for each in found)
        parts = [f"{sides.count(1)} better than {self.anchor}", f"{sides.count(-1)} worse"]
        if equal:
            largest = self._amount(max(equal))
            parts.append(f"{len(equal)} without a difference above {largest}")
        parts.append(f"{undecided} undecided")
        if methods > len(tested):
            parts.append(f"{methods - len(tested)} with too few {self.over}")
        noun = "method" if methods == 1 else "methods"
        visible = sorted(each.smallest_visible for each in found if math.isfinite(each.smallest_visible))
        sentences = [f"Of {methods} {noun}, {', '.join(parts)} (all tested together, 5 %)."]
        if visible:
            ends = [f"{value:.{self.decimals}f}" for value in (visible[0], visible[-1])]
            sentences.append(
                "The smallest visible difference (found with a chance of 80 %) is "
                f"{' to '.join(dict.fromkeys(ends))}{self._unit('points')}."
            )
        return sentences

    def controls(self, others: list[ResultRow]) -> str:
        """Which rows that are no method do as well."""
        better = sorted((row for row in others if self.side(row) > 0), key=self.gain, reverse=True)
        roles = " and ".join(f"{role}s" for role in sorted({row.about.role for row in others}))
        if not better:
            return f"Of the {roles}, none is shown to be better than {self.anchor}."
        return f"Of the {roles}, better than {self.anchor}: {self._names(better)}."

    def cautions(self) -> list[str]:
        """What the numbers are conditional on."""
        sentences = []
        unfinished = [row for row in self.panel.rows if not row.finished]
        if unfinished:
            sentences.append(f"Without a finished run: {self._names(unfinished, with_gain=False)}.")
        if partly := of_survivors(self.panel.rows):
            sentences.append(partly.strip())
        if self.panel.block.about.synthetic:
            sentences.append("The data is synthetic.")
        if any(row.clusters for row in self.panel.rows):
            return [*sentences, conditional_on(self.panel.rows)]
        teachers = len(self.panel.teachers())
        on = "this one teacher" if teachers == 1 else f"these {teachers} teachers"
        sentences += [f"Everything here is conditional on {on}."] if teachers else []
        return sentences

    def _amount(self, value: float) -> str:
        """`4.2 points`."""
        return f"{value:.{self.decimals}f}{self._unit('points')}"

    def _against(self, row: ResultRow) -> str:
        """`46.8 ± 0.9 %, +5.5 points against Scratch (95 % interval +2.8 to +8.2, n = 5)`."""
        difference = self.difference(row)
        text = f"{self._value(row)}, {self._signed(difference.mean)}{self._unit('points')}"
        text += f" against {self.anchor}"
        if math.isnan(difference.se):
            text += f" (n = {difference.n})"
        else:
            low, high = map(self._signed, difference.interval)
            text += f" (95 % interval {low} to {high}, n = {difference.n})"
        lost = [(row.count(status), status) for status in LOST if row.count(status)]
        lost += [(len(row.unscored_places), "without a score")] * bool(row.unscored_places)
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
            gains = [self.difference(row).mean for row in rows]
            shown = ["" if math.isnan(gain) else f" ({self._signed(gain)})" for gain in gains]
            names = [f"{name}{gain}" for name, gain in zip(names, shown, strict=True)]
        # A list that hides a single name saves nothing.
        if len(names) > NAMES_SHOWN + 1:
            return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} others"
        return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
