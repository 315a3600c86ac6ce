"""Baselines over all tasks at once: scores between chance and the teacher, aggregated over datasets.

A score is normalised within its block (a dataset, pair and condition): 0 is chance, 1 the block's teacher (or
the mean of its teachers), for metrics of either direction. Where the level of chance is not known, 0 stands
for it where higher is better (mIoU, say); where lower is better there is no such value, and the block is left
out. A run that diverged or failed counts as chance. Over several teachers or splits the mean on each of these
stands for a run.

A dataset is one task, however many pairs and conditions it has: its blocks share its weight. They are the
strata of the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from benchmark.records import Tuning
from benchmark.reporting.panels import Panel, contests
from benchmark.reporting.results import Results
from benchmark.reporting.rows import ResultRow, anchor_of, grouped, means_of_units
from benchmark.reporting.statistics.aggregates import Aggregate, improvement, interquartile_mean
from benchmark.reporting.statistics.spread import BOOTSTRAP_FROM

FEWEST_BLOCKS = 2
SETS: dict[Tuning, str] = {"default": "default hyper-parameters", "tuned": "tuned hyper-parameters"}


@dataclass(frozen=True, eq=False)
class Block:
    """The rows of one dataset, pair and condition on a scale that blocks share."""

    panel: Panel
    heading: str
    chance: float
    teacher: float
    """chance and the teacher, in the metric's printed unit"""
    chance_known: bool

    @cached_property
    def rows(self) -> dict[str, ResultRow]:
        """Baseline -> its row, where any of its runs began."""
        return {row.baseline: row for row in self.panel.rows if self.runs(row)}

    def runs(self, row: ResultRow | None) -> list[float]:
        """The normalised score of each run, 0 for those that diverged or failed; over several teachers or
        splits the mean on each of these."""
        if row is None:
            return []
        values, scale = row.by_seed(self.panel.key), self.teacher - self.chance
        scores = {
            place: (each - self.chance) / scale for place, each in values.items() if math.isfinite(each)
        }
        return list(means_of_units(scores | dict.fromkeys(row.lost_places, 0.0), row.clusters).values())

    def anchor_runs(self, row: ResultRow) -> list[float]:
        """Those of the row that it is compared with."""
        return self.runs(anchor_of(row, self.panel.block.students))


@dataclass(frozen=True, eq=False)
class Across:
    """The blocks of either default or tuned rows, and who stands in all of them."""

    tuning: Tuning
    blocks: list[Block]
    unusable: list[str]
    """a block that has no scale, and why"""

    @cached_property
    def rows(self) -> list[ResultRow]:
        """Of each baseline that stands in every block, its row in the first; in the order of tables."""
        first, *others = self.blocks
        rows = [row for name, row in first.rows.items() if all(name in block.rows for block in others)]
        return sorted(rows, key=lambda row: (not row.is_anchor, row.about.order, row.baseline))

    @cached_property
    def missing(self) -> dict[str, list[str]]:
        """Heading of a block -> titles of the baselines that stand in another one and not here."""
        titles = {name: row.title for block in self.blocks for name, row in block.rows.items()}
        found = {
            block.heading: [title for name, title in titles.items() if name not in block.rows]
            for block in self.blocks
        }
        return {heading: absent for heading, absent in found.items() if absent}

    @property
    def datasets(self) -> int:
        return len(grouped(self.blocks, dataset_of))

    @cached_property
    def weights(self) -> list[float]:
        """Of each block: those of one dataset share its weight."""
        sizes = {name: len(own) for name, own in grouped(self.blocks, dataset_of).items()}
        return [1 / sizes[dataset_of(block)] for block in self.blocks]

    def rows_of(self, row: ResultRow) -> list[ResultRow]:
        """The rows of its baseline, block by block."""
        return [block.rows[row.baseline] for block in self.blocks]

    def runs(self, row: ResultRow) -> list[list[float]]:
        """The normalised scores of its baseline, block by block."""
        return [block.runs(own) for block, own in zip(self.blocks, self.rows_of(row), strict=True)]

    def interquartile_mean(self, row: ResultRow) -> Aggregate:
        return self._shown(row, interquartile_mean(self.runs(row), self.weights))

    def improvement(self, row: ResultRow) -> Aggregate | None:
        """The probability that a run is better than one of the anchor; None where a block has no anchor."""
        pairs = zip(self.blocks, self.rows_of(row), strict=True)
        anchors = [block.anchor_runs(own) for block, own in pairs]
        if not all(anchors):
            return None
        return self._shown(row, improvement(self.runs(row), anchors, self.weights), anchors)

    def has_interval(self, row: ResultRow, others: Iterable[list[float]] = ()) -> bool:
        """Whether every block has enough runs for one, each of them drawn by itself."""
        enough = min(map(len, (*self.runs(row), *others))) >= BOOTSTRAP_FROM
        return enough and not any(own.crossed for own in self.rows_of(row))

    def _shown(self, row: ResultRow, found: Aggregate, others: Iterable[list[float]] = ()) -> Aggregate:
        nothing = np.full_like(found.low, math.nan)
        return found if self.has_interval(row, others) else Aggregate(found.value, nothing, nothing)


def across_tasks(results: Results) -> list[Across]:
    """Of the default rows and of the tuned ones, where at least two blocks can be put on one scale."""
    panels = contests(chain.from_iterable(results.panels.values()))
    found = []
    for tuning in SETS:
        blocks, unusable = [], []
        for panel in (each for each in panels if each.rows[0].condition["tuning"] == tuning):
            # A list of headings is parted by semicolons.
            heading = f"{results.task_title(panel.block.task)}, {panel.heading}".replace("; ", ", ")
            block = _block(panel, heading)
            if isinstance(block, str):
                unusable.append(f"{heading} ({block})")
            else:
                blocks.append(block)
        if len(blocks) >= FEWEST_BLOCKS:
            found.append(Across(tuning, blocks, unusable))
    return [each for each in found if len(each.rows) > 1]


def _block(panel: Panel, heading: str) -> Block | str:
    """The panel's scale, or why it has none."""
    metric, teachers = panel.metric, panel.teachers()
    if metric.chance is None and not panel.higher_is_better:
        return "lower is better, and the level of chance is not known"
    if not teachers or not all(map(math.isfinite, teachers)):
        return "no teacher was tested"
    chance, teacher = metric.scale * (metric.chance or 0.0), float(np.mean(teachers))
    if (teacher <= chance) if panel.higher_is_better else (teacher >= chance):
        return "its teacher is no better than chance"
    return Block(panel, heading, chance, teacher, metric.chance is not None)


def dataset_of(block: Block) -> tuple[str, str]:
    """What counts as one task: a dataset of two tasks is two."""
    return block.panel.block.task, block.panel.block.dataset
