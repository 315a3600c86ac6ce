"""The summary of a panel in sentences, against arithmetic by hand."""

import re

import numpy as np
import pytest

from benchmark.reporting.comparisons import BEST_MARK, standings
from benchmark.reporting.figures import drawings_of
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.page.content import page_content
from benchmark.reporting.panels import task_panels
from benchmark.reporting.results import Results
from benchmark.reporting.statistics.inference import differences_to
from benchmark.reporting.summary import summaries, summary
from benchmark.reporting.tables.captions import conditional_on
from benchmark.reporting.tables.pair_tables import pair_tables
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import METRICS, altered, make_record, write_run

SCRATCH = [50.0, 51.0, 52.0]


def records_of(accuracy, direction="max", **changes):
    """A record for each baseline and seed, with the given accuracies in percent (None: not applicable)."""
    records = []
    for baseline, values in accuracy.items():
        for seed, value in enumerate(values):
            status = "not_applicable" if value is None else "finished"
            record = make_record(baseline, seed, status, **changes)
            record = altered(record, metrics={"top1": altered(METRICS["top1"], direction=direction)})
            if value is not None:
                record.results.scores["test@last"] = {"top1": value / 100}
            records.append(record)
    return records


def said(records):
    (panel,) = task_panels(task_blocks(records)[records[0].run.task])
    found = summary(panel, "top1")
    return found, " ".join(found.sentences)


def test_the_best_is_named_with_its_difference_and_interval():
    found, text = said(records_of({"scratch": SCRATCH, "crd": [60, 62, 64], "kd": [50.5, 51, 51.5]}))
    assert found.winners == ("CRD",)
    samples = {"scratch": SCRATCH, "crd": [60, 62, 64], "kd": [50.5, 51, 51.5]}
    difference = differences_to(samples, "scratch")["crd"]
    low, high = difference.interval
    assert "CRD is the best method: 62.0 ± 2.0 %, +11.0 points against Scratch" in text
    assert f"(95 % interval {low:+.1f} to {high:+.1f}, n = 3)" in text
    kd = differences_to(samples, "scratch")["kd"]
    assert kd.verdict == "no difference"
    assert (
        f"Of 2 methods, 1 better than Scratch, 0 worse, 1 without a difference above"
        f" {kd.equivalent_within:.1f} points, 0 undecided (all tested together, 5 %)."
    ) in text
    visible = sorted((difference.smallest_visible, kd.smallest_visible))
    assert f"is {visible[0]:.1f} to {visible[1]:.1f} points." in text


def test_several_that_may_be_the_best_are_named_and_no_single_winner():
    found, text = said(
        records_of({"scratch": SCRATCH, "crd": [60, 62, 64], "kd": [61, 62, 62], "fitnet": [55, 56, 57]})
    )
    assert found.winners == ("CRD", "KD")
    assert "no single winner: KD (+10.7)." in text
    assert "is the best method" not in text
    # FitNet is better than the anchor, but clearly below the best: 5, 6, 7 points.
    assert "FitNet (" not in text


def test_the_summary_says_of_the_best_what_the_marks_of_the_table_say():
    """Panels with a reference of its own: it competes in both, or in neither."""
    draw, best, shown = np.random.default_rng(1), 0, set()
    names = ("scratch", "kd", "crd", "fitnet", "label_smoothing")
    for _ in range(40):
        spread = draw.choice([0.2, 0.6, 1.2], len(names))
        gains = np.array([0, *draw.normal(2, 1.5, len(names) - 1)])
        accuracy = {
            name: list(50 + gain + sd * draw.normal(size=4))
            for name, gain, sd in zip(names, gains, spread, strict=True)
        }
        records = [
            altered(r, about={"role": "reference" if r.run.baseline == "label_smoothing" else r.about.role})
            for r in records_of(accuracy)
        ]
        found, text = said(records)
        (block,) = task_blocks(records)["compression"]
        marks = {row.title: standings(block, "top1").get(row.id, "") for row in block.students}
        if found.winners:
            assert ("is the best method" in text) == (marks[found.winners[0]] == BEST_MARK)
            marked = {title for title, mark in marks.items() if mark}
            assert set(found.winners[1:]) == marked - {found.winners[0]}
            best += "is the best method" in text
            shown |= marked
    assert best > 3
    assert "Label smoothing" in shown


def test_a_single_method_is_the_best_of_nothing():
    found, text = said(records_of({"scratch": SCRATCH, "kd": [60, 62, 64]}))
    assert found.winners == ("KD",)
    assert "KD is better: 62.0 ± 2.0 %, +11.0 points against Scratch" in text
    assert "best" not in text


def test_without_a_gain_nothing_is_marked():
    found, text = said(records_of({"scratch": SCRATCH, "kd": [60, 52, 56], "crd": [40, 41, 42.5]}))
    assert found.winners == ()
    assert "No method is shown to be better than Scratch. The best mean is KD's: 56.0 ± 4.0 %" in text
    assert "0 better than Scratch, 1 worse, 1 undecided" in text


def test_a_better_mean_with_too_wide_an_interval_is_named_beside_the_winner():
    found, text = said(records_of({"scratch": SCRATCH, "crd": [60, 61.5, 62], "kd": [55, 80, 70]}))
    assert found.winners[0] == "CRD"
    assert "KD (+17.3) has a better mean, but undecided" in text


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_no_winner_is_marked_and_no_interval_given(seeds):
    found, text = said(records_of({"scratch": SCRATCH[:seeds], "kd": [70, 71][:seeds]}))
    assert found.winners == ()
    assert "No winner marked: below 3 seeds. The best mean is KD's" in text
    assert f"(n = {seeds})" in text
    assert "interval" not in text


def test_lower_is_better_where_the_metric_says_so():
    found, text = said(
        records_of({"scratch": SCRATCH, "kd": [60, 62, 64], "crd": [40, 42, 43]}, direction="min")
    )
    assert found.winners == ("CRD",)
    assert "−9.3 points against Scratch" in text
    assert "1 better than Scratch, 1 worse" in text


def test_a_control_never_wins_but_is_named_when_it_gains_too():
    found, text = said(
        records_of({"scratch": SCRATCH, "kd": [55, 56.5, 57], "label_smoothing": [60, 61, 62.5]})
    )
    assert found.winners == ("KD",)
    assert "Of the controls, better than Scratch: Label smoothing (+10.2)." in text


def test_synthetic_data_and_the_teacher_are_said():
    _, text = said(records_of({"scratch": SCRATCH, "kd": [60, 62, 64]}))
    assert "The data is synthetic." in text
    assert "conditional on this one teacher" in text
    _, real = said(records_of({"scratch": SCRATCH, "kd": [60, 62, 64]}, dataset="cifar100"))
    assert "synthetic" not in real


def test_what_has_no_finished_run_is_named():
    _, text = said(records_of({"scratch": SCRATCH, "kd": [60, 62, 64], "fsp": [None] * 3}))
    assert "Without a finished run: FSP." in text


def test_without_an_anchor_the_best_mean_is_told_and_no_difference():
    found, text = said(records_of({"kd": [60, 62, 64], "crd": [50, 51, 52]}))
    assert found.winners == ()
    assert "No differences" in text
    assert "KD's, 62.0 ± 2.0 %" in text


def test_long_lists_of_ties_are_shortened_with_their_number():
    names = ["kd", "fitnet", "crd", "crd+kd", "fsp"]
    accuracy = {"scratch": SCRATCH}
    for k, name in enumerate(names):
        accuracy[name] = [60 + 0.1 * k, 61 - 0.1 * k, 62 + 0.05 * k]
    records = records_of(accuracy)
    for baseline in ("kd", "crd", "fitnet"):
        for seed in range(3):
            extra = make_record(baseline, seed, hyperparameters={"weight": 0.1})
            extra = altered(extra, metrics=records[0].metrics)
            extra.results.scores["test@last"] = {"top1": 0.61 + 0.001 * (seed == 1)}
            records.append(extra)
    _, text = said(records)
    assert re.search(r"no single winner: ([^.]|\.\d)* and 2 others\.", text)


def test_a_nan_result_neither_wins_nor_breaks_the_sentence():
    found, text = said(records_of({"scratch": SCRATCH, "kd": [60, 62, 64], "crd": [float("nan")] * 3}))
    assert found.winners == ("KD",)
    assert "nan" not in text


def test_two_teachers_are_too_few_however_many_seeds_they_have():
    records = [
        altered(r, id=f"{r.id}-{teacher}", condition={"teacher_seed": teacher}, teacher={"id": f"t{teacher}"})
        for teacher in (0, 1)
        for r in records_of({"scratch": SCRATCH, "kd": [60, 62, 64]})
    ]
    _, text = said(records)
    assert "No winner marked: below 3 teachers or splits." in text
    (table,) = task_tables(Results.of(records))
    assert "Below 3 teachers or splits nothing is tested and no winner is marked." in table.caption


@pytest.mark.parametrize(
    ("teachers", "words"),
    [(1, "are conditional on the teacher"), (2, "have no interval"), (3, "hold over those")],
)
def test_table_figure_page_and_summary_say_alike_what_intervals_hold_over(tmp_path, teachers, words):
    for teacher in range(teachers):
        for record in records_of({"scratch": SCRATCH, "kd": [60, 62, 64]}):
            condition, own = {"teacher_seed": teacher}, {"id": f"t{teacher}"}
            write_run(tmp_path, altered(record, id=f"{teacher}{record.id}", condition=condition, teacher=own))
    results = Results.read(tmp_path)
    (panel,) = results.panels["compression"]
    sentence = conditional_on(panel.rows)
    assert words in sentence
    (table,), (pairs,) = task_tables(results), pair_tables(results)
    (drawing,) = drawings_of(results, "comparison")
    assert sentence in table.caption
    assert sentence in pairs.caption
    assert drawing.caption.endswith(sentence)
    assert page_content(results, [], [])["tasks"][0]["conditional"] == sentence
    assert (sentence in summary(panel, "top1").sentences) == (teachers > 1)
    assert pairs.caption[0].endswith(f"over {3 * teachers} {'runs' if teachers > 1 else 'seeds'}.")


def test_a_further_primary_metric_that_the_anchor_lacks_is_no_nan():
    metrics = {"top1": METRICS["top1"], "top5": altered(METRICS["top5"], primary=True)}
    records = [altered(make_record(name, 0), metrics=metrics) for name in ("scratch", "kd")]
    records[0].results.scores["test@last"].pop("top5")
    (panel,) = task_panels(task_blocks(records)["compression"])
    assert "nan" not in " ".join(summary(panel, "top5").sentences)


def test_finished_runs_without_the_metric_are_not_called_unfinished():
    def without(record):
        return altered(record, results={"scores": {"test@last": {"top1": None}}})

    records = records_of({"scratch": SCRATCH, "label_smoothing": [60, 61, 62.5], "kd": [60, 62, 64]})
    _, none = said(list(map(without, records)))
    assert "No finished run has a value of Top-1 accuracy." in none
    assert "No run finished" not in none
    _, methods = said([without(r) if r.run.baseline == "kd" else r for r in records])
    assert "No finished run of a method can be compared with Scratch." in methods
    assert "No method has a finished run" not in methods
    _, unfinished = said(records_of({"scratch": SCRATCH, "label_smoothing": SCRATCH, "kd": [None] * 3}))
    assert "No method has a finished run to compare." in unfinished


def test_every_panel_and_primary_metric_has_a_summary():
    records = records_of({"scratch": SCRATCH, "kd": [60, 62, 64]})
    records += records_of({"scratch": SCRATCH, "kd": [60, 62, 64]}, epochs=5)
    panels = task_panels(task_blocks(records)["compression"])
    assert [each.metric for each in summaries(panels)] == ["top1", "top1"]
