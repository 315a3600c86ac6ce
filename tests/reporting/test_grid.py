"""Grids on a page: means of cells, what is emphasised, and by how much one choice is ahead of another."""

from __future__ import annotations

import dataclasses
import statistics

import pytest

from benchmark.errors import UserError
from benchmark.records import LAST, Record
from benchmark.reporting.documents.grid import Grid
from tests.reporting.fake_records import altered, make_record

FOLDS = ("inner_1", "inner_3", "inner_5", "inner_7")
SCORE = f"{LAST}/top1"


def run(student: str, epochs: int, fold: str, seed: int) -> Record:
    record = make_record("scratch", seed, fold=fold, epochs=epochs, overrides={"of": student})
    return altered(record, about=dataclasses.replace(record.about, student=student))


RUNS = [
    run(student, epochs, fold, seed)
    for student, epochs in (("net_8", 30), ("net_8", 60), ("net_16", 30))
    for fold in FOLDS
    for seed in (0, 1)
]
GRID = Grid.of(RUNS)


def score(student: str, epochs: int, fold: str) -> float:
    """In per cent, over the seeds."""
    return 100 * statistics.mean(
        record.results.scores[LAST]["top1"]
        for record in RUNS
        if (record.about.student, record.condition.epochs, record.condition.fold) == (student, epochs, fold)
    )


def test_cells_are_means_of_their_runs_and_those_that_nobody_tried_are_empty() -> None:
    lines = GRID.table("epochs", {"student": SCORE}, bold=[(60, "net_8")]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    means = {
        key: statistics.mean(score(*key, fold) for fold in FOLDS)
        for key in (("net_8", 30), ("net_8", 60), ("net_16", 30))
    }
    assert cells[0] == ["epochs", "`net_8`", "`net_16`"]
    assert cells[2] == ["30", f"{means['net_8', 30]:.1f}", f"{means['net_16', 30]:.1f}"]
    assert cells[3] == ["60", f"**{means['net_8', 60]:.1f}**", "–"]


def test_what_is_ahead_has_the_standard_error_over_the_folds() -> None:
    ahead = [score("net_16", 30, fold) - score("net_8", 30, fold) for fold in FOLDS]
    expected = f"{statistics.mean(ahead):.1f} ± {statistics.stdev(ahead) / len(FOLDS) ** 0.5:.1f}"
    assert GRID.ahead(SCORE, {"student": "net_16"}, {"student": "net_8", "epochs": 30}) == expected
    assert GRID.ahead(SCORE, {"epochs": 60}, {"epochs": 60}, over="seed") == "0.0 ± 0.0"


def test_choices_are_ranked_by_their_means() -> None:
    of_fold = {fold: statistics.mean(score("net_8", epochs, fold) for epochs in (30, 60)) for fold in FOLDS}
    ranked = GRID.where(student="net_8").ranked("fold", SCORE)
    assert ranked == sorted(FOLDS, key=lambda fold: -of_fold[fold])
    assert ranked != sorted(FOLDS)


def test_runs_that_are_not_there_are_named() -> None:
    with pytest.raises(UserError, match="net_9"):
        GRID.where(student="net_9")


def test_what_nothing_was_changed_of_is_the_default() -> None:
    grid = Grid.of([make_record("kd"), make_record("kd", overrides={"weight": 2.0})])
    lines = grid.table("overrides", {"baseline": SCORE}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["default", "weight=2.0"]


def test_how_seeds_correlate_between_methods_is_the_mean_over_every_two() -> None:
    scores = {"a": (1, 2, 3), "b": (2, 4, 6), "c": (3, 2, 1), "of one value": (5, 5, 5)}
    grid = Grid(
        [
            {"baseline": name, "seed": seed, "score": value}
            for name, values in scores.items()
            for seed, value in enumerate(values)
        ]
    )
    assert grid.correlation("score") == pytest.approx((1 - 1 - 1) / 3)
