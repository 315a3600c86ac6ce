"""Comparisons between baselines: against slow arithmetic on the raw records."""

import math
from itertools import combinations

import numpy as np
import pytest
from fake_records import altered, make_record, write_run
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.errors import UserError
from benchmark.reporting import compare, load_records
from benchmark.reporting.comparisons import against_anchor, standings
from benchmark.reporting.grouping import task_blocks
from benchmark.reporting.results import Results

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
    slow = {name: stats.ttest_rel(accuracies(records, name), scratch) for name in NAMES[1:]}
    adjusted = multipletests([slow[name].pvalue for name in NAMES[1:]], method="holm")[1]
    assert sorted(frame.index) == sorted(NAMES[1:])
    for name, p_holm in zip(NAMES[1:], adjusted, strict=True):
        line, differences = frame.loc[name], accuracies(records, name) - scratch
        assert (line.against, line.metric, line.n) == ("scratch", "top1", 5)
        assert line.difference == pytest.approx(differences.mean())
        assert line.sd == pytest.approx(differences.std(ddof=1))
        assert (line.p, line.p_holm) == pytest.approx((slow[name].pvalue, p_holm))
        assert (line.low, line.high) == pytest.approx(tuple(slow[name].confidence_interval(0.95)))
        assert line.normalised == pytest.approx(differences.mean() / (70.5 - scratch.mean()))
        assert not line.indicative


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


def test_a_broken_arrays_file_costs_its_seed_and_is_named(folder):
    broken = next((folder / "runs").glob("*-kd-seed0-*"))
    (broken / "arrays.npz").write_bytes(b"PK\x03\x04 rubbish")
    results = Results.read(folder)
    frame = compare(results).set_index("baseline")
    assert [broken.name in problem for problem in results.problems] == [True]
    assert math.isfinite(frame.loc["kd"].bootstrap_low)
    assert frame.loc["kd"].n == 5


def test_differences_to_any_baseline_can_be_asked_for_and_each_can_meet_each(folder, records):
    to_kd = compare(folder, against="kd").set_index("baseline")
    assert to_kd.loc["scratch"].difference == pytest.approx(
        (accuracies(records, "scratch") - accuracies(records, "kd")).mean()
    )
    each = compare(folder, against="each")
    assert {frozenset(pair) for pair in zip(each.baseline, each.against, strict=True)} == {
        frozenset(pair) for pair in combinations(NAMES, 2)
    }
    assert each.p_holm.to_list() == pytest.approx(multipletests(each.p, method="holm")[1])


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
    assert frame[["p", "p_holm", "low", "high"]].isna().all(axis=None)
    (block,) = task_blocks(records)["compression"]
    assert standings(block, "top1") == {}


def test_three_seeds_are_indicative(tmp_path):
    for name in NAMES:
        for seed in range(3):
            write_run(tmp_path, make_record(name, seed))
    assert compare(tmp_path).indicative.all()


def with_scores(scores):
    records = []
    for name, values in scores.items():
        for seed, value in enumerate(values):
            records.append(make_record(name, seed))
            records[-1].results.scores["test@last"]["top1"] = value / 100
    (block,) = task_blocks(records)["compression"]
    marks = standings(block, "top1")
    return {row.baseline: marks.get(row.id, "") for row in block.rows if row.baseline}


def test_the_best_is_marked_alone_only_beyond_noise():
    clear = {"scratch": [50, 51, 52, 50, 51], "kd": [60, 61, 62, 60.5, 61], "crd": [55, 56, 57, 55, 56]}
    assert with_scores(clear) == {"scratch": "", "kd": "●", "crd": ""}
    close = clear | {"crd": [60, 61.2, 61.7, 60.9, 60.8]}
    assert with_scores(close) == {"scratch": "", "kd": "○", "crd": "○"}


def test_a_metric_that_should_be_small_is_compared_the_other_way_round(records):
    (block,) = task_blocks(records)["compression"]
    for each in against_anchor(block, "kl_to_teacher"):
        assert each.better == (each.p_holm < 0.05 and each.difference.mean < 0)
    assert any(each.better for each in against_anchor(block, "kl_to_teacher"))


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
