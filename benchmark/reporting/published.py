"""Published figures, and where they may stand beside ours: same dataset, pair, metric, recipe and teacher."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmark.program import ROOT
from benchmark.records import Record
from benchmark.reporting.frame import condition_columns

REPORTED = ROOT / "results" / "reported"
TEACHER = "teacher"
"""Stands for the teacher in the column `baseline`."""


@dataclass(frozen=True)
class Published:
    """A figure as printed, in the unit of its metric, and where it was printed."""

    value: float
    source: str


@cache
def _figures(folder: Path) -> dict[tuple[str, str, str, str], tuple[Published, str]]:
    """(dataset, pair, baseline, metric) -> the figure and the name of its recipe."""
    found = {}
    for file in sorted(folder.glob("*.csv")):
        with file.open(newline="", encoding="utf-8") as lines:
            for line in csv.DictReader(lines):
                key = (line["dataset"], line["pair"], line["baseline"], line["metric"])
                found[key] = Published(float(line["value"]), line["source"]), line["recipe"]
    return found


@cache
def _recipes(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / "recipes.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def published(record: Record, baseline: str, metric: str, folder: Path = REPORTED) -> Published | None:
    """The published figure for runs like `record`; None where there is none, or its recipe or teacher is
    another.

    Args:
        baseline: a baseline's name, or "teacher".
        folder: holds CSV files of figures and recipes.yaml, which says what each recipe fixes.
    """
    run, condition = record.run, record.condition
    figure, recipe = _figures(folder).get((run.dataset, run.pair, baseline, metric), (None, ""))
    fixed = dict(_recipes(folder).get(recipe, {}))
    if not fixed:
        return None
    known = fixed.pop("teacher_checksums", ())
    if condition.teacher_checkpoint:
        if record.teacher.checksum not in known:
            return None
        fixed.pop("teacher_epochs", None)
    ours = condition_columns(condition)
    same = all(same_value(ours.get(name), value) for name, value in fixed.items())
    return figure if same else None


def same_value(ours: Any, theirs: Any) -> bool:
    """Whether two values of a condition are the same: text that is empty is none."""
    empty = (None, "")
    return ours == theirs or (ours in empty and theirs in empty)
