"""What shares one set of axes in a figure: the students of one comparison."""

import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmark.records import LAST, Metric
from benchmark.reporting.formatting import dataset_title, show_condition
from benchmark.reporting.identity import OF_OWN_TEACHER
from benchmark.reporting.rows import PairBlock, ResultRow, grouped, teachers_of

TITLE_WIDTH = 34  # characters


@dataclass(frozen=True, eq=False)
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
    def higher_is_better(self) -> bool:
        return self.metric.direction != "min"

    def _parts(self, *without: str) -> tuple[str, str]:
        """Dataset (marked where synthetic) and pair; what tells panels of these apart, `without` left out."""
        name = f"{dataset_title(self.block.about, self.block.dataset)}, {self.block.pair}"
        names = [name for name in self.block.conditions if name not in ("overrides", *without)]
        parts = (show_condition(self.rows[0], names), self._recipe, self.rows[0].setting)
        return name, ", ".join(part for part in parts if part)

    @property
    def _recipe(self) -> str:
        """The overrides that all its rows share, where they tell it from other panels of the block."""
        known = {row.comparison_condition["overrides"] for row in self.block.students}
        return self.rows[0].comparison_condition["overrides"] if len(known) > 1 else ""

    @property
    def title(self) -> str:
        """Dataset and pair; below them whatever tells the panel from others."""
        return self.title_without()

    def title_without(self, *names: str) -> str:
        """The same without the conditions of these names."""
        name, condition = self._parts(*names)
        lines = textwrap.wrap(name, TITLE_WIDTH, break_on_hyphens=len(self.block.pair) > TITLE_WIDTH)
        return "\n".join([*lines, *textwrap.wrap(condition, TITLE_WIDTH)])

    @property
    def heading(self) -> str:
        """The same in one line: `Rooms (synthetic), conv-conv; label fraction 0.1`."""
        return "; ".join(part for part in self._parts() if part)

    @property
    def anchor(self) -> ResultRow | None:
        """The anchor of its condition (a companion under all labels is a row, and no anchor), if finished."""
        anchors = [row for row in self.rows if row.is_anchor and row.comparison == self.rows[0].comparison]
        plain = [row for row in anchors if row.condition == self.rows[0].comparison_condition] or anchors
        return plain[0] if len(plain) == 1 and plain[0].values[self.key].n else None

    def label(self, row: ResultRow) -> str:
        """The row's title with whatever tells it from others in the panel."""
        own, common = row.condition, self.rows[0].condition
        differing = [name for name in self.block.conditions if own.get(name) != common.get(name)]
        if row.about.role == "control":
            # That its teacher is not the others' is what the control's title says.
            differing = [name for name in differing if name not in OF_OWN_TEACHER]
        # An override explains itself; any other condition needs its name.
        overrides = row.own_overrides if "overrides" in self.block.conditions else []
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
        timed = [value for other in same if (value := other.value("latency_ms")) is not None]
        return statistics.fmean(timed) if timed else None

    def teachers(self) -> list[float]:
        """The primary metric of each distinct teacher on the test split; not those of controls."""
        return [value * self.metric.scale for value in teachers_of(self.rows, self.primary_metric).values()]

    @property
    def teacher_row(self) -> ResultRow | None:
        """The row of the teachers that taught here; None where there are several, or none was tested."""
        own = {ids.teacher for row in self.rows for ids in row.identities}
        rows = [row for row in self.block.rows if row.kind == "teacher"]
        found = [row for row in rows if own & {ids.teacher for ids in row.identities}]
        return found[0] if len(found) == 1 else None


def task_panels(blocks: Iterable[PairBlock]) -> list[Panel]:
    """The panels of a task; a fully labelled companion row stands in the panels that it was run for."""
    panels = []
    for block in blocks:
        # A group of nothing but companions belongs to others, if there are any.
        lone = [rows for rows in block.comparisons if all(map(_is_companion, rows))]
        full = [rows for rows in block.comparisons if rows not in lone]
        hosts = {_but_labels(rows[0]) for rows in full}
        guests = grouped((row for rows in lone for row in rows), _but_labels)
        panels += [Panel(block, rows + guests.get(_but_labels(rows[0]), [])) for rows in full]
        panels += [Panel(block, rows) for rows in lone if _but_labels(rows[0]) not in hosts]
    return panels


def contests(panels: Iterable[Panel]) -> list[Panel]:
    """Panels with one row a baseline: what may be ranked, or averaged over datasets.

    A row that trained longer for a first stage stands beside the others of its recipe. Left out are rows with
    overrides or a number of labels of their own, baselines that several rows would stand for, and panels of
    nothing but anchors. Tuned rows have panels of their own.
    """
    found = []
    for own in grouped(panels, lambda panel: (_effort(panel), panel.rows[0].condition["tuning"])).values():
        rows = {row.id: row for panel in own for row in panel.rows if _plain(row, panel)}
        block = _without(own[0].block, ("tuning", "updates"))
        for alike in grouped(rows.values(), lambda row: row.condition["epochs"]).values():
            times = Counter(row.baseline for row in alike)
            single = [row for row in alike if times[row.baseline] == 1]
            if not all(row.is_anchor for row in single):
                found.append(Panel(block, single))
    return found


def with_any_effort(panels: Iterable[Panel]) -> list[Panel]:
    """The panels that differ only in how long they trained, and whether they were tuned, as one each."""
    found = []
    for own in grouped(panels, _effort).values():
        rows = {row.id: row for panel in own for row in panel.rows}
        found.append(Panel(_without(own[0].block, ("tuning", "updates")), list(rows.values())))
    return found


def _effort(panel: Panel) -> str:
    return panel.rows[0].identities[0].any_effort


def _without(block: PairBlock, conditions: Iterable[str]) -> PairBlock:
    """The block as if these conditions did not vary: nothing is named after them."""
    return replace(block, conditions=tuple(name for name in block.conditions if name not in conditions))


def _plain(row: ResultRow, panel: Panel) -> bool:
    same = row.condition["label_fraction"] == panel.rows[0].condition["label_fraction"]
    return same and not row.variant and row.condition["overrides"] == row.comparison_condition["overrides"]


def _network(row: ResultRow) -> tuple[float, float] | None:
    """Parameters and multiply-accumulates of what a row's students predict with; None where not known."""
    parameters, macs = row.value("parameters"), row.value("macs")
    return None if parameters is None or macs is None else (parameters, macs)


def _is_companion(row: ResultRow) -> bool:
    return row.about.companion == "all_labels"


def _but_labels(row: ResultRow) -> str:
    return row.identities[0].any_labels
