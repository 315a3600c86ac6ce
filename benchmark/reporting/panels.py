"""What shares one set of axes in a figure: the students of one dataset, pair and condition."""

import json
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.reporting.rows import OF_OWN_TEACHER, Block, Row, overrides_of, scale_of, teacher_id
from benchmark.reporting.words import dataset_title, show_condition

TITLE_WIDTH = 34  # characters


@dataclass(frozen=True)
class Panel:
    """The students of one dataset, pair and condition."""

    block: Block
    rows: list[Row]

    @property
    def metric(self) -> dict:
        return self.block.metrics[self.block.headlines[0]]

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

    def label(self, row: Row) -> str:
        """The row's title with whatever tells it from others in the panel."""
        own, common = row.condition, self.rows[0].condition
        differing = [name for name in self.block.conditions if own.get(name) != common.get(name)]
        if row.about.get("role") == "control":
            # That its teacher is not the others' is what the control's title says.
            differing = [name for name in differing if name not in OF_OWN_TEACHER]
        # An override explains itself; any other condition needs its name.
        words = [", ".join(overrides_of(row))] if "overrides" in differing and own["overrides"] else []
        words += [show_condition(row, [name])[:60] for name in differing if name != "overrides"]
        words += [row.variant] if row.variant else []
        return f"{row.title} ({', '.join(words)})" if words else row.title

    def teachers(self) -> list[float]:
        """The headline metric of each distinct teacher on the test split; not those of controls."""
        name = self.block.headlines[0]
        records = [record for row in self.rows for record in row.records]
        records = [record for record in records if record["about"].get("role") != "control"]
        tested = (
            (record, record["results"].get("teacher", {}).get("test", {}).get(name)) for record in records
        )
        values = {teacher_id(record): value for record, value in tested if value is not None}
        return [value * scale_of(self.metric) for value in values.values()]


def task_panels(blocks: Iterable[Block]) -> list[Panel]:
    """The panels of a task; a fully labelled companion row stands in the panels that it was run for."""
    panels = []
    for block in blocks:
        groups: dict[str, list[Row]] = {}
        for row in block.rows:
            if not row.is_teacher:
                groups.setdefault(json.dumps(row.home, sort_keys=True), []).append(row)
        # A group of nothing but companions belongs to others, if there are any.
        lone = [rows for rows in groups.values() if all(_is_companion(row) for row in rows)]
        full = [rows for rows in groups.values() if rows not in lone]
        for rows in full:
            guests = [row for others in lone for row in others if _but_labels(row) == _but_labels(rows[0])]
            panels.append(Panel(block, rows + guests))
        placed = {id(row) for panel in panels for row in panel.rows}
        panels += [Panel(block, rows) for rows in lone if id(rows[0]) not in placed]
    return panels


def _is_companion(row: Row) -> bool:
    return row.about.get("companion") == "all_labels"


def _but_labels(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.home.items() if name != "label_fraction"}
