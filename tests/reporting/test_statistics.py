"""The statistics of reports against scipy, statsmodels and slow arithmetic."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from benchmark.reporting.statistics.aggregates import grouped_bootstrap_intervals
from benchmark.reporting.statistics.spread import (
    estimate_of,
    holm,
    normalised,
    over_clusters,
    paired_differences,
    probability_of_improvement,
    t_test,
)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_summary_agrees_with_scipy(values):
    estimate = estimate_of(values)
    assert estimate.n == len(values)
    assert estimate.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert estimate.sd == pytest.approx(statistics.stdev(values), abs=1e-9)
    if estimate.sd > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (estimate.low, estimate.high) == pytest.approx((low, high))


def test_an_interval_over_teachers_crossed_with_splits_is_over_both():
    table = np.array([[1.0, 2.0, 4.0], [3.0, 3.5, 5.0], [0.5, 2.5, 3.0], [2.0, 2.0, 6.0]])
    cells = {(f"teacher {i}", f"split {j}"): float(table[i, j]) for i in range(4) for j in range(3)}
    parts = table.mean(1).var(ddof=1) / 4, table.mean(0).var(ddof=1) / 3
    df = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 2)
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(parts))
    found = over_clusters(cells)
    assert (found.low, found.mean, found.high) == pytest.approx(
        (table.mean() - half, table.mean(), table.mean() + half)
    )
    some = over_clusters({name: value for name, value in cells.items() if name != ("teacher 3", "split 2")})
    assert math.isnan(some.low)
    assert math.isnan(some.high)
    apart = {(f"teacher {i}", f"split {i}"): float(i**2) for i in range(4)}
    assert over_clusters(apart) == estimate_of(apart.values())


def test_the_standard_deviation_divides_by_n_minus_one():
    assert estimate_of([1.0, 3.0]).sd == pytest.approx(math.sqrt(2))


def test_one_value_has_a_mean_and_no_spread():
    estimate = estimate_of([0.5])
    assert (estimate.mean, estimate.n) == (0.5, 1)
    assert all(math.isnan(value) for value in (estimate.sd, estimate.low, estimate.high))


def test_nothing_measured_is_n_zero():
    assert estimate_of([None, None]).n == 0
    assert math.isnan(estimate_of([]).mean)


def test_missing_values_are_left_out_and_nan_is_not():
    assert estimate_of([1.0, None, 3.0]).n == 2
    assert math.isnan(estimate_of([1.0, math.nan]).mean)


def test_differences_pair_by_seed_and_drop_seeds_without_a_partner():
    assert paired_differences({2: 5.0, 0: 1.0, 7: 9.0}, {0: 0.5, 2: 1.0, 3: 4.0}) == [0.5, 4.0]


@given(st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=2, max_size=12))
def test_the_paired_t_test_agrees_with_scipy(values):
    if np.std(values) > 1e-6:
        assert t_test(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=1e-12)


def test_the_t_test_of_differences_without_spread():
    assert t_test([0.0, 0.0, 0.0]) == 1.0
    assert t_test([0.5, 0.5, 0.5]) == 0.0
    assert math.isnan(t_test([0.5]))


def holm_of_statsmodels(p_values: list[float]) -> np.ndarray:
    # Without the garbage collection that it runs in every call: half a second beside torch.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda: 0)
        return multipletests(p_values, method="holm")[1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(holm_of_statsmodels(p_values), abs=1e-12)


def test_holm_leaves_out_what_was_not_tested():
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)


def test_the_bootstrap_agrees_with_resampling_seed_by_seed_and_sample_by_sample():
    draw = np.random.default_rng(1)
    answers = draw.choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=(4, 60)) + (draw.random((4, 1)) > 0.5)
    slow = []
    for _ in range(2000):
        seeds, samples = draw.integers(0, 4, 4), draw.integers(0, 60, 60)
        slow.append(np.mean([answers[seed, sample] for seed in seeds for sample in samples]))
    ((low, high),) = grouped_bootstrap_intervals({"a": answers}, draws=4000).values()
    assert (low, high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.02)


def test_the_bootstrap_pairs_its_samples_and_repeats_itself():
    answers = np.random.default_rng(2).choice([-1, 0, 1], size=(3, 200))
    both = grouped_bootstrap_intervals({"a": answers, "b": answers + 1}, draws=500)
    assert both == grouped_bootstrap_intervals({"a": answers, "b": answers + 1}, draws=500)
    low, high = both["a"]
    assert low < answers.mean() < high
    one = grouped_bootstrap_intervals({"constant": np.full((3, 50), 0.25)})["constant"]
    assert one == pytest.approx((0.25, 0.25))


def test_normalised_scores_are_zero_for_scratch_and_one_for_the_teacher():
    assert [normalised(x, 60.0, 80.0) for x in (60.0, 80.0, 70.0, 90.0)] == [0.0, 1.0, 0.5, 1.5]
    assert math.isnan(normalised(1.0, 2.0, 2.0))


def test_the_probability_of_improvement_is_that_of_all_pairs():
    # three wins (3 > 1, 3 > 2, 2 > 1), two ties and a loss
    assert probability_of_improvement([3, 2], [1, 2, 3]) == pytest.approx((3 + 0.5 * 2) / 6)
    values, others = np.random.default_rng(3).normal(size=(2, 7))
    u = stats.mannwhitneyu(values, others).statistic
    assert probability_of_improvement(values, others) == pytest.approx(u / 49)
    assert math.isnan(probability_of_improvement([], [1.0]))
