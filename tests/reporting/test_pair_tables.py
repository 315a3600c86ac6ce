"""The papers' layout: baselines down, pairs across, published figures where the recipe is the same."""

import io
import math
import statistics

import pytest
from rich.console import Console

from benchmark.reporting.published import REPORTED, published
from benchmark.reporting.results import Results
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.pair_tables import pair_tables, wide_frame
from benchmark.reporting.tables.render import print_table, to_markdown, to_text
from benchmark.reporting.tables.task_tables import task_tables
from tests.reporting.fake_records import all_records, altered, make_record

PAPER = {"dataset": "cifar100", "epochs": 240, "teacher_epochs": 240, "validation": 0.0}
PAIRS = ("resnet32x4-resnet8x4", "vgg13-vgg8")


def paper_records(**changes):
    return [
        make_record(name, seed, pair=pair, **PAPER | changes)
        for name in ("scratch", "kd", "crd")
        for seed in range(3)
        for pair in PAIRS
    ]


def cells(table):
    """title -> header -> cell."""
    rows = [row for block in table.blocks for row in block.rows]
    return {
        row.title: {column.header.replace("-\n", "-"): column.cell(row) for column in table.columns}
        for row in rows
    }


def of_dataset(records, dataset):
    (table,) = [table for table in pair_tables(Results.of(records)) if f"_{dataset}_" in table.stem]
    return table


def test_each_cell_is_the_mean_and_deviation_of_its_raw_records():
    table = of_dataset(all_records(), "shapes")
    shown = cells(table)
    for pair in ("resnet20-resnet8", "resnet32x4-resnet8x4"):
        for title, name in (
            ("Scratch", "scratch"),
            ("CRD + KD", "crd+kd"),
            ("Label smoothing", "label_smoothing"),
        ):
            raw = [
                100 * r.results.scores["test@last"]["top1"]
                for r in all_records()
                if (r.run.dataset, r.run.pair, r.run.baseline) == ("shapes", pair, name)
            ]
            mean, sd = statistics.mean(raw), statistics.stdev(raw)
            assert shown[title][pair].startswith(f"{mean:.1f} ± {sd:.1f}")
            line = table.frame.set_index("title").loc[title]
            assert (line[f"{pair}/mean"], line[f"{pair}/sd"], line[f"{pair}/n"]) == pytest.approx(
                (mean, sd, 3)
            )


def test_teacher_and_anchor_stand_on_top():
    rows = of_dataset(all_records(), "shapes").blocks[0].rows
    assert [row.title for row in rows[:2]] == ["teacher", "Scratch"]
    assert len({row.title for row in rows}) == len(rows)


def test_what_failed_stands_in_its_cell_with_its_reason_below():
    table = of_dataset(all_records(), "shapes")
    shown = cells(table)
    assert shown["FSP"]["resnet20-resnet8"] == "not applicable [2]"
    assert shown["FitNet"]["resnet20-resnet8"].endswith("diverged (1 of 3) [1]")
    assert "diverged" not in shown["FitNet"]["resnet32x4-resnet8x4"]
    assert table.notes == ["the loss is nan at epoch 3", "stages differ in channels: 16 & 32_64"]


def test_synthetic_data_is_marked():
    assert "Shapes (synthetic)" in to_text(of_dataset(all_records(), "shapes"))
    assert "(synthetic)" not in to_text(of_dataset(all_records(), "cifar100"))


def test_conditions_are_lines_of_their_own():
    table = of_dataset(all_records(), "scenes")
    anchors = [row for row in table.blocks[0].rows if row.title == "Scratch"]
    fractions = [row.comparison_condition["label_fraction"] for row in anchors]
    assert fractions == [0.1, 1.0]
    assert [c.header for c in table.columns][1] == "label fraction"


@pytest.fixture
def two_folds():
    """Each with a teacher of its own."""
    return [
        altered(
            make_record(name, seed, fold=fold),
            teacher={"id": fold, "checksum": fold, "test": {"top1": score}},
        )
        for fold, score in (("a", 0.65), ("b", 0.725))
        for name in ("scratch", "kd")
        for seed in range(2)
    ]


def test_teachers_of_two_folds_say_their_fold(two_folds):
    (table,) = pair_tables(Results.of(two_folds))
    teachers = [row for row in table.blocks[0].rows if row.kind == "teacher"]
    shown = [[column.cell(row) for column in table.columns] for row in teachers]
    assert shown == [["teacher", "a", "65.0"], ["teacher", "b", "72.5"]]


def test_a_terminal_too_narrow_for_the_column_has_the_fold_behind_the_teacher(two_folds):
    console = Console(file=io.StringIO(), width=56, color_system=None)
    print_table(task_tables(Results.of(two_folds))[0], console)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("teacher (")]
    assert [line.partition(")")[0] for line in lines] == [
        "teacher (resnet20; a",
        "teacher (resnet20; b",
    ]


def test_published_figures_stand_beside_ours_with_their_source():
    table = of_dataset(paper_records(), "cifar100")
    text = to_text(table)
    for printed in ("79.42 [1]", "72.50 [1]", "73.33 [1]", "75.51 [1]", "70.36 [1]"):
        assert printed in text
    assert "[1] published in: RepDistiller README, commit b84f547" in text
    line = table.frame.set_index("title").loc["CRD"]
    assert (line[f"{PAIRS[0]}/published"], line[f"{PAIRS[1]}/published"]) == (75.51, 73.94)
    assert math.isnan(table.frame.set_index("title").loc["teacher"][f"{PAIRS[0]}/sd"])


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 60},
        {"validation": 0.1},
        {"batch_size": 128},
        {"train_samples": 5000},
        {"label_fraction": 0.1},
        {"overrides": {"temperature": 2}},
        {"teacher_epochs": 10},
    ],
    ids=str,
)
def test_they_do_not_stand_beside_another_recipe(other):
    table = of_dataset(paper_records(**other), "cifar100")
    assert "published" not in [column.header for column in table.columns]


def test_a_teacher_from_a_checkpoint_must_be_the_published_one(tmp_path):
    """Whatever its file is called: 79.42 once stood beside another checkpoint's students."""
    records = paper_records(teacher_epochs=60, teacher_checkpoint="resnet32x4.pth")
    assert "79.42" not in to_text(of_dataset(records, "cifar100"))
    first = next(record for record in records if record.run.pair == PAIRS[0])
    for name in ("cifar100.csv", "recipes.yaml"):
        text = (REPORTED / name).read_text()
        (tmp_path / name).write_text(text.replace("[]", f"['{first.teacher.checksum}']"))
    assert published(first, "teacher", "top1", tmp_path).value == 79.42
    assert published(altered(first, teacher={"checksum": "another"}), "teacher", "top1", tmp_path) is None


def test_another_precision_or_tuned_hyper_parameters_have_no_published_figure():
    for change in ({"precision": "bf16"}, {"tuning": "tuned"}):
        assert "79.42" not in to_text(of_dataset(paper_records(**change), "cifar100"))


def test_every_published_figure_belongs_to_a_recipe_that_is_described():
    figures = (REPORTED / "cifar100.csv").read_text().splitlines()[1:]
    for line in figures:
        dataset, pair, baseline, metric, value = line.split(",")[:5]
        record = make_record("kd", **PAPER | {"dataset": dataset, "pair": pair})
        assert published(record, baseline, metric).value == float(value)


def test_the_wide_frame_has_every_table(tmp_path):
    frame = wide_frame(all_records())
    assert set(frame.table) == {
        "compression_shapes_pairs",
        "compression_cifar100_pairs",
        "cross_modal_scenes_pairs",
    }
    assert len(frame) == sum(len(table.frame) for table in pair_tables(Results.of(all_records())))


def test_markdown_and_latex_have_a_cell_for_each_column():
    table = of_dataset(paper_records(), "cifar100")
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(table.columns) + 1}
    body = [
        line for line in to_latex(table).splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert {line.replace(r"\\ ", "").count(" & ") for line in body} == {len(table.columns) - 1}
