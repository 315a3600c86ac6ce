"""Whole costs: what a run pays for, the columns of the table, and the frontier of score against them."""

import re

import pytest

from benchmark.records import Record, Selection
from benchmark.reporting import tidy_frame
from benchmark.reporting.figures.frontier import NAMED, drawings
from benchmark.reporting.frame import whole_cost
from benchmark.reporting.results import Results
from benchmark.reporting.style import MARKS
from benchmark.reporting.tables.render import to_text
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import altered, make_record

TUNING_S = 100.0
PLACES = {"scratch": (20, 0.5), "kd": (25, 0.6), "crd": (40, 0.62), "fitnet": (50, 0.55)}
"""Baseline -> seconds of its own training, mean score."""


def costly(baseline: str, seed: int = 0, **changes) -> Record:
    """With a teacher that took a minute."""
    own, score = PLACES[baseline]
    record = altered(
        make_record(baseline, seed, **changes),
        measurements={"total_s": own + seed, "teacher_s": 60.0, "first_stages_s": 0.0},
        results={"scores": {"test@last": {"top1": score + 0.01 * (seed - 1)}}},
    )
    tuned = changes.get("tuning") == "tuned"
    return altered(record, selection=Selection(1, 8, seconds=TUNING_S)) if tuned else record


def runs(names=PLACES, **changes):
    return [costly(name, seed, **changes) for name in names for seed in range(3)]


def test_a_student_pays_for_its_training_its_whole_teacher_and_its_tuning():
    assert whole_cost(costly("kd")) == {"whole_s": 25 + 60, "tuning_s": None}
    assert whole_cost(costly("kd", tuning="tuned")) == {"whole_s": 25 + 60 + TUNING_S, "tuning_s": TUNING_S}


@pytest.mark.parametrize(
    ("baseline", "measured", "condition", "whole"),
    [
        ("scratch", {}, {}, 20),  # the anchor, whatever share of the pass it was charged
        ("kd", {"teacher_share_ms": 0.0}, {}, 25),
        ("kd", {"teacher_share_ms": 0.0, "first_stages_s": 5.0}, {}, 25 + 60),  # the teacher of a first stage
        ("kd", {"teacher_share_ms": None}, {}, 25 + 60),
        ("kd", {"teacher_s": None}, {"teacher_epochs": None}, 25),  # a checkpoint, or an untrained one
        ("kd", {"teacher_s": None}, {}, None),
        ("kd", {"total_s": None}, {}, None),
    ],
)
def test_a_teacher_is_paid_by_those_that_use_it_and_where_it_was_trained(
    baseline, measured, condition, whole
):
    record = altered(costly(baseline, **condition), measurements=measured)
    assert whole_cost(record)["whole_s"] == whole


def test_the_frame_and_the_table_have_the_mean_cost_and_what_of_it_is_tuning():
    records = runs() + runs(("scratch", "kd"), tuning="tuned")
    frame = tidy_frame(records)
    assert frame["whole_s"].notna().all()
    (table,) = task_tables(Results.of(records))
    line = table.frame[(table.frame["baseline"] == "kd") & (table.frame["tuning"] == "tuned")].iloc[0]
    assert (line["whole_s/mean"], line["tuning_s/mean"]) == (26 + 60 + TUNING_S, TUNING_S)
    assert {"whole cost (s)", "of it tuning (s)"} <= {column.title for column in table.columns}
    assert re.search(r"KD .* 186\.0 +100\.0", to_text(table))
    assert "all of its teacher's training" in " ".join(table.caption)
    (plain,) = task_tables(Results.of(runs()))
    assert "of it tuning (s)" not in {column.title for column in plain.columns}
    (unknown,) = task_tables(Results.of([make_record()]))
    assert "whole cost (s)" not in {column.title for column in unknown.columns}


def points_of(axes):
    """(x, y) -> the mark that stands there."""
    marks = [line for line in axes.lines if line.get_marker() in MARKS.values()]
    return {(round(line.get_xdata()[0], 6), round(line.get_ydata()[0], 6)): line for line in marks}


def test_the_frontier_is_what_nothing_cheaper_beats_and_its_points_are_not_faint():
    (drawing,) = drawings(Results.of(runs() + runs(("crd",), tuning="tuned")))
    axes = drawing.draw().axes[0]
    points = points_of(axes)
    slow = {"scratch": 21, "kd": 86, "crd": 101, "fitnet": 111}
    assert set(points) == {(x, round(100 * PLACES[name][1], 6)) for name, x in slow.items()} | {(201, 62)}
    bold = {x for (x, _), line in points.items() if line.get_alpha() == 1}
    assert bold == {21, 86, 101}
    assert [x for (x, _), line in points.items() if line.get_markerfacecolor() == "white"] == [201]
    step = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert list(step.get_xdata()) == [21, 86, 101]
    bars = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert {round(line.get_ydata()[1] - line.get_ydata()[0], 6) for line in bars} == {2.0}
    assert "beats: Scratch, KD, CRD; all else" in drawing.caption
    assert {text.get_text() for text in axes.texts} == {"Scratch", "KD", "CRD", "FitNet", "CRD, tuned"}


def test_rows_with_more_labels_are_on_no_frontier_of_few_and_first_stages_are_beside_the_others():
    few = {"label_fraction": 0.1, "epochs": 12}
    records = [*runs(("scratch", "kd", "crd"), updates=120, **few), *runs(("fitnet",), updates=140, **few)]
    records += [costly("scratch", seed, updates=120, epochs=12) for seed in range(3)]
    (drawing,) = drawings(Results.of(records))
    assert {text.get_text() for text in drawing.draw().axes[0].texts} == {"Scratch", "KD", "CRD", "FitNet"}


def test_of_many_points_those_on_the_frontier_are_named(monkeypatch):
    monkeypatch.setattr("benchmark.reporting.figures.frontier.NAMED", 3)
    assert NAMED > 3
    (drawing,) = drawings(Results.of(runs()))
    assert {text.get_text() for text in drawing.draw().axes[0].texts} == {"Scratch", "KD", "CRD"}


def test_other_data_or_another_recipe_has_a_frontier_of_its_own():
    records = runs(("scratch", "kd"))
    others = [
        runs(("scratch", "kd"), provenance={"data_fingerprint": "another"}),
        runs(("scratch", "kd"), batch_size=32),
    ]
    assert len(list(drawings(Results.of(records)))) == 1
    for other in others:
        found = list(drawings(Results.of(records + other)))
        assert [len(each.draw().axes[0].texts) for each in found] == [2, 2]
        assert len({each.title for each in found}) == 2


def test_without_whole_costs_there_is_no_frontier():
    assert list(drawings(Results.of([make_record("scratch"), make_record("kd")]))) == []
