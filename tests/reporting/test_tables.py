"""The tables: cells, captions and marks against the raw records, in every form."""

import csv
import io
import math
import re
import statistics
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from benchmark.records import LAST, Metric, Record
from benchmark.reporting.formatting import show_count
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.results import Results
from benchmark.reporting.rows import merge_metrics
from benchmark.reporting.statistics.spread import Estimate
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.render import print_table, to_markdown, to_text
from benchmark.reporting.tables.task_tables import TaskTable, task_tables
from tests.reporting.fake_records import all_records, altered, make_record


def test_counts_have_three_digits_in_whatever_unit():
    numbers = {83_900: "83.9k", 999_700: "1M", 999.7: "1k", 12_507_392: "12.5M", 9.996e8: "1G", 412: "412"}
    for number, words in numbers.items():
        assert show_count(Estimate(number, 0.0, 1, number, number)) == words


def table_of(records: list[Record], task: str = "compression") -> TaskTable:
    return next(table for table in task_tables(Results.of(records)) if table.task == task)


def only_row(table: TaskTable, **wanted):
    frame = table.frame
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def students(table: TaskTable):
    return [row for block in table.blocks for row in block.rows if row.is_student]


def cells(table: TaskTable, row) -> dict[str, str]:
    return {column.header.replace("\n", " "): column.cell(row) for column in table.columns}


def test_cells_are_the_mean_and_sample_deviation_of_the_raw_records():
    records = all_records()
    table = table_of(records)
    pair = "resnet32x4-resnet8x4"
    raw = [
        100 * r.results.scores["test@last"]["top1"]
        for r in records
        if (r.run.baseline, r.run.pair) == ("crd", pair)
    ]
    row = only_row(table, baseline="crd", pair=pair)
    assert row["test@last/top1/n"] == 3
    assert row["test@last/top1/mean"] == pytest.approx(statistics.mean(raw))
    assert row["test@last/top1/sd"] == pytest.approx(statistics.stdev(raw))
    printed = f"{statistics.mean(raw):.1f} ± {statistics.stdev(raw):.1f}"
    assert printed in to_text(table)
    assert printed in to_markdown(table)


def test_differences_are_to_the_anchor_of_the_same_condition():
    records = all_records()
    table = table_of(records, "cross_modal")

    def top1(baseline: str, fraction: float) -> dict[int, float]:
        return {
            r.run.seed: 100 * r.results.scores["test@last"]["top1"]
            for r in records
            if r.run.task == "cross_modal"
            and r.run.baseline == baseline
            and r.condition.label_fraction == fraction
        }

    few, anchor = top1("kd", 0.1), top1("scratch", 0.1)
    row = only_row(table, baseline="kd", label_fraction=0.1)
    expected = statistics.mean(few.values()) - statistics.mean(anchor.values())
    assert row["difference/top1/mean"] == pytest.approx(expected)
    assert row["difference/top1/simultaneous_low"] < expected < row["difference/top1/simultaneous_high"]
    assert row["difference/top1/n"] == 3


def test_without_an_anchor_of_the_same_condition_there_is_no_difference():
    records = [make_record("scratch", 0), make_record("kd", 0, label_fraction=0.1), make_record("crd", 1)]
    found = {row.baseline: row.differences for row in students(table_of(records))}
    assert not found["scratch"]
    assert not found["kd"]
    # One run each: a difference, and not a word on its error.
    assert found["crd"]["top1"].n == 1
    assert math.isnan(found["crd"]["top1"].se)


def test_overrides_of_own_hyperparameters_keep_the_anchor_and_recipe_overrides_do_not():
    tuned = make_record("kd", 0, overrides={"weight": 0.3}, hyperparameters={"weight": 0.3})
    longer = make_record("crd", 0, overrides={"recipe.milestones": [0.5, 0.75]})
    rows = {row.baseline: row for row in students(table_of([make_record("scratch", 0), tuned, longer]))}
    assert rows["kd"].differences["top1"].n == 1
    assert not rows["crd"].differences


def test_a_control_with_a_teacher_of_its_own_is_compared_with_the_anchor_and_leaves_the_teacher_row_alone():
    control = make_record("shuffled_teacher", 0, teacher_epochs=None)
    control = altered(control, teacher={"id": "another", "test": {"top1": 0.1}})
    table = table_of([make_record("scratch", 0), control])
    teacher = only_row(table, row="teacher")
    assert teacher["finished"] == 1
    assert teacher["test@last/top1/mean"] == pytest.approx(70.5)
    assert only_row(table, baseline="shuffled_teacher")["difference/top1/n"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"label_fraction": 0.5},
        {"epochs": 99},
        {"train_samples": 100},
        {"overrides": {"x": 1}},
        {"hyperparameters": {"weight": 0.1}},
    ],
)
def test_runs_that_differ_in_more_than_the_seed_never_share_a_row(change):
    records = [make_record("kd", 0), make_record("kd", 1), make_record("kd", 2, **change)]
    table = table_of(records)
    assert sorted(len(row.records) for row in students(table)) == [1, 2]
    texts = [tuple(cells(table, row).items()) for row in students(table)]
    name, value = next(iter(change.items()))
    assert any(
        name.replace("_", " ") in dict(text) or f"weight={0.1}" in dict(text).values() for text in texts
    )
    text = to_text(table)
    assert str(value) in text or any(f"{key}={each}" in text for key, each in dict(value).items())


def test_two_records_of_one_seed_are_never_averaged():
    records = [make_record("kd", 0, provenance={"commit": commit}) for commit in ("aaa", "bbb", "ccc")]
    rows = students(table_of(records))
    assert [len(row.records) for row in rows] == [1, 1, 1]
    assert len({row.variant for row in rows}) == 3


def test_teachers_that_differ_in_their_seed_are_counted():
    records = [make_record("kd", seed, teacher_seed=seed % 2) for seed in range(4)]
    for record in records:
        record.teacher.test["top1"] = 0.7 + 0.1 * (record.run.seed % 2)
    row = only_row(table_of(records), row="teacher")
    assert row["finished"] == 2
    assert row["test@last/top1/mean"] == pytest.approx(75)
    assert row["test@last/top1/sd"] == pytest.approx(statistics.stdev([70, 80]))


def test_rows_start_with_the_teacher_and_the_anchor_and_follow_their_order():
    for blocks in task_blocks(all_records()[::-1]).values():
        for block in blocks:
            assert not block.rows[0].is_student
            assert block.rows[1].is_anchor
            first = [
                row
                for row in block.rows[1:]
                if row.comparison_condition == block.rows[1].comparison_condition
            ]
            assert [row.about.order for row in first] == sorted(row.about.order for row in first)


def test_failures_are_shown_with_their_reasons_in_every_form():
    table = table_of(all_records())
    for text in (to_text(table), to_markdown(table), to_latex(table)):
        assert "diverged (1 of 3)" in text
        assert "not applicable" in text
        assert "the loss is nan at epoch 3" in text
        assert "stages differ in channels" in text
    row = only_row(table, baseline="fitnet", pair="resnet20-resnet8")
    assert (row["finished"], row["diverged"], row["test@last/top1/n"]) == (2, 1, 2)
    assert row["reasons"] == "the loss is nan at epoch 3"


def test_a_task_where_nothing_finished_still_has_its_table():
    table = table_of([make_record("kd", seed, "diverged", reason="nan") for seed in range(2)])
    assert "diverged (2 of 2) [1]" in to_text(table)


def test_n_is_printed_for_rows_and_differences():
    table = table_of(all_records())
    row = next(row for row in students(table) if row.title == "FitNet" and row.count("diverged"))
    shown = cells(table, row)
    assert shown["n"] == "2"
    assert re.fullmatch(r"[+-]\d+\.\d", shown["difference to Scratch (points)"])
    assert shown["verdict"] == ""


def test_synthetic_data_and_numbers_of_test_samples_are_labelled():
    text = to_text(table_of(all_records()))
    assert "Shapes (synthetic), resnet20-resnet8; 1,000 test samples" in text
    assert "CIFAR-100, resnet20-resnet8; 10,000 test samples" in text
    assert "CIFAR-100 (synthetic)" not in text


def test_the_caption_tells_of_mixed_commits_dirty_trees_and_devices_only_where_there_are_some():
    assert not re.search("commit|uncommitted|devices", " ".join(table_of([make_record()]).caption))
    other = {"commit": "fedcba9876", "clean": False, "device": "cuda"}
    mixed = [make_record(seed=0), make_record(seed=1, provenance=other)]
    caption = " ".join(table_of(mixed).caption)
    assert "mix 2 commits" in caption
    assert "fedcba98" in caption
    assert "1 of 2 records come from a tree with uncommitted changes" in caption
    assert "devices: cpu, cuda" in caption


def test_a_task_whose_datasets_differ_in_their_metrics_shows_each_by_its_own():
    def of(name, seed, metrics, **values):
        record = altered(make_record(name, seed, dataset="rooms"), metrics=metrics)
        known = record.results
        return altered(record, results=replace(known, scores={"test@last": {**known.scores[LAST], **values}}))

    rooms = {
        "miou": Metric("Mean IoU", "mIoU", "max", "", 1, primary=True),
        "top1": Metric("Pixel accuracy", "pixels", "max", "", 1),
    }
    records = [make_record(name, seed) for name in ("scratch", "kd") for seed in range(3)]
    records += [of(name, seed, rooms, miou=0.3, top1=0.5) for name in ("scratch", "kd") for seed in range(3)]
    assert list(merge_metrics(records)) == ["top1", "top5", "agreement", "kl_to_teacher", "miou"]
    table = table_of(records)
    titles = [column.title for column in table.columns]
    assert titles[1].startswith("top-1 ↑")  # in percent on one dataset alone
    assert "mIoU ↑ last epoch" in titles
    assert "difference to Scratch, mIoU" in titles
    shown = {
        (block.dataset, row.baseline): {column.title: column.cell(row) for column in table.columns}
        for block in table.blocks
        for row in block.rows
    }
    assert shown["rooms", "kd"]["top-1 ↑ last epoch"].startswith("0.500")
    assert shown["rooms", "kd"]["mIoU ↑ last epoch"].startswith("0.300")
    assert shown["shapes", "kd"]["mIoU ↑ last epoch"] == ""
    assert shown["rooms", "kd"]["difference to Scratch, top-1"] == ""
    assert re.match(r"[+-]0\.000", shown["rooms", "kd"]["difference to Scratch, mIoU"])
    assert re.match(r"\d\d\.\d ", shown["shapes", "kd"]["top-1 ↑ last epoch"])


def test_without_validation_there_is_no_column_for_the_best_validation_epoch():
    table = table_of([make_record("scratch", validation=0.0)])
    assert not any("best valid" in column.header for column in table.columns)


@pytest.mark.parametrize("width", [80, 120, 160, 240])
@pytest.mark.parametrize("task", ["compression", "cross_modal"])
def test_no_line_of_the_terminal_table_is_wider_than_the_terminal(width, task):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(table_of(all_records(), task), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    # What no width may cost: the result with its spread, n and status.
    assert " ± " in text
    assert "last epoch" in text
    if width >= 120:
        assert re.search(r"[+-]\d+\.\d \[[+-]\d", text)


def test_markdown_tables_have_equal_numbers_of_cells_in_each_line():
    grids = [block for block in to_markdown(table_of(all_records())).split("\n\n") if block.startswith("|")]
    assert len(grids) == 3
    for grid in grids:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in grid.splitlines()}
        assert len(counts) == 1


def test_csv_has_mean_deviation_and_n_as_numbers():
    lines = list(csv.DictReader(io.StringIO(table_of(all_records()).frame.to_csv(index=False))))
    for line in lines:
        for part in ("mean", "sd", "n"):
            value = line[f"test@last/top1/{part}"]
            assert value == "" or float(value) >= 0


@pytest.mark.parametrize(("seeds", "said"), [(2, False), (3, True)])
def test_the_numbers_have_no_interval_and_no_verdict_where_the_printed_table_has_none(seeds, said):
    frame = table_of([make_record(name, seed) for name in ("scratch", "kd") for seed in range(seeds)]).frame
    kd = frame.set_index("baseline").loc["kd"]
    assert kd["test@last/top1/n"] == seeds
    assert pd.notna(kd[["test@last/top1/low", "test@last/top1/high", "difference/top1/low"]]).all() == said
    assert bool(kd["difference/top1/verdict"]) == said


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_narrow_terminal_keeps_score_and_difference_and_tells_rows_apart(width):
    records = all_records()
    records += [make_record("kd", seed, hyperparameters={"weight": 0.1}) for seed in range(3)]
    records += [make_record("kd", seed, overrides={"temperature": 2.0}) for seed in range(3)]
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(table_of(records), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "last epoch" in text
    assert re.search(r"[+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\]", text)
    assert re.search(r"\d+\.\d ± \d+\.\d", text)
    flat = "".join(text.split())
    for words in ("temperature=2.0", "weight=0.1", "weight=0.8", "diverged", "[1] the loss", "validation"):
        assert words.replace(" ", "") in flat


def test_few_validation_labels_choose_no_best_epoch():
    few = [altered(make_record("kd", seed), about={"num_validation": 199}) for seed in range(3)]
    many = [altered(make_record("kd", seed), about={"num_validation": 200}) for seed in range(3)]
    assert not any("best valid" in column.header for column in table_of(few).columns)
    assert any("best valid" in column.header for column in table_of(many).columns)


def test_a_teacher_that_hands_hidden_labels_over_is_said():
    changes = {"label_fraction": 0.1, "teacher_data": "shared"}
    record = altered(make_record("kd", 0, **changes), teacher={"train": {"top1": 0.987}})
    assert "scores 98.7 on them: it hands those labels over" in " ".join(table_of([record]).caption)
    apart = altered(
        make_record("kd", 0, **changes | {"teacher_data": "disjoint"}), teacher=vars(record.teacher)
    )
    assert "hands those labels" not in " ".join(table_of([apart]).caption)
