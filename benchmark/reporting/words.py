"""The words of tables and figures: titles, numbers with their spread, and what did not finish."""

import math
from collections.abc import Iterable
from typing import Any

from benchmark.reporting.rows import Block, Row, scale_of
from benchmark.reporting.statistics import INTERVAL_FROM, Summary

ARROWS = {"max": "↑", "min": "↓"}


def show_value(value: Any) -> str:
    """A condition's value as a cell; a dash for none."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_condition(row: Row, names: Iterable[str]) -> str:
    """`label fraction 0.1, epochs 10`."""
    return ", ".join(f"{name.replace('_', ' ')} {show_value(row.condition.get(name))}" for name in names)


def dataset_title(about: dict[str, Any], dataset: str) -> str:
    """The dataset's title, with its mark where the data is synthetic."""
    title = about.get("dataset_title") or dataset
    return f"{title} (synthetic)" if about.get("synthetic") else title


def block_title(block: Block) -> str:
    """A block's heading: dataset, pair, modalities where the two networks differ in them, test samples."""
    about = block.about
    title = dataset_title(about, block.dataset)
    if not block.pair:
        return title
    title += f", {block.pair}"
    sees = [", ".join(about.get(f"{who}_modalities") or []) for who in ("teacher", "student")]
    if sees[0] != sees[1]:
        title += f" (teacher: {sees[0]}; student: {sees[1]})"
    counts = sorted(
        {r["about"]["num_test"] for row in block.rows for r in row.records if "num_test" in r["about"]}
    )
    return f"{title}; {' or '.join(f'{count:,}' for count in counts)} test samples" if counts else title


def metric_name(metric: dict, name: str) -> str:
    """`top-1 (%) ↑`: short name, unit and the better direction."""
    words = [metric.get("short") or metric.get("title") or name]
    words += [f"({metric['unit']})"] if metric.get("unit") else []
    return " ".join([*words, ARROWS.get(metric.get("direction"), "")]).strip()


def decimals_of(metric: dict) -> int:
    return 1 if scale_of(metric) >= 10 else 3


def show_summary(summary: Summary | None, decimals: int, row_n: int | None = None, sign: str = "") -> str:
    """`61.2 ± 0.8`, with `(n = 2)` where n is not the row's; empty where nothing was measured."""
    if summary is None or summary.n == 0:
        return ""
    text = f"{summary.mean:{sign}.{decimals}f}"
    if not math.isnan(summary.sd):
        text += f" ± {summary.sd:.{decimals}f}"
    return text if summary.n == row_n else f"{text} (n={summary.n})"


def show_difference(summary: Summary | None, decimals: int, row_n: int | None = None) -> str:
    """`+1.2 [+0.3, +2.1]`, the 95 % t interval; below three seeds the difference alone, with its n."""
    if summary is None or summary.n == 0:
        return ""
    text = f"{summary.mean:+.{decimals}f}"
    if summary.n < INTERVAL_FROM:
        return f"{text} (n={summary.n})"
    text += f" [{summary.low:+.{decimals}f}, {summary.high:+.{decimals}f}]"
    return text if summary.n == row_n else f"{text} (n={summary.n})"


def show_p(p: float) -> str:
    """`0.012`, `3e-05`; empty where nothing was tested."""
    if math.isnan(p):
        return ""
    return f"{p:.2g}" if p >= 0.001 else f"{p:.0e}"


def show_count(summary: Summary | None) -> str:
    """Parameters and operations in three digits: `83.9k`, `12.5M`."""
    if summary is None or summary.n == 0:
        return ""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if summary.mean >= limit:
            return f"{summary.mean / limit:.3g}{unit}"
    return f"{summary.mean:.0f}"


def show_mean(summary: Summary | None, decimals: int) -> str:
    """A measurement's mean; its spread is in the CSV file."""
    return "" if summary is None or summary.n == 0 else f"{summary.mean:.{decimals}f}"


def row_n(row: Row) -> int:
    """Finished seeds; distinct teachers in a teacher's row."""
    return len(row.records) if row.is_teacher else len(row.finished)


def failures(row: Row) -> list[tuple[str, str]]:
    """`("diverged (1 of 3)", reason)` and the like, one for each distinct reason."""
    found = []
    if row.is_teacher:
        return found
    for status, words in (("diverged", "diverged"), ("not_applicable", "not applicable")):
        count = row.count(status)
        whole = status == "not_applicable" and count == len(row.records)
        text = words if whole else f"{words} ({count} of {len(row.records)})"
        reasons = [record.get("reason", "") for record in row.records if record["status"] == status]
        found += [(text, reason) for reason in dict.fromkeys(reasons)]
    return found


def all_notes(blocks: list[Block]) -> list[str]:
    texts = (reason for block in blocks for row in block.rows for _, reason in failures(row))
    return [reason for reason in dict.fromkeys(texts) if reason]


def show_status(row: Row, notes: list[str] | None = None) -> str:
    """`diverged (1 of 3) [2]`: what did not finish, and the note that says why; empty if all did."""
    marks: dict[str, list[str]] = {}
    for text, reason in failures(row):
        marks.setdefault(text, []).extend([f"[{notes.index(reason) + 1}]"] if reason and notes else [])
    return ", ".join(" ".join([text, *numbers]) for text, numbers in marks.items())
