"""The leaderboard as tables of a page: a function of `results/leaderboard.parquet` alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from benchmark.errors import UserError, reason_of
from benchmark.records import Metric
from benchmark.reporting.comparisons import BEST_MARK, TIED_MARK
from benchmark.reporting.formatting import (
    decimals_of,
    metric_name,
    show_difference,
    show_estimate,
    show_number,
    show_value,
    show_verdict,
    show_words,
)
from benchmark.reporting.frame import CONDITIONS
from benchmark.reporting.identity import DIGITS
from benchmark.reporting.leaderboard.frame import BEST, FILE, OWN_SETTINGS, TIED, TO_ANCHOR, TO_BEST
from benchmark.reporting.rows import grouped
from benchmark.reporting.statistics.inference import Difference
from benchmark.reporting.statistics.spread import Estimate

Line = dict[str, Any]
"""A line of the frame; None where it has no value."""

CHECKSUMS = ("suite_version", "data_fingerprint", "teacher_id", "teacher_checksum")
"""What may tell groups apart that the conditions don't."""

COUNTS = {"num_train": "training samples", "num_labelled": "labelled", "num_test": "test samples"}
MARKS = {BEST: BEST_MARK, TIED: TIED_MARK}


def read_leaderboard(file: Path = FILE) -> Leaderboard:
    """The leaderboard that a file holds. Raises UserError where it can't be read."""
    try:
        return Leaderboard(pd.read_parquet(file))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} can't be read ({reason_of(error)}): python -m benchmark.leaderboard build writes it anew"
        ) from error


@dataclass(frozen=True)
class Group:
    """The lines that may be compared with one another."""

    lines: list[Line]
    varying: tuple[str, ...]
    """the conditions that tell it from other groups of its question"""

    @property
    def question(self) -> str:
        """Dataset and pair, which groups under other conditions share."""
        first = self.lines[0]
        title = first["dataset_title"] or first["dataset"]
        return f"{title}{' (synthetic)' * first['synthetic']}, {first['pair']}"

    @property
    def typical(self) -> Line:
        """A line whose condition is that of the group; a control may have another teacher than the others."""
        students = [line for line in self.lines if line["kind"] == "student"]
        return min(students, key=lambda line: (line["rank"] is None, line["role"] == "control"))

    @property
    def condition(self) -> str:
        """What tells it from the other groups of its question, in words."""
        line = self.typical
        words = (
            f"{show_words(name)} {line[name][:DIGITS] if name in CHECKSUMS else show_value(line[name])}"
            for name in self.varying
        )
        return ", ".join(words)

    @property
    def facts(self) -> str:
        """What all its numbers hold for."""
        line, students = self.typical, [each for each in self.lines if each["kind"] != "teacher"]
        seen = (line["teacher_modalities"], line["student_modalities"])
        networks = [
            f"{network} ({modalities})" if seen[0] != seen[1] else network
            for network, modalities in zip((line["teacher"], line["student"]), seen, strict=True)
        ]
        counts = [f"{line[name]:,} {words}" for name, words in COUNTS.items() if line[name] is not None]
        made = {
            "commit": [each[:7] for each in _values(students, "commit")],
            "device": [each.upper() for each in _values(students, "device")],
            "threads": _values(students, "threads"),
            "torch": _values(students, "torch"),
        }
        return "; ".join(
            [
                f"Suite {line['suite_version'] or 'unknown'}",
                f"data `{line['data_fingerprint'][:DIGITS]}`",
                *counts,
                f"teacher {networks[0]} `{line['teacher_checksum'][:DIGITS]}`, student {networks[1]}",
                *(f"{name} {' and '.join(known)}" for name, known in made.items() if known),
                f"from {' and '.join(_values(students, 'archives'))} by {' and '.join(self._makers)}, "
                f"{_last_day(students)}",
            ]
        )

    @property
    def _makers(self) -> list[str]:
        return _values(self.lines, "submitted_by", "; ")

    @cached_property
    def table(self) -> str:
        """Everything but what has settings of its own."""
        return self._table(line for line in self.lines if line["unranked"] != OWN_SETTINGS)

    @cached_property
    def own_settings(self) -> str:
        """The rows with settings of their own; empty where there are none."""
        return self._table(line for line in self.lines if line["unranked"] == OWN_SETTINGS)

    @property
    def may_be_best(self) -> str:
        """The titles that may be the best, by rank, behind their mark."""
        lines = [line for line in self.lines if line["standing"]]
        marks = dict.fromkeys(MARKS[line["standing"]] for line in lines)
        return " ".join([*marks, ", ".join(line["method"] for line in lines)]) if lines else ""

    @property
    def ranked(self) -> int:
        return sum(line["rank"] is not None for line in self.lines)

    def _table(self, lines: Iterable[Line]) -> str:
        lines = list(lines)
        columns = [(title, cell) for title, cell in self._columns() if any(map(cell, lines))]
        rows = [[cell(line) for _, cell in columns] for line in lines]
        align = ["left" if title in TEXTUAL else "right" for title, _ in columns]
        header = [title for title, _ in columns]
        return tabulate(rows, header, tablefmt="pipe", colalign=align, disable_numparse=True) if rows else ""

    def _columns(self) -> Iterator[tuple[str, Callable[[Line], str]]]:
        first = self.lines[0]
        metric = Metric(
            first["metric_title"],
            first["metric_short"],
            first["direction"],
            first["unit"] or "",
            first["scale"],
        )
        decimals = decimals_of(metric)

        def of(prefix: str) -> Callable[[Line], Difference | None]:
            return lambda line: _difference(line, prefix)

        to_anchor, to_best = of(TO_ANCHOR), of(TO_BEST)
        yield "rank", lambda line: "" if line["rank"] is None else str(line["rank"])
        yield "method", _method
        yield (
            metric_name(metric, first["metric"]),
            lambda line: show_estimate(_estimate(line), decimals, line["n"]),
        )
        yield "n", lambda line: str(line["n"])
        yield "best", lambda line: MARKS.get(line["standing"], "")
        yield self._to("anchor"), lambda line: show_difference(to_anchor(line), decimals)
        yield "verdict", lambda line: show_verdict(to_anchor(line), decimals)
        yield (
            "smallest visible",
            lambda line: show_number(getattr(to_anchor(line), "smallest_visible", None), decimals),
        )
        yield self._to("best"), lambda line: show_difference(to_best(line), decimals)
        yield "no rank", lambda line: line["unranked"] if line["unranked"] != OWN_SETTINGS else ""
        if len(self._makers) > 1:
            yield "by", lambda line: line["submitted_by"] or ""

    def _to(self, other: str) -> str:
        titles = {line[other] for line in self.lines if line[other]}
        return f"difference to {titles.pop() if len(titles) == 1 else other}"


TEXTUAL = ("method", "best", "verdict", "no rank", "by")
"""Columns that are no numbers."""


def _method(line: Line) -> str:
    role = f" ({line['role']})" if line["role"] == "reference" and line["kind"] == "student" else ""
    return f"{line['label']}{role}"


def _estimate(line: Line) -> Estimate:
    return Estimate(**{each.name: _number(line[each.name]) for each in fields(Estimate)})


def _difference(line: Line, prefix: str) -> Difference | None:
    """As the frame was told it; None where there was none."""
    if line[f"{prefix}n"] is None:
        return None
    known = {each.name: line[f"{prefix}{each.name}"] for each in fields(Difference)}
    return Difference(**{name: _number(value) for name, value in known.items()})


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _values(lines: Iterable[Line], name: str, separator: str = ", ") -> list[str]:
    """The values of a column in which a line may have several, each once."""
    texts = (line[name] for line in lines if line[name])
    return sorted({value for text in texts for value in text.split(separator)})


def _last_day(lines: Iterable[Line]) -> str:
    """`2026-11-26`: when the last of the runs ended."""
    return max((line["last_finished"] or "" for line in lines), default="")[:10]


class Leaderboard:
    """The frame, group by group."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    @cached_property
    def groups(self) -> list[Group]:
        """In the order of a reader's interest: real data first."""
        lines = [
            {str(name): None if pd.isna(value) else _inline(value) for name, value in line.items()}
            for line in self.frame.to_dict("records")
        ]
        found = _told_apart([Group(own, ()) for own in grouped(lines, lambda line: line["group"]).values()])
        return sorted(found, key=lambda group: bool(group.lines[0]["synthetic"]))

    @cached_property
    def ranked(self) -> list[Group]:
        """Those in which anybody has a rank."""
        return _told_apart([group for group in self.groups if group.ranked])

    @property
    def questions(self) -> dict[str, list[Group]]:
        """Dataset and pair -> its groups, of those in which anybody has a rank."""
        return grouped(self.ranked, lambda group: group.question)


def _told_apart(groups: list[Group]) -> list[Group]:
    """Groups with the conditions that tell those of one question apart, which come side by side."""
    return [
        Group(group.lines, _varying(alike))
        for alike in grouped(groups, lambda group: group.question).values()
        for group in alike
    ]


def _varying(groups: list[Group]) -> tuple[str, ...]:
    """What tells groups of one question apart: their conditions, the label fraction in any case, and more."""
    known = [group.typical for group in groups]

    def values(name: str) -> list[str]:
        return [repr(line[name]) for line in known]

    told = [name for name in CONDITIONS if name == "label_fraction" or len(set(values(name))) > 1]
    if len(set(zip(*map(values, told), strict=True))) < len(groups):
        told += [name for name in CHECKSUMS if len(set(values(name))) > 1]
    return tuple(told)


def _inline(value: Any) -> Any:
    """Text as it may stand in a cell: records, and those who submit them, may write anything."""
    if not isinstance(value, str):
        return value
    return " ".join(value.split()).replace("<", "&lt;").replace("|", "\\|")
