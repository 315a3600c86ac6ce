"""Aggregates over tasks: against slow arithmetic on raw records; who takes part, what is said of others."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.records import Metric
from benchmark.reporting.across_tasks import across_tasks
from benchmark.reporting.figures.performance_profiles import drawings
from benchmark.reporting.page import write_page
from benchmark.reporting.results import Results
from benchmark.reporting.tables.across_table import across_tables
from benchmark.reporting.tables.latex import to_latex
from benchmark.reporting.tables.render import to_markdown, to_text
from tests.reporting.fake_records import altered, make_record

TEACHER, CHANCE = 0.705, 0.1
NAMES = ("scratch", "kd", "crd")
LOST = (("kd", 0), ("kd", 1))
SHAPES = {"dataset": "shapes"}
SCENES = {"task": "cross_modal", "dataset": "scenes"}


def record(baseline, seed, status="finished", **changes):
    """With a known level of chance."""
    made = make_record(baseline, seed, status, **changes)
    return altered(
        made, metrics={**made.metrics, "top1": dataclasses.replace(made.metrics["top1"], chance=CHANCE)}
    )


def block(names=NAMES, seeds=5, **changes):
    return [record(name, seed, **changes) for name in names for seed in range(seeds)]


def scores(records, baseline, **keys):
    """Normalised, one a run; 0 where it diverged."""
    own = [
        r
        for r in records
        if r.run.baseline == baseline and all(getattr(r.run, k) == v for k, v in keys.items())
    ]
    values = [r.results.score("test@last", "top1") for r in own]
    return [0.0 if value is None else (value - CHANCE) / (TEACHER - CHANCE) for value in values]


def table_of(records):
    (table,) = across_tables(Results.of(records))
    return table


def line_of(table, baseline, tuning="default"):
    frame = table.frame
    found = frame[(frame["baseline"] == baseline) & (frame["tuning"] == tuning)]
    assert len(found) == 1, frame
    return found.iloc[0]


def test_a_dataset_counts_once_however_many_label_fractions_it_has():
    few = [r for fraction in (0.1, 0.2, 0.5) for r in block(**SCENES, label_fraction=fraction)]
    records = [*block(**SHAPES), *few]
    line = line_of(table_of(records), "kd")
    pooled = 3 * scores(records, "kd", dataset="shapes") + scores(records, "kd", dataset="scenes")
    assert line["iqm"] == pytest.approx(stats.trim_mean(pooled + pooled, 0.25))
    assert (line["blocks"], line["datasets"], line["runs"]) == (4, 2, 20)
    assert line["iqm_low"] < line["iqm"] < line["iqm_high"]


def test_the_probability_of_improvement_is_over_the_anchor_of_the_same_block():
    records = [*block(**SHAPES), *block(**SCENES)]
    line = line_of(table_of(records), "kd")
    slow = []
    for name in ("shapes", "scenes"):
        ours, anchor = (np.array(scores(records, each, dataset=name)) for each in ("kd", "scratch"))
        slow.append(np.mean(ours[:, None] > anchor[None]))
    assert line["improvement"] == pytest.approx(np.mean(slow))
    assert pd.isna(line_of(table_of(records), "scratch")["improvement"])


def test_a_run_that_diverged_counts_as_chance():
    sound = [*block(**SHAPES), *block(**SCENES)]
    lost = [altered(r, status="diverged") if (r.run.baseline, r.run.seed) in LOST else r for r in sound]
    table = table_of(lost)
    across = across_tasks(Results.of(lost))[0]
    row = next(row for row in across.rows if row.baseline == "kd")
    assert sorted(across.runs(row)[0]) == pytest.approx(
        sorted([0.0, 0.0, *scores(sound, "kd", dataset="shapes")[2:]])
    )
    assert (line_of(table, "kd")["runs"], line_of(table, "kd")["lost"]) == (10, 4)
    assert line_of(table, "kd")["iqm"] < line_of(table_of(sound), "kd")["iqm"]


def test_a_run_without_a_score_counts_as_chance():
    records = [*block(**SHAPES), *block(**SCENES)]
    for each in records:
        if (each.run.task, each.run.baseline, each.run.seed) == ("compression", "kd", 0):
            each.results.scores["test@last"]["top1"] = None
    (found,) = across_tasks(Results.of(records))
    kd = next(row for row in found.rows if row.baseline == "kd")
    assert [sorted(runs)[0] == 0.0 for runs in found.runs(kd)] == [True, False]
    line = line_of(table_of(records), "kd")
    assert (line["runs"], line["lost"]) == (10, 1)


def test_who_misses_a_block_is_left_out_and_named_with_it():
    records = [*block((*NAMES, "fitnet"), **SHAPES), *block(**SCENES)]
    records += [record("fitnet", 0, "not_applicable", reason="no", **SCENES)]
    table = table_of(records)
    assert list(table.frame["baseline"]) == ["scratch", "kd", "crd"]
    assert any(
        "missing in Cross-modal, scenes (synthetic), resnet20-resnet8: FitNet." in s for s in table.caption
    )


def test_tuned_rows_are_a_set_of_their_own():
    records = [*block(**SHAPES), *block(**SCENES)]
    tuned = [r for place in (SHAPES, SCENES) for r in block(("scratch", "kd"), tuning="tuned", **place)]
    table = table_of([*records, *tuned])
    assert [each.heading for each in table.blocks] == [
        "Default hyper-parameters; 2 blocks of 2 datasets (2 synthetic)",
        "Tuned hyper-parameters; 2 blocks of 2 datasets (2 synthetic)",
    ]
    assert line_of(table, "kd")["iqm"] == line_of(table_of(records), "kd")["iqm"]
    assert line_of(table, "kd", "tuned")["iqm"] == pytest.approx(
        stats.trim_mean(2 * scores(tuned, "kd"), 0.25), abs=1e-9
    )


def test_a_baseline_with_a_first_stage_stands_beside_the_others_and_meets_its_own_anchor():
    records = []
    for place in (SHAPES, SCENES):
        records += block(epochs=12, updates=120, **place)
        records += block(("fitnet",), epochs=12, updates=140, **place)
        longer = block(("scratch",), epochs=14, updates=140, **place)
        records += [altered(r, results={"scores": {"test@last": {"top1": 0.2}}}) for r in longer]
    table = table_of(records)
    assert set(table.frame["baseline"]) == {*NAMES, "fitnet"}
    assert set(table.frame["blocks"]) == {2}
    assert line_of(table, "fitnet")["improvement"] == 1.0
    plain = [r for r in records if r.condition.updates == 120]
    assert line_of(table, "kd")["improvement"] == line_of(table_of(plain), "kd")["improvement"]


def errors(chance, **changes):
    """A metric of which less is better: half of it is left by the teacher, three quarters by students."""
    metrics = {"error": Metric("Error", "error", "min", chance=chance, primary=True)}
    values = {"scratch": 0.75, "kd": 0.7, "crd": 0.65}
    return [
        altered(r, metrics=metrics, teacher={"test": {"error": 0.5}},
                results={"scores": {"test@last": {"error": values[r.run.baseline]}}})
        for r in block(**changes)
    ]  # fmt: skip


def test_lower_scores_are_better_where_the_metric_says_so():
    records = [r for place in (SHAPES, SCENES) for r in errors(1.0, **place)]
    table = table_of(records)
    found = [line_of(table, name)["iqm"] for name in NAMES]
    assert found == pytest.approx([0.5, 0.6, 0.7])
    assert line_of(table, "kd")["improvement"] == 1.0


def test_without_a_known_level_of_chance_zero_stands_for_it_or_the_block_is_left_out():
    unknown = [make_record(name, seed, dataset="cifar100") for name in NAMES for seed in range(3)]
    table = table_of([*block(**SHAPES), *unknown, *errors(None, **SCENES)])
    assert table.frame["blocks"].tolist() == [2, 2, 2]
    words = " ".join(table.caption)
    assert "not known in Compression, CIFAR-100, resnet20-resnet8: 0 stands for it" in words
    assert "left out: Cross-modal, scenes (synthetic), resnet20-resnet8 (lower is better" in words
    rows = across_tasks(Results.of([*block(**SHAPES), *unknown]))[0]
    value = unknown[3].results.score("test@last", "top1")
    runs = rows.runs(next(row for row in rows.rows if row.baseline == "kd"))
    assert runs[0][0] == pytest.approx(value / TEACHER)


@pytest.mark.parametrize("chance", [CHANCE, 0.5])
def test_a_teacher_no_better_than_chance_is_no_scale(chance):
    """Neither of a metric that should be large nor of one that should be small."""
    sound = [*block(**SHAPES), *block(dataset="cifar100")]
    if chance == CHANCE:
        level = [altered(r, teacher={"test": {"top1": CHANCE}}) for r in block(**SCENES)]
    else:
        level = errors(0.5, **SCENES)
    table = table_of([*sound, *level])
    assert table.frame["blocks"].tolist() == [2, 2, 2]
    (words,) = [line for line in table.caption if "left out" in line]
    assert "scenes (synthetic), resnet20-resnet8 (its teacher is no better than chance)" in words
    assert line_of(table, "kd")["iqm"] == line_of(table_of(sound), "kd")["iqm"]


def test_one_block_makes_no_aggregate_and_four_seeds_no_interval():
    assert across_tables(Results.of(block(**SHAPES))) == []
    assert list(drawings(Results.of(block(**SHAPES)))) == []
    line = line_of(table_of([*block(seeds=4, **SHAPES), *block(**SCENES)]), "kd")
    assert not np.isnan(line["iqm"])
    assert pd.isna([line["iqm_low"], line["improvement_high"]]).all()


def over_teachers(splits=(0,)):
    """A block of five teachers, the first with nine runs of each baseline, the others with one."""
    return [
        altered(
            record(name, seed, teacher_seed=teacher, split_seed=split, **SCENES),
            teacher={"id": f"t{teacher}"},
        )
        for name in NAMES
        for teacher in range(5)
        for split in splits
        for seed in range(1 if teacher else 9)
    ]


def test_a_teacher_with_more_runs_weighs_no_more_than_others():
    records = over_teachers()
    for each in records:
        if each.run.baseline == "kd":
            each.results.scores["test@last"]["top1"] = 0.3 + 0.1 * each.condition.teacher_seed
    diverged = record("kd", 9, "diverged", teacher_seed=4, **SCENES)
    records.append(altered(diverged, teacher={"id": "t4"}))
    (found,) = across_tasks(Results.of([*records, *block(**SHAPES)]))
    kd = next(row for row in found.rows if row.baseline == "kd")
    scene = next(
        runs for each, runs in zip(found.blocks, found.runs(kd), strict=True) if "scenes" in each.heading
    )
    expected = [(0.3 + 0.1 * teacher - CHANCE) / (TEACHER - CHANCE) for teacher in range(5)]
    assert sorted(scene) == pytest.approx(sorted([*expected[:4], expected[4] / 2]))
    table = table_of([*records, *block(**SHAPES)])
    assert not np.isnan(line_of(table, "kd")["iqm_low"])
    assert any("the mean on each of these stands for a run" in sentence for sentence in table.caption)


def test_teachers_crossed_with_splits_are_not_drawn():
    records = [*over_teachers(splits=(0, 1, 2)), *block(**SHAPES)]
    line = line_of(table_of(records), "kd")
    assert not np.isnan(line["iqm"])
    assert pd.isna([line["iqm_low"], line["improvement_low"]]).all()
    (drawing,) = drawings(Results.of(records))
    assert not drawing.draw().axes[0].collections


def test_every_form_of_the_table_and_the_page_show_it(tmp_path):
    results = Results.of([*block((*NAMES, "label_smoothing"), **SHAPES),
                          *block((*NAMES, "label_smoothing"), **SCENES)])  # fmt: skip
    (table,) = across_tables(results)
    line = line_of(table, "label_smoothing")
    cell = f"{line['iqm']:.2f} [{line['iqm_low']:.2f}, {line['iqm_high']:.2f}]"
    for text in (to_text(table), to_markdown(table).replace("\\", ""), to_latex(table).replace("{~[", " [")):
        assert cell in text
        assert "control" in text
        assert "hold over seeds, the tasks" in " ".join(text.split())
    page = write_page(results, [table], [], tmp_path / "report.html").read_text()
    assert cell in page
    assert 'href="tables/across_tasks.csv"' in page


def test_profiles_are_the_shares_of_runs_above_each_threshold():
    records = [*block(**SHAPES), *block(**SCENES, label_fraction=0.1), *block(**SCENES, label_fraction=0.5)]
    (drawing,) = drawings(Results.of(records))
    (axes,) = drawing.draw().axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
    for name, line in zip(NAMES, lines, strict=True):
        weighted = [
            (np.array(scores(records, name, dataset=dataset))[:, None] > line.get_xdata()).mean(0)
            for dataset in ("shapes", "scenes")
        ]
        assert line.get_ydata() == pytest.approx(np.mean(weighted, axis=0))
    assert len(axes.collections) == len(NAMES)
    assert "hold over seeds" in drawing.caption
    assert "synthetic" in axes.get_title(loc="left")
