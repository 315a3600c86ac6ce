"""What `python -m benchmark.speed --json` left, as the pages of the documentation show it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark.errors import UserError, unknown


@dataclass(frozen=True)
class Measured:
    """One such file; times are printed as milliseconds, the median of the repeats."""

    name: str
    content: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> Measured:
        """Raises UserError where there is none."""
        try:
            return cls(file.stem, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UserError(f"{file} can't be read ({error}): make it with benchmark.speed --json") from error

    def part(self, name: str) -> Measured:
        """The report of a part of `make gpu`."""
        return Measured(f"{self.name}, {name}", self.content["parts"][name]["report"])

    @property
    def command(self) -> str:
        """The command that made it."""
        return self.content["machine"]["command"]

    @property
    def made(self) -> str:
        """`Intel(R) Xeon(R), 1 thread, torch 2.14.1, commit 0123456`."""
        machine = self.content["machine"]
        device = machine["device_name"] if machine["device"] == "cuda" else machine["processor"]
        threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        return f"{device}, {threads}, torch {machine['versions']['torch']}, commit {machine['commit'][:7]}"

    def ratio(self, name: str, decimals: int = 2) -> str:
        """One of its ratios."""
        ratios = self.content["ratios"]
        if name not in ratios:
            raise unknown(f"ratio of {self.name}", name, ratios)
        return f"{ratios[name]:.{decimals}f}"

    def steps(self) -> str:
        """The runs of the cohort: own step in it, alone, and as a plain loop if that was timed; then sums."""
        titles = {"alone": "alone", "plain": "plain loop"}
        cohort, measured = self.content["cohort"], [part for part in titles if self.content.get(part)]
        others = [self.content[part] for part in measured]
        rows: list[tuple[str, ...]] = [("data", _median(cohort["data_ms"]))]
        # None where no baseline of the cohort learns from a teacher.
        rows += [("teacher pass", _median(each))] if (each := cohort["teacher_ms"]) else []
        for run, its in cohort["runs"].items():
            rows.append((run, _median(its["own_ms"]), *(_median(each[run]["wall_ms"]) for each in others)))
        sums = (sum(its["wall_ms"]["median"] for its in each.values()) for each in others)
        rows.append(("all", _median(cohort["wall_ms"]), *(f"{one_by_one:.1f}" for one_by_one in sums)))
        rows += [
            (f"all, {title}", _median(self.content[way]["wall_ms"]))
            for way, title in (("fused", "students in one pass"), ("graphs", "by graphs"))
            if way in self.content
        ]
        return pipe_table(rows, ("", "in the cohort", *(titles[part] for part in measured)))

    def compared(self, ours: str = "ours", theirs: str = "theirs") -> str:
        """The comparisons with other code, or with what could be done instead, under these names."""
        rows = [
            (
                each["name"],
                each["rival"],
                _median(each["ours_ms"]),
                _median(each["theirs_ms"]),
                f"{each['ratio']:.2f}",
                f"{each['difference']:.0e}",
            )
            for each in self.content["comparisons"]
        ]
        return pipe_table(rows, ("", "beside", ours, theirs, "ratio", "they differ by"))

    def growth(self, axis: str) -> str:
        """The table of an axis, and what its predictions are."""
        grown = self.content["growth"]
        if axis not in grown:
            raise unknown(f"axis of {self.name}", axis, grown)
        rows = [
            (
                f"{row['size']:,}",
                _median(row["wall_ms"]),
                "" if row["predicted_ms"] is None else f"{row['predicted_ms']:.1f}",
                "" if row["measured/predicted"] is None else f"{row['measured/predicted']:.2f}",
                f"{row['macs'] / 1e9:.1f}",
            )
            for row in grown[axis]["rows"]
        ]
        table = pipe_table(rows, (axis, "measured", "predicted", "ratio", "10^9 MACs"))
        return f"{table}\n\nPredicted: {grown[axis]['prediction']}."


def pipe_table(rows: Iterable[Sequence[str]], header: Sequence[str], words: int = 1) -> str:
    """Cells as a pipe table, numbers to the right of the first columns, which are `words`."""
    align = [*["left"] * words, *["right"] * (len(header) - words)]
    return tabulate(list(rows), header, tablefmt="pipe", colalign=align, disable_numparse=True)


def _median(spread: dict[str, Any]) -> str:
    return f"{spread['median']:.1f}"
