import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark.reporting.statistics import paired_differences, summarise


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_summary_agrees_with_scipy(values):
    summary = summarise(values)
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert summary.sd == pytest.approx(statistics.stdev(values), abs=1e-9)
    if summary.sd > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (summary.low, summary.high) == pytest.approx((low, high))


def test_the_standard_deviation_divides_by_n_minus_one():
    assert summarise([1.0, 3.0]).sd == pytest.approx(math.sqrt(2))


def test_one_value_has_a_mean_and_no_spread():
    summary = summarise([0.5])
    assert (summary.mean, summary.n) == (0.5, 1)
    assert all(math.isnan(value) for value in (summary.sd, summary.low, summary.high))


def test_nothing_measured_is_n_zero():
    assert summarise([None, None]).n == 0
    assert math.isnan(summarise([]).mean)


def test_missing_values_are_left_out_and_nan_is_not():
    assert summarise([1.0, None, 3.0]).n == 2
    assert math.isnan(summarise([1.0, math.nan]).mean)


def test_differences_pair_by_seed_and_drop_seeds_without_a_partner():
    assert paired_differences({2: 5.0, 0: 1.0, 7: 9.0}, {0: 0.5, 2: 1.0, 3: 4.0}) == [0.5, 4.0]
