"""What shares one set of axes in a figure: the students of one dataset, pair and condition."""

import json
import statistics
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.records import LAST, Metric
from benchmark.reporting.formatting import dataset_title, show_condition
from benchmark.reporting.frame import show_overrides
from benchmark.reporting.rows import OF_OWN_TEACHER, PairBlock, ResultRow, teacher_id

TITLE_WIDTH = 34  # characters


@dataclass(frozen=True)
class Panel:
    """The students of one dataset, pair and condition."""

    block: PairBlock
    rows: list[ResultRow]

    @property
    def primary_metric(self) -> str:
        """The name of the first of the task's primary metrics, which figures show."""
        return self.block.primary_metrics[0]

    @property
    def metric(self) -> Metric:
        """The description of that metric."""
        return self.block.metrics[self.primary_metric]

    @property
    def key(self) -> str:
        """Where rows keep that metric's values on the test split."""
        return f"{LAST}/{self.primary_metric}"

    @property
    def title(self) -> str:
        """Dataset (marked where synthetic) and pair; below them the conditions that vary."""
        name = f"{dataset_title(self.block.about, self.block.dataset)}, {self.block.pair}"
        lines = textwrap.wrap(name, TITLE_WIDTH, break_on_hyphens=len(self.block.pair) > TITLE_WIDTH)
        names = [name for name in self.block.conditions if name != "overrides"]
        return "\n".join([*lines, *textwrap.wrap(show_condition(self.rows[0], names), TITLE_WIDTH)])

    @property
    def heading(self) -> str:
        """The same in one line: `Rooms (synthetic), conv-conv; label fraction 0.1`."""
        name = f"{dataset_title(self.block.about, self.block.dataset)}, {self.block.pair}"
        names = [name for name in self.block.conditions if name != "overrides"]
        condition = show_condition(self.rows[0], names)
        return f"{name}; {condition}" if condition else name

    def label(self, row: ResultRow) -> str:
        """The row's title with whatever tells it from others in the panel."""
        own, common = row.condition, self.rows[0].condition
        differing = [name for name in self.block.conditions if own.get(name) != common.get(name)]
        if row.about.role == "control":
            # That its teacher is not the others' is what the control's title says.
            differing = [name for name in differing if name not in OF_OWN_TEACHER]
        # An override explains itself; any other condition needs its name.
        overrides = show_overrides(row.records[0].condition.overrides) if "overrides" in differing else []
        words = [", ".join(overrides)] if overrides else []
        words += [show_condition(row, [name])[:60] for name in differing if name != "overrides"]
        words += [row.variant] if row.variant else []
        return f"{row.title} ({', '.join(words)})" if words else row.title

    def latency_of(self, row: ResultRow) -> float | None:
        """Milliseconds for the answer to one sample: the mean over the rows that answer with one network.

        What differs between those is noise of the clock, and no property of a baseline.
        """
        network = _network(row)
        same = [other for other in self.rows if other is row or (network and _network(other) == network)]
        timed = [other.values["latency_ms"] for other in same if other.values["latency_ms"].n]
        return statistics.fmean(estimate.mean for estimate in timed) if timed else None

    def teachers(self) -> list[float]:
        """The primary metric of each distinct teacher on the test split; not those of controls."""
        records = [record for row in self.rows for record in row.records if record.about.role != "control"]
        tested = ((record, record.teacher.test.get(self.primary_metric)) for record in records)
        values = {teacher_id(record): value for record, value in tested if value is not None}
        return [value * self.metric.scale for value in values.values()]


def task_panels(blocks: Iterable[PairBlock]) -> list[Panel]:
    """The panels of a task; a fully labelled companion row stands in the panels that it was run for."""
    panels = []
    for block in blocks:
        groups: dict[str, list[ResultRow]] = {}
        for row in block.rows:
            if not row.is_teacher:
                groups.setdefault(json.dumps(row.comparison_condition, sort_keys=True), []).append(row)
        # A group of nothing but companions belongs to others, if there are any.
        lone = [rows for rows in groups.values() if all(_is_companion(row) for row in rows)]
        full = [rows for rows in groups.values() if rows not in lone]
        for rows in full:
            guests = [row for others in lone for row in others if _but_labels(row) == _but_labels(rows[0])]
            panels.append(Panel(block, rows + guests))
        placed = {id(row) for panel in panels for row in panel.rows}
        panels += [Panel(block, rows) for rows in lone if id(rows[0]) not in placed]
    return panels


def _network(row: ResultRow) -> tuple[float, float] | None:
    """Parameters and multiply-accumulates of what a row's students predict with; None where not known."""
    parameters, macs = row.values["parameters"], row.values["macs"]
    return (parameters.mean, macs.mean) if parameters.n and macs.n else None


def _is_companion(row: ResultRow) -> bool:
    return row.about.companion == "all_labels"


def _but_labels(row: ResultRow) -> dict[str, Any]:
    return {name: value for name, value in row.comparison_condition.items() if name != "label_fraction"}
