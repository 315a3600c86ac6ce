"""The words of tables and figures: titles, numbers with their spread, and what did not finish."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from benchmark.records import About, Metric, Status
from benchmark.reporting.rows import LOST, PairBlock, ResultRow
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import Estimate

ARROWS = {"max": "↑", "min": "↓"}
UNFINISHED: tuple[Status, ...] = (*LOST, "not_applicable")
UNSCORED = "finished, and has no finite score"


class Cell(str):
    """The text of a cell and, of a number, its parts, which a renderer may align: value, deviation, words."""

    number = ""
    """`61.2`, `+1.2`; empty in a cell of words"""
    deviation = ""
    """`0.8` of `61.2 ± 0.8`"""
    words = ""
    """whatever stands behind: `[+0.3, +2.1] (n=2)`"""

    @classmethod
    def of(cls, number: str, deviation: str = "", *words: str) -> Cell:
        """The cell of these parts."""
        behind = " ".join(filter(None, words))
        cell = cls(" ".join(filter(None, (number, deviation and f"± {deviation}", behind))))
        cell.number, cell.deviation, cell.words = number, deviation, behind
        return cell

    def with_words(self, *words: str) -> Cell:
        """The same with further words behind."""
        return Cell.of(self.number, self.deviation, self.words, *words)


def show_value(value: Any) -> str:
    """A condition's value as a cell; a dash for none."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return text if "e" in text or "n" in text else Cell.of(text)
    return str(value)


def show_condition(row: ResultRow, names: Iterable[str]) -> str:
    """`label fraction 0.1, epochs 10`."""
    return ", ".join(f"{name.replace('_', ' ')} {show_value(row.condition.get(name))}" for name in names)


def dataset_title(about: About, dataset: str) -> str:
    """The dataset's title, with its mark where the data is synthetic."""
    title = about.dataset_title or dataset
    return f"{title} (synthetic)" if about.synthetic else title


def block_title(block: PairBlock) -> str:
    """A block's heading: dataset, pair, modalities where the two networks differ in them, test samples."""
    title = block.heading or dataset_title(block.about, block.dataset)
    if block.heading or not block.pair:
        return title
    title += f", {block.pair}"
    first = block.rows[0].records[0]
    teacher, student = (
        ", ".join(names) for names in (first.teacher.modalities, first.about.student_modalities)
    )
    if teacher != student:
        title += f" (teacher: {teacher}; student: {student})"
    known = {r.about.num_test for row in block.rows for r in row.records}
    counts = sorted(count for count in known if count is not None)
    return f"{title}; {' or '.join(f'{count:,}' for count in counts)} test samples" if counts else title


def metric_name(metric: Metric, name: str, arrow: bool = True) -> str:
    """`top-1 (%) ↑`: short name, unit and the better direction."""
    words = [metric.short or metric.title or name]
    words += [f"({metric.unit})"] if metric.unit else []
    return " ".join([*words, *([ARROWS[metric.direction]] if arrow else [])])


def decimals_of(metric: Metric) -> int:
    return 1 if metric.scale >= 10 else 3


def show_estimate(estimate: Estimate | None, decimals: int, row_n: int | None = None) -> Cell:
    """`61.2 ± 0.8`, with `(n=2)` where n is not the row's; empty where nothing was measured."""
    if estimate is None or estimate.n == 0:
        return Cell()
    deviation = "" if math.isnan(estimate.sd) else f"{estimate.sd:.{decimals}f}"
    return Cell.of(f"{estimate.mean:.{decimals}f}", deviation, _other_n(estimate, row_n))


def _other_n(estimate: Estimate, row_n: int | None) -> str:
    return "" if estimate.n == row_n else f"(n={estimate.n})"


def show_difference(difference: Difference | None, decimals: int) -> Cell:
    """`+1.2 [+0.3, +2.1]`; the difference alone where nothing is known of its error."""
    if difference is None or math.isnan(difference.mean):
        return Cell()
    low, high = difference.interval
    mean, low, high = (f"{value:+.{decimals}f}" for value in (difference.mean, low, high))
    return Cell.of(mean, "") if math.isnan(difference.se) else Cell.of(mean, "", f"[{low}, {high}]")


def show_verdict(difference: Difference | None, decimals: int) -> str:
    """`above`, `below`, `undecided`, `none > 1.2` (no difference above that); empty without a test."""
    if difference is None or math.isnan(difference.p):
        return ""
    if difference.verdict == "no difference":
        return f"none > {difference.equivalent_within:.{decimals}f}"
    return difference.verdict


def show_number(value: float | None, decimals: int) -> str:
    """A number; empty for None and nan."""
    return "" if value is None or math.isnan(value) else Cell.of(f"{value:.{decimals}f}")


def show_p(p: float) -> str:
    """`0.012`, `3e-05`; empty where nothing was tested."""
    if math.isnan(p):
        return ""
    return Cell.of(f"{p:.2g}") if p >= 0.001 else f"{p:.0e}"


def show_count(estimate: Estimate | None) -> str:
    """Parameters and operations in three digits: `83.9k`, `12.5M`."""
    if estimate is None or estimate.n == 0:
        return ""
    mean = float(f"{estimate.mean:.3g}")
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if mean >= limit:
            return f"{mean / limit:.3g}{unit}"
    return f"{estimate.mean:.0f}"


def show_mean(estimate: Estimate | None, decimals: int) -> Cell:
    """A measurement's mean; its spread is in the CSV file."""
    return Cell() if estimate is None or estimate.n == 0 else Cell.of(f"{estimate.mean:.{decimals}f}")


def row_n(row: ResultRow) -> int:
    """Finished seeds; distinct teachers in a teacher's row."""
    return len(row.finished) if row.is_student else len(row.numbers)


def show_words(name: str) -> str:
    """`not_applicable` as `not applicable`."""
    return name.replace("_", " ")


def failures(row: ResultRow) -> list[tuple[str, str]]:
    """`("diverged (1 of 3)", reason)` and the like, one for each distinct reason."""
    found = []
    if not row.is_student:
        return found
    for status in UNFINISHED:
        count, words = row.count(status), show_words(status)
        whole = status == "not_applicable" and count == len(row.records)
        text = words if whole else f"{words} ({count} of {len(row.records)})"
        reasons = [record.reason for record in row.records if record.status == status]
        found += [(text, reason) for reason in dict.fromkeys(reasons)]
    if row.unscored_places:
        found.append((f"no score ({len(row.unscored_places)} of {len(row.records)})", UNSCORED))
    return found


def all_notes(blocks: list[PairBlock]) -> list[str]:
    texts = (reason for block in blocks for row in block.rows for _, reason in failures(row))
    return [reason for reason in dict.fromkeys(texts) if reason]


def show_status(row: ResultRow, notes: list[str] | None = None) -> str:
    """`diverged (1 of 3) [2]`: what did not finish, and the note that says why; empty if all did."""
    marks: dict[str, list[str]] = {}
    for text, reason in failures(row):
        marks.setdefault(text, []).extend([f"[{notes.index(reason) + 1}]"] if reason and notes else [])
    return ", ".join(" ".join([text, *numbers]) for text, numbers in marks.items())
