"""Comparisons between baselines: against slow arithmetic on the raw records."""

import math
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.errors import UserError
from benchmark.reporting import compare, load_records
from benchmark.reporting.comparisons import against_anchor, standings
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.panels import task_panels
from benchmark.reporting.results import Results
from benchmark.reporting.statistics.inference import differences_to
from benchmark.reporting.tables.task_tables import row_groups
from tests.reporting.fake_records import BASELINES, altered, make_record, write_run

NAMES = ("scratch", "kd", "crd", "label_smoothing")


def accuracies(records, baseline):
    own = [record for record in records if record.run.baseline == baseline]
    return np.array([100 * record.results.scores["test@last"]["top1"] for record in own])


def predictions_of(record, count=400):
    """Predictions whose accuracy becomes the record's, so that the record is written after them."""
    draw = np.random.default_rng(int(record.id[:8], 16))
    right = draw.random(count) < record.results.scores["test@last"]["top1"]
    record.results.scores["test@last"]["top1"] = float(right.mean())
    label = np.arange(count) % 10
    prediction = np.where(right, label, (label + 1) % 10)
    return {"test_prediction": prediction.astype(np.int16), "test_label": label.astype(np.int16)}


@pytest.fixture
def records():
    return [make_record(name, seed) for name in NAMES for seed in range(5)]


@pytest.fixture
def folder(tmp_path, records):
    for record in records:
        arrays = predictions_of(record)
        np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays)
    return tmp_path


def test_each_number_is_that_of_the_raw_records(folder, records):
    frame = compare(folder).set_index("baseline")
    scratch = accuracies(records, "scratch")
    paired = {name: stats.ttest_rel(accuracies(records, name), scratch) for name in NAMES[1:]}
    adjusted = multipletests([paired[name].pvalue for name in NAMES[1:]], method="holm")[1]
    samples = {name: accuracies(records, name) for name in NAMES}
    pooled = differences_to(samples, "scratch", ("kd", "crd"))
    assert sorted(frame.index) == sorted(NAMES[1:])
    for name, p_holm in zip(NAMES[1:], adjusted, strict=True):
        line, differences = frame.loc[name], accuracies(records, name) - scratch
        assert (line.against, line.metric, line.n, line.paired_n) == ("scratch", "top1", 5, 5)
        assert line.difference == pytest.approx(differences.mean())
        assert line.paired_sd == pytest.approx(differences.std(ddof=1))
        assert (line.paired_p, line.paired_p_holm) == pytest.approx((paired[name].pvalue, p_holm))
        interval = paired[name].confidence_interval(0.95)
        assert (line.paired_low, line.paired_high) == pytest.approx(tuple(interval))
        assert line.normalised == pytest.approx(differences.mean() / (70.5 - scratch.mean()))
        for part in ("low", "high", "p", "p_adjusted", "smallest_visible", "equivalent_within"):
            assert line[part] == pytest.approx(getattr(pooled[name], part), nan_ok=True), (name, part)
        assert line.verdict == pooled[name].verdict


def test_without_anything_to_compare_the_columns_are_there_and_without_an_anchor_it_is_said(records):
    columns = compare(records).columns.tolist()
    scratch = [record for record in records if record.run.baseline == "scratch"]
    assert compare(scratch).columns.tolist() == columns
    others = [record for record in records if record.run.baseline in ("kd", "crd")]
    with pytest.raises(UserError, match=r"the list holds no row of the anchor.*give against="):
        compare(others)
    assert compare(others, against="kd").columns.tolist() == columns


def test_controls_are_outside_of_the_family(folder):
    frame = compare(folder).set_index("baseline")
    assert math.isnan(frame.loc["label_smoothing"].p_adjusted)
    assert frame.loc[["kd", "crd"]].p_adjusted.notna().all()
    assert (frame.loc[["kd", "crd"]].p_adjusted >= frame.loc[["kd", "crd"]].p).all()


def test_the_bootstrap_reads_the_saved_predictions(folder, records):
    line = compare(folder).set_index("baseline").loc["kd"]
    assert line.bootstrap_low < line.difference < line.bootstrap_high
    assert line.bootstrap_high - line.bootstrap_low > 1  # 400 samples: a standard error of two points or so
    assert compare(folder, bootstrap=False).bootstrap_low.isna().all()


def test_predictions_that_are_not_what_the_metric_counts_give_no_bootstrap(folder):
    assert compare(folder, metric="agreement").bootstrap_low.isna().all()


def test_of_two_primary_metrics_only_the_one_that_counts_predictions_has_a_bootstrap(tmp_path, records):
    for record in records:
        record.metrics["top5"] = altered(record.metrics["top5"], primary=True)
        arrays = predictions_of(record)
        np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays)
    frame = compare(tmp_path).set_index("metric")
    assert frame.loc["top1"].bootstrap_low.notna().all()
    assert frame.loc["top5"].bootstrap_low.isna().all()


def test_a_broken_arrays_file_costs_its_seed_and_is_named(tmp_path):
    for record in [make_record(name, seed) for name in NAMES for seed in range(6)]:
        arrays = predictions_of(record)
        np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays)
    broken = next((tmp_path / "runs").glob("*-kd-seed0-*"))
    (broken / "arrays.npz").write_bytes(b"PK\x03\x04 rubbish")
    results = Results.read(tmp_path)
    frame = compare(results).set_index("baseline")
    assert [broken.name in problem for problem in results.problems] == [True]
    assert math.isfinite(frame.loc["kd"].bootstrap_low)
    assert frame.loc["kd"].n == 6


def test_below_five_seeds_a_bootstrap_is_not_shown(tmp_path):
    for record in [make_record(name, seed) for name in NAMES for seed in range(4)]:
        arrays = predictions_of(record)
        np.savez(write_run(tmp_path, record) / "arrays.npz", **arrays)
    assert compare(tmp_path).bootstrap_low.isna().all()


def test_groups_of_test_samples_are_drawn_whole(tmp_path):
    """Forty subjects that are right or wrong as a whole: the interval is wider than that of samples."""
    widths = {}
    for kind in ("samples", "groups"):
        for record in [make_record(name, seed) for name in ("scratch", "kd") for seed in range(5)]:
            label, group = np.zeros(400, np.int16), np.arange(400) // 10
            wrong = group < (20 if record.run.baseline == "scratch" else 8)
            record.results.scores["test@last"]["top1"] = float((~wrong).mean())
            arrays = {"test_prediction": wrong.astype(np.int16), "test_label": label}
            arrays |= {"test_group": group} if kind == "groups" else {}
            np.savez(write_run(tmp_path / kind, record) / "arrays.npz", **arrays)
        line = compare(tmp_path / kind).iloc[0]
        widths[kind] = line.bootstrap_high - line.bootstrap_low
    assert widths["groups"] > 2 * widths["samples"]


@pytest.mark.parametrize("differing", ["test_label", "test_group"])
def test_runs_of_other_test_samples_have_no_bootstrap(tmp_path, differing):
    """A data set that cuts its test part by split seed: sample n of one split is not that of another."""
    for place, apart in (("same", 0), ("other", 1)):
        for split, name in product(range(5), ("scratch", "kd")):
            record = make_record(name, 0, split_seed=split)
            arrays = predictions_of(record) | {"test_group": np.arange(400) // 10}
            if differing == "test_label":
                moved = {key: (arrays[key] + apart * split) % 10 for key in ("test_label", "test_prediction")}
            else:
                moved = {"test_group": np.roll(arrays["test_group"], 5 * apart * split)}
            np.savez(write_run(tmp_path / place, record) / "arrays.npz", **arrays | moved)
    (same,), (other,) = (compare(tmp_path / place).itertuples() for place in ("same", "other"))
    assert same.bootstrap_low < same.difference < same.bootstrap_high
    assert pd.isna(other.bootstrap_low)
    assert other.n == 5


def test_each_fold_draws_its_own_groups_of_test_samples(tmp_path):
    """Four subjects in one fold, samples that stand alone in the other: what one draws is not the other's."""
    for fold, size in (("few", 100), ("alone", 1)):
        for record in [make_record(name, seed, fold=fold) for name in ("scratch", "kd") for seed in range(5)]:
            label, share = np.zeros(400, np.int16), 0.5 if record.run.baseline == "scratch" else 0.25
            wrong = np.arange(400) < 400 * share
            record.results.scores["test@last"]["top1"] = float((~wrong).mean())
            arrays = {"test_prediction": wrong.astype(np.int16), "test_label": label}
            arrays["test_group"] = np.arange(400) // size
            for place in (tmp_path / "both", tmp_path / fold):
                np.savez(write_run(place, record) / "arrays.npz", **arrays)
    together = compare(tmp_path / "both").set_index("fold")
    for fold in ("few", "alone"):
        (apart,) = compare(tmp_path / fold).itertuples()
        line = together.loc[fold]
        assert (line.bootstrap_low, line.bootstrap_high) == (apart.bootstrap_low, apart.bootstrap_high)
    widths = together.bootstrap_high - together.bootstrap_low
    assert widths["few"] > 2 * widths["alone"]


def test_differences_to_any_baseline_can_be_asked_for_and_each_can_meet_each(folder, records):
    to_kd = compare(folder, against="kd").set_index("baseline")
    assert to_kd.loc["scratch"].difference == pytest.approx(
        (accuracies(records, "scratch") - accuracies(records, "kd")).mean()
    )
    each = compare(folder, against="each")
    assert {frozenset(pair) for pair in zip(each.baseline, each.against, strict=True)} == {
        frozenset(pair) for pair in combinations(NAMES, 2)
    }
    assert each.p_adjusted.to_list() == pytest.approx(multipletests(each.p, method="sidak")[1])
    assert each.paired_p_holm.to_list() == pytest.approx(multipletests(each.paired_p, method="holm")[1])
    decided = (each.simultaneous_low > 0) | (each.simultaneous_high < 0)
    assert ((each.p_adjusted < 0.05) == each.verdict.isin(["above", "below"])).all()
    assert (decided == each.verdict.isin(["above", "below"])).all()


def test_pairs_with_too_few_runs_to_be_tested_are_no_part_of_the_family(records):
    each = compare([*records, *(make_record("fitnet", seed) for seed in range(2))], against="each")
    few = each[(each.baseline == "fitnet") | (each.against == "fitnet")]
    assert (len(few), len(each)) == (4, 10)
    assert few.p_adjusted.isna().all()
    tested = each[each.p.notna()]
    assert tested.p_adjusted.to_list() == pytest.approx(multipletests(tested.p, method="sidak")[1])


def test_intervals_of_every_two_methods_hold_for_all_of_them_at_once():
    draw = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        samples = {name: draw.normal(size=5) for name in "abcdef"}
        pairs = list(combinations(samples, 2))
        found = [differences_to({a: samples[a], b: samples[b]}, a)[b].among(len(pairs)) for a, b in pairs]
        missed += any(each.simultaneous_low > 0 or each.simultaneous_high < 0 for each in found)
    assert missed <= 300 * 0.05 + 8  # two standard errors; a family of each for itself misses in half of them


def test_records_will_do_without_their_folder(folder):
    records = load_records(folder).records
    without = compare(records)
    assert without.bootstrap_low.isna().all()
    assert without.difference.to_list() == compare(folder).difference.to_list()


def test_below_three_seeds_nothing_is_tested_or_marked(tmp_path):
    records = [make_record(name, seed) for name in NAMES for seed in range(2)]
    for record in records:
        write_run(tmp_path, record)
    frame = compare(tmp_path)
    assert frame[["p", "p_adjusted", "paired_p", "low", "high", "paired_low"]].isna().all(axis=None)
    assert set(frame.verdict) == {""}
    (block,) = task_blocks(records)["compression"]
    assert standings(block, "top1") == {}


def with_scores(scores):
    records = []
    for name, values in scores.items():
        for seed, value in enumerate(values):
            records.append(make_record(name, seed))
            records[-1].results.scores["test@last"]["top1"] = value / 100
    (block,) = task_blocks(records)["compression"]
    marks = standings(block, "top1")
    return {row.baseline: marks.get(row.id, "") for row in block.rows if row.baseline}


def test_the_best_is_marked_alone_only_where_no_other_may_be_it():
    clear = {"scratch": [50, 51, 52, 50, 51], "kd": [60, 61, 62, 60.5, 61], "crd": [55, 56, 57, 55, 56]}
    assert with_scores(clear) == {"scratch": "", "kd": "●", "crd": ""}
    close = clear | {"crd": [60, 61.2, 61.7, 60.9, 60.8]}
    assert with_scores(close) == {"scratch": "", "kd": "○", "crd": "○"}


def test_of_eight_copies_of_scratch_hardly_ever_one_is_marked_the_best():
    """200 draws of nine rows that are all the same but for their names and luck."""
    (block,) = task_blocks([make_record(name, seed) for name in BASELINES for seed in range(5)])[
        "compression"
    ]
    rows, draw, marked = block.students, np.random.default_rng(0), 0
    for _ in range(200):
        lucky = [
            replace(
                row, numbers=row.numbers.assign(**{"test@last/top1": draw.normal(50, 2, len(row.numbers))})
            )
            for row in rows
        ]
        marked += "●" in standings(replace(block, rows=tuple(lucky)), "top1").values()
    assert len(rows) >= 8
    assert marked <= 10  # 5 %


def test_of_a_metric_that_should_be_small_the_smallest_is_the_best(records):
    for record in records:
        record.results.scores["test@last"]["kl_to_teacher"] = {"kd": 0.1, "crd": 0.5}.get(
            record.run.baseline, 1.0
        ) + 0.001 * ((record.run.seed * 7) % 5)
    (block,) = task_blocks(records)["compression"]
    marks = standings(block, "kl_to_teacher")
    assert [row.baseline for row in block.students if row.id in marks] == ["kd"]
    verdicts = {each.row.baseline: each.difference.verdict for each in against_anchor(block, "kl_to_teacher")}
    assert verdicts["kd"] == "below"  # a word about the number, whichever way is better


def test_an_improvement_of_a_metric_that_should_be_small_is_to_be_below(records):
    for record in records:
        low = record.run.baseline == "kd" and record.run.seed > 0
        record.results.scores["test@last"]["kl_to_teacher"] = 0.1 if low else 0.5
    frame = compare(records, metric="kl_to_teacher").set_index("baseline")
    assert frame.loc["kd"].probability_of_improvement == pytest.approx(0.8 + 0.2 / 2)
    assert frame.loc["crd"].probability_of_improvement == pytest.approx(0.5)


def over_teachers(teachers, **changes):
    """Runs of scratch and KD with two seeds on each of some teachers, by teacher seed."""
    records = []
    for teacher in teachers:
        for name in ("scratch", "kd"):
            for seed in range(2):
                record = make_record(name, seed, teacher_seed=teacher, **changes)
                record = altered(record, teacher={"id": f"t{teacher}", "checksum": f"c{teacher}"})
                gain = 5 + teacher if name == "kd" else 0
                record.results.scores["test@last"]["top1"] = (50 + 3 * teacher + 0.1 * seed + gain) / 100
                records.append(record)
    return records


def test_over_several_teachers_intervals_hold_over_teachers():
    records = over_teachers((0, 1, 2, 3))
    (block,) = task_blocks(records)["compression"]
    rows = {row.baseline: row for row in block.students}
    assert set(rows) == {"scratch", "kd"}
    assert rows["kd"].values["test@last/top1"].n == 8
    assert rows["kd"].condition["teacher_seed"] == "0, 1, 2, 3"
    (line,) = compare(records).itertuples()
    expected = stats.ttest_1samp([5, 6, 7, 8], 0)
    assert (line.n, line.difference) == (4, pytest.approx(6.5))
    assert line.p == pytest.approx(expected.pvalue)
    assert (line.low, line.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def predicted(folder, records):
    """The comparisons of records that left predictions."""
    for record in records:
        arrays = predictions_of(record)
        np.savez(write_run(folder, record) / "arrays.npz", **arrays)
    return compare(folder)


def test_seeds_on_one_teacher_are_no_pairs_of_their_own(tmp_path):
    records = over_teachers((0, 1, 2, 3))
    (line,) = predicted(tmp_path, records).itertuples()
    assert (line.n, line.paired_n) == (4, 4)
    by_teacher = np.diff(
        [accuracies(records, name).reshape(4, 2).mean(1) for name in ("scratch", "kd")], axis=0
    )
    expected = stats.ttest_1samp(by_teacher[0], 0)
    assert line.paired_p == line.paired_p_holm == pytest.approx(expected.pvalue)
    assert (line.paired_low, line.paired_high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert pd.isna(line.bootstrap_low)  # eight runs, but four teachers


def test_the_bootstrap_draws_teachers_and_not_their_runs(tmp_path):
    records = over_teachers(range(5))
    for record in records:
        gain = 0.1 * (record.condition.teacher_seed - 2) * (record.run.baseline == "kd")
        record.results.scores["test@last"]["top1"] += gain
    (line,) = predicted(tmp_path, records).itertuples()
    # Ten draws of runs would make it narrower by a factor of 1.4.
    gains = [5 + 11 * teacher for teacher in range(5)]
    assert line.bootstrap_high - line.bootstrap_low > 3 * stats.sem(gains)


def test_teachers_crossed_with_splits_are_no_independent_pairs(tmp_path):
    records = [
        altered(record, id=f"{split}{record.id}", condition={"split_seed": split})
        for split in range(3)
        for record in over_teachers((0, 1, 2))
    ]
    (line,) = predicted(tmp_path, records).itertuples()
    assert (line.n, line.paired_n) == (9, 0)
    assert pd.isna([line.paired_p, line.paired_p_holm, line.bootstrap_low]).all()


def test_between_scratch_and_the_teacher_there_is_no_place_where_teachers_differ():
    records = over_teachers((0, 1, 2))
    (alike,) = compare(records).itertuples()
    assert alike.normalised == pytest.approx(6 / (70.5 - 53.05))
    apart = [altered(r, teacher={"test": {"top1": 0.7 + 0.01 * r.condition.teacher_seed}}) for r in records]
    (line,) = compare(apart).itertuples()
    assert line.difference == alike.difference
    assert pd.isna(line.normalised)


@pytest.mark.parametrize("against", ["shuffled_teacher", "each"])
def test_a_controls_own_teacher_is_no_end_of_the_scale(against):
    records = [make_record(name, seed) for name in ("scratch", "kd", "shuffled_teacher") for seed in range(3)]
    for place, record in enumerate(records):
        if record.run.baseline == "shuffled_teacher":
            own = {"id": "own", "checksum": "own", "test": {"top1": 0.1}}
            records[place] = altered(record, teacher=own)
    kd, control = (accuracies(records, name).mean() for name in ("kd", "shuffled_teacher"))
    found = {frozenset((r.baseline, r.against)): r for r in compare(records, against=against).itertuples()}
    line = found[frozenset(("kd", "shuffled_teacher"))]
    ours, theirs = (kd, control) if line.baseline == "kd" else (control, kd)
    assert line.normalised == pytest.approx((ours - theirs) / (70.5 - theirs))


def test_two_teachers_are_too_few_to_say_anything_over_teachers():
    (line,) = compare(over_teachers((0, 1))).itertuples()
    assert (line.n, line.verdict) == (2, "")
    assert pd.isna(line.p)


def test_a_run_on_another_teacher_costs_the_others_nothing():
    records = [make_record(name, seed) for name in NAMES for seed in range(5)]
    known = compare(records)
    other = altered(make_record("scratch", 0, teacher_seed=1), teacher={"id": "t1", "checksum": "c1"})
    found = compare([*records, other])
    pd.testing.assert_frame_equal(found, known)
    (block,) = task_blocks([*records, other])["compression"]
    assert [len(rows) for rows in block.comparisons] == [4, 1]


def test_rows_of_a_comparison_stand_together_whichever_splits_they_met():
    records = [
        make_record(name, seed, label_fraction=fraction, split_seed=split)
        for fraction in (0.1, 0.5)
        for name, splits in (("crd", (0, 1)), ("kd", (0, 1, 2)), ("scratch", (0, 1, 2)))
        for split in splits
        for seed in range(2)
    ]
    (block,) = task_blocks(records)["compression"]
    assert [[row.baseline for row in rows] for rows in row_groups(block) if rows[0].is_student] == [
        ["scratch", "kd", "crd"]
    ] * 2
    for panel in task_panels([block]):
        assert "split seed 0, 1, 2" in panel.heading
    found = compare(records).set_index(["label_fraction", "baseline"])
    assert found.loc[(0.1, "kd")].n == 3
    assert pd.notna(found.loc[(0.1, "kd")].p)


def test_nothing_is_subtracted_across_teachers():
    records = over_teachers((0, 1))
    apart = [r for r in records if (r.run.baseline, r.condition.teacher_seed) in (("kd", 0), ("scratch", 1))]
    assert len(compare(apart)) == 0


def test_teachers_with_more_runs_weigh_no_more_than_others():
    records = over_teachers((0, 1, 2)) + [
        altered(make_record(name, seed, teacher_seed=0), teacher={"id": "t0", "checksum": "c0"})
        for name in ("scratch", "kd")
        for seed in range(2, 8)
    ]
    for record in records[12:]:
        record.results.scores["test@last"]["top1"] = 0.5 if record.run.baseline == "scratch" else 0.55
    (block,) = task_blocks(records)["compression"]
    scratch, kd = (next(r for r in block.students if r.baseline == name) for name in ("scratch", "kd"))
    means = [row.values["test@last/top1"].mean for row in (scratch, kd)]
    (line,) = compare(records).itertuples()
    assert line.difference == pytest.approx(6.0) == means[1] - means[0]
    assert kd.values["test@last/top1"].low < means[1] < kd.values["test@last/top1"].high


def test_several_teachers_and_several_splits_are_crossed():
    records = [
        altered(record, id=f"{record.id}-{split}", condition={"split_seed": split})
        for split in range(3)
        for record in over_teachers((0, 1, 2))
    ]
    (block,) = task_blocks(records)["compression"]
    kd = next(row for row in block.students if row.baseline == "kd")
    assert set(kd.clusters.values()) == {(f"teacher {t}", f"split {s}") for t in range(3) for s in range(3)}
    (line,) = compare(records).itertuples()
    parts = np.var([5, 6, 7], ddof=1) / 3  # splits differ in nothing here
    assert (line.n, line.difference) == (9, pytest.approx(6.0))
    assert line.high - line.difference == pytest.approx(stats.t.ppf(0.975, 2) * np.sqrt(parts))


def test_two_teachers_of_one_seed_are_no_sample():
    records = over_teachers((0, 1))
    twins = [altered(r, condition={"teacher_seed": 0}) for r in records]
    (block,) = task_blocks(twins)["compression"]
    assert [row.values["test@last/top1"].n for row in block.students] == [2, 2, 2, 2]


def test_split_seeds_are_clusters_too():
    records = [altered(r, condition={"teacher_seed": 0, "split_seed": r.condition.teacher_seed})
               for r in over_teachers((0, 1, 2))]  # fmt: skip
    (line,) = compare(records).itertuples()
    assert (line.n, line.difference) == (3, pytest.approx(6.0))


def test_conditions_are_never_compared_across(tmp_path):
    for fraction in (0.1, 1.0):
        for name in ("scratch", "kd"):
            for seed in range(3):
                write_run(tmp_path, make_record(name, seed, label_fraction=fraction))
    frame = compare(tmp_path, against="each")
    assert len(frame) == 2
    assert sorted(frame.label_fraction) == [0.1, 1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"against": "krd"}, "did you mean kd or crd"), ({"metric": "top2"}, "did you mean")],
)
def test_an_unknown_name_is_one_line_with_a_remedy(folder, options, message):
    with pytest.raises(UserError, match=message):
        compare(folder, **options)


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no finished run"):
        compare(tmp_path)
