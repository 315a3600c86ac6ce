"""Differences to a reference and the set of the best, against scipy, statsmodels, closed forms and draws."""

import math
import warnings
from dataclasses import astuple

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.reporting.statistics import inference
from benchmark.reporting.statistics.dunnett import joint_critical, joint_p
from benchmark.reporting.statistics.inference import best_set, differences_to
from benchmark.reporting.statistics.variances import agree, errors_to_first, moderated, prior_of

ALIKE = {  # variances close to each other
    "kd": [71.0, 71.9, 71.4, 70.9],
    "fitnet": [73.1, 73.9, 72.8],
    "crd": [71.6, 70.9, 71.2, 72.0, 71.5],
    "wcord": [72.2, 71.3, 71.9],
}
APART = {"kd": [71.0, 71.4, 70.9], "fitnet": [60.0, 70.0, 75.0], "crd": [72.0, 72.4, 72.1]}


# --- the joint distribution ---


def test_where_variances_agree_the_p_values_are_dunnetts():
    found = differences_to(ALIKE, "kd")
    others = [ALIKE[name] for name in found]
    expected = stats.dunnett(*others, control=ALIKE["kd"], rng=np.random.default_rng(0))
    assert [each.p_adjusted for each in found.values()] == pytest.approx(expected.pvalue, abs=2e-3)
    interval = expected.confidence_interval(0.95)
    assert [each.simultaneous_low for each in found.values()] == pytest.approx(interval.low, abs=0.02)
    assert [each.simultaneous_high for each in found.values()] == pytest.approx(interval.high, abs=0.02)


@pytest.mark.parametrize(
    ("methods", "df", "sides", "table"),
    [(1, 20, 2, 2.09), (3, 20, 2, 2.54), (8, 20, 2, 2.90), (3, 20, 1, 2.19), (5, 10, 1, 2.56)],
)
def test_critical_values_are_those_of_dunnetts_tables(methods, df, sides, table):
    critical = joint_critical(0.05, (math.sqrt(0.5),) * methods, df, sides)
    assert critical == pytest.approx(table, abs=0.006)


@pytest.mark.parametrize("df", [2, 5, 30, 200])
def test_of_one_method_the_joint_p_is_that_of_t(df):
    values = np.array([0.1, 1.0, 2.5, 6.0])
    assert joint_p(values, np.array([0.7]), df) == pytest.approx(2 * stats.t.sf(values, df), abs=1e-6)
    assert joint_p(values, np.array([0.7]), df, 1) == pytest.approx(stats.t.sf(values, df), abs=1e-6)


def test_the_joint_p_with_unequal_numbers_agrees_with_draws():
    draw, df, counts = np.random.default_rng(0), 9, np.array([3, 10, 5])
    means = draw.normal(size=(400_000, 4)) / np.sqrt([4, *counts])
    spread = np.sqrt(draw.chisquare(df, size=400_000) / df)
    drawn = (means[:, 1:] - means[:, :1]) / np.sqrt(1 / 4 + 1 / counts) / spread[:, None]
    loadings = np.sqrt(counts / (counts + 4))
    for sides, largest in ((2, np.abs(drawn).max(1)), (1, drawn.max(1))):
        ours = joint_p(np.array([1.0, 2.0, 3.0]), loadings, df, sides)
        assert ours == pytest.approx([(largest > t).mean() for t in (1, 2, 3)], abs=0.004)


# --- variances ---


def slow_prior(variances, dfs):
    """Smyth's moments in plain Python; digamma and its derivative by differences of lgamma."""

    def digamma(x, h=1e-4):
        return (math.lgamma(x + h) - math.lgamma(x - h)) / (2 * h)

    def trigamma(x, h=1e-3):
        return (math.lgamma(x + h) - 2 * math.lgamma(x) + math.lgamma(x - h)) / h**2

    logs = [math.log(s) - digamma(d / 2) + math.log(d / 2) for s, d in zip(variances, dfs, strict=True)]
    mean = sum(logs) / len(logs)
    excess = sum((each - mean) ** 2 for each in logs) / (len(logs) - 1)
    excess -= sum(trigamma(d / 2) for d in dfs) / len(dfs)
    if excess <= 0:
        return math.inf, math.exp(mean)
    low, high = 0.01, 1e4
    for _ in range(100):  # trigamma falls
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > excess else (low, middle)
    return 2 * low, math.exp(mean + digamma(low) - math.log(low))


@pytest.mark.parametrize(
    ("variances", "dfs"),
    [
        ([0.1, 4.0, 1.0, 30.0], [4, 2, 9, 4]),
        ([1.0, 20.0, 0.5], [9, 9, 9]),
        ([1.0, 1.1, 0.9, 1.2], [2, 2, 3, 2]),
    ],
)
def test_the_prior_is_smyths(variances, dfs):
    prior = prior_of(np.array(variances), np.array(dfs, float))
    df, scale = slow_prior(variances, dfs)
    assert prior.df == pytest.approx(df, rel=1e-3)
    assert prior.scale == pytest.approx(scale, rel=1e-3)


def test_the_priors_parameters_are_found_again():
    draw = np.random.default_rng(0)
    true = 2.0 * 6 / draw.chisquare(6, size=20_000)  # scaled inverse chi squared: d0 = 6, s0^2 = 2
    prior = prior_of(true * draw.chisquare(4, size=20_000) / 4, np.full(20_000, 4.0))
    assert (prior.df, prior.scale) == pytest.approx((6, 2), rel=0.1)


def test_moderated_variances_lie_between_their_own_and_the_priors():
    variances, dfs = np.array([0.1, 4.0, 1.0, 30.0]), np.array([2.0, 2.0, 2.0, 2.0])
    prior = prior_of(variances, dfs)
    used, df = moderated(variances, dfs, prior)
    weight = min(1.0, prior.df / 2)
    assert used == pytest.approx([(weight * prior.location + 2 * v) / (weight + 2) for v in variances])
    assert (df == weight + 2).all()


def test_variances_agree_by_bartletts_test_and_that_of_the_reference():
    samples = [np.array(values) for values in ALIKE.values()]
    variances, counts = np.array([s.var(ddof=1) for s in samples]), np.array([len(s) for s in samples])
    assert stats.bartlett(*samples).pvalue > 0.4
    assert agree(variances, counts - 1.0)
    assert not agree(variances * [8, 1, 1, 1], counts - 1.0)
    assert not agree(variances * [1, 1, 50, 1], counts - 1.0)
    assert errors_to_first(variances, counts, int((counts - 1).sum())).pooled


def test_a_reference_with_a_larger_variance_keeps_its_own():
    counts, variances = np.array([3, 3, 3, 3]), np.array([9.0, 1.0, 1.1, 0.9])
    errors = errors_to_first(variances, counts, 8)
    assert not errors.pooled
    assert (errors.se**2 > 9 / 3).all()
    assert (errors.df < 4).all()


def test_a_reference_with_the_largest_variance_is_not_pooled_even_where_bartletts_test_sees_none():
    dfs, variances = np.full(4, 4.0), np.array([2.0, 1.0, 1.0, 1.0])
    base = np.array([-1.0, 0.0, 0.0, 0.0, 1.0]) * math.sqrt(2)
    assert stats.bartlett(*(base * math.sqrt(v) for v in variances)).pvalue > 0.4
    assert stats.f.sf(2, 4, 12) < 0.4
    assert not agree(variances, dfs)
    assert agree(variances[::-1], dfs)


def test_where_one_method_has_many_more_runs_than_another_each_has_its_own_variance():
    counts, variances = np.array([3, 3, 3, 10]), np.array([1.0, 1.1, 0.9, 1.05])
    assert agree(variances, counts - 1.0)
    errors = errors_to_first(variances, counts, 15)
    assert not errors.pooled
    parts = variances / counts
    assert errors.se == pytest.approx(np.sqrt(parts[1:] + parts[0]))
    welch = (parts[1:] + parts[0]) ** 2 / (parts[1:] ** 2 / (counts[1:] - 1) + parts[0] ** 2 / 2)
    assert errors.df == pytest.approx(welch)
    assert errors_to_first(variances, np.array([3, 3, 3, 5]), 10).pooled  # twice the degrees of freedom


# --- differences ---


def test_a_difference_that_the_family_cannot_tell_is_said_to_be_none_above_what_it_could():
    samples = {"kd": [1.0, 2.0, 3.0, 2.0], "a": [1.1, 2.1, 2.9, 2.0], "b": [9.0, 9.9, 8.4, 8.9]}
    found = differences_to(samples, "kd")
    assert found["b"].verdict == "above"
    assert differences_to(samples, "b")["kd"].verdict == "below"
    assert found["a"].verdict == "no difference"
    assert found["a"].equivalent_within <= found["a"].smallest_visible


def test_the_smallest_visible_difference_is_found_four_times_of_five():
    """With the variance that it was told; by draws of the pooled test of three methods."""
    counts, draw = [4, 4, 4, 4], np.random.default_rng(0)
    base = {name: np.array([-1.5, -0.5, 0.5, 1.5]) / math.sqrt(5 / 3) for name in "abcd"}  # variance 1
    visible = differences_to(base, "a")["d"].smallest_visible
    critical = joint_critical(0.05, (math.sqrt(0.5),) * 3, 12)
    means = draw.normal(size=(100_000, 2)) / 2 + [0, visible]
    t = (means[:, 1] - means[:, 0]) / np.sqrt(draw.chisquare(12, size=100_000) / 12 * 2 / counts[0])
    assert (t > critical).mean() == pytest.approx(0.8, abs=0.006)


def test_equivalence_is_that_of_two_one_sided_tests_over_the_family():
    """At the bound the larger of both p values is half of what the joint test leaves to a side."""
    each = differences_to(ALIKE, "kd")["crd"]
    bound = each.equivalent_within
    assert bound == pytest.approx(max(map(abs, each.interval)))
    half_width = (each.simultaneous_high - each.simultaneous_low) / 2
    p = max(
        stats.t.sf((each.mean + bound) / each.se, each.df),
        stats.t.cdf((each.mean - bound) / each.se, each.df),
    )
    assert p == pytest.approx(stats.t.sf(half_width / each.se, each.df))
    assert p < 0.025


def test_controls_have_a_single_p_and_no_part_in_the_family():
    with_control = ALIKE | {"scratch": [60.0, 61.0, 75.0]}
    family = [name for name in ALIKE if name != "kd"]
    found = differences_to(with_control, "kd", family)
    alone = differences_to(ALIKE, "kd")
    assert {name: found[name] for name in family} == alone
    assert math.isnan(found["scratch"].p_adjusted)
    assert math.isnan(found["scratch"].simultaneous_low)
    assert 0 < found["scratch"].p < 1


def test_two_methods_alone_are_compared_by_welchs_test():
    found = differences_to({"a": [1.0, 2.0, 3.5], "b": [4.5, 5.5, 6.5, 9.0]}, "a")["b"]
    assert found.p == pytest.approx(
        stats.ttest_ind([1, 2, 3.5], [4.5, 5.5, 6.5, 9.0], equal_var=False).pvalue
    )
    assert found.p_adjusted == pytest.approx(found.p)


# --- clusters ---


def clustered(draw, names="abcde", clusters=5, runs=2):
    labels = [c for c in range(clusters) for _ in range(runs)]
    effects = 5 * draw.normal(size=clusters)[labels]
    return {n: effects + draw.normal(size=len(labels)) for n in names}, dict.fromkeys(names, labels)


def test_differences_over_clusters_are_those_of_the_least_squares_fit():
    pooled = 0
    for seed in range(25):
        samples, clusters = clustered(np.random.default_rng(seed))
        means = {n: [v[np.array(clusters[n]) == c].mean() for c in range(5)] for n, v in samples.items()}
        y = np.concatenate(list(means.values()))
        dummies = np.kron(np.eye(5), np.ones((5, 1)))[:, 1:], np.kron(np.ones((5, 1)), np.eye(5))
        fit = sm.OLS(y, np.hstack(dummies)).fit()
        found = differences_to(samples, "a", clusters=clusters)
        assert [each.mean for each in found.values()] == pytest.approx(fit.params[:4])
        if found["b"].df == fit.df_resid:
            pooled += 1
            assert [each.se for each in found.values()] == pytest.approx(fit.bse[:4])
            assert [each.p for each in found.values()] == pytest.approx(fit.pvalues[:4])
            assert [each.low for each in found.values()] == pytest.approx(fit.conf_int()[:4, 0])
    assert pooled >= 2


def test_one_method_over_clusters_is_the_paired_t_test():
    samples, clusters = clustered(np.random.default_rng(0), names="ab", runs=1)
    found = differences_to(samples, "a", clusters=clusters)["b"]
    assert found.p == pytest.approx(stats.ttest_rel(samples["b"], samples["a"]).pvalue)
    assert (found.n, found.df) == (5, 4)


def test_one_cluster_is_the_plain_model():
    labels = {name: ["resnet"] * len(values) for name, values in ALIKE.items()}
    assert differences_to(ALIKE, "kd", clusters=labels) == differences_to(ALIKE, "kd")
    assert best_set(ALIKE, clusters=labels) == best_set(ALIKE)


def test_a_method_without_some_clusters_is_compared_on_those_it_shares():
    samples, clusters = clustered(np.random.default_rng(0), names="abc", runs=1)
    samples, clusters = samples | {"c": samples["c"][:4]}, clusters | {"c": clusters["c"][:4]}
    found = differences_to(samples, "a", clusters=clusters)
    assert found["c"].n == 4
    assert found["c"].p == pytest.approx(stats.ttest_rel(samples["c"], samples["a"][:4]).pvalue)
    assert found["c"].p_adjusted == pytest.approx(1 - (1 - found["c"].p) ** 2)


def crossed(draw, teachers, splits, effect):
    """Of two equal methods a value for each teacher and split; effect: of its luck with a split."""
    cells = [(f"teacher {t}", f"split {s}") for t in range(teachers) for s in range(splits)]
    shape = (teachers, splits)
    one, other = (draw.normal(size=shape) + effect * draw.normal(size=(1, splits)) for _ in range(2))
    return {"a": one.ravel(), "b": other.ravel()}, dict.fromkeys("ab", cells)


@pytest.mark.parametrize("effect", [0, 1, 3])
def test_over_teachers_crossed_with_splits_equal_methods_are_rarely_told_apart(effect):
    draw = np.random.default_rng(0)
    found = []
    for _ in range(400):
        samples, clusters = crossed(draw, 4, 3, effect)
        found.append(differences_to(samples, "a", clusters=clusters)["b"])
    assert np.mean([each.p < 0.05 for each in found]) <= 0.05 + 0.022  # two standard errors
    assert np.mean([each.low > 0 or each.high < 0 for each in found]) <= 0.05 + 0.022


def test_over_teachers_crossed_with_splits_both_vary():
    samples, clusters = crossed(np.random.default_rng(1), 4, 3, 1)
    found = differences_to(samples, "a", clusters=clusters)["b"]
    table = (samples["b"] - samples["a"]).reshape(4, 3)
    parts = table.mean(1).var(ddof=1) / 4, table.mean(0).var(ddof=1) / 3
    assert (found.mean, found.se) == pytest.approx((table.mean(), math.sqrt(sum(parts))))
    assert found.df == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 2))


@pytest.mark.parametrize(("teachers", "splits", "left_out"), [(4, 2, 0), (4, 3, 1)])
def test_too_few_splits_or_a_missing_cell_say_nothing(teachers, splits, left_out):
    samples, clusters = crossed(np.random.default_rng(0), teachers, splits, 0)
    kept = slice(0, teachers * splits - left_out)
    samples, clusters = ({name: of[name][kept] for name in of} for of in (samples, clusters))
    found = differences_to(samples, "a", clusters=clusters)["b"]
    assert math.isnan(found.p)
    assert found.mean == pytest.approx(np.mean(samples["b"]) - np.mean(samples["a"]))


def test_a_teacher_for_each_split_is_a_sample_of_both():
    cells = [(f"teacher {k}", f"split {k}") for k in range(5)]
    samples, _ = clustered(np.random.default_rng(0), names="ab", runs=1)
    paired = differences_to(samples, "a", clusters=dict.fromkeys("ab", cells))["b"]
    assert paired.p == pytest.approx(stats.ttest_rel(samples["b"], samples["a"]).pvalue)


def test_two_teachers_say_nothing_about_teachers():
    samples, clusters = clustered(np.random.default_rng(0), clusters=2, runs=4)
    assert {each.verdict for each in differences_to(samples, "a", clusters=clusters).values()} == {""}


# --- the best ---


def test_the_set_of_the_best_is_that_of_a_slow_simulation():
    """Each name's largest one-sided t against 200,000 draws of its distribution."""
    draw = np.random.default_rng(1)
    drawn = draw.normal(size=(200_000, 4)) / math.sqrt(4)
    drawn /= np.sqrt(draw.chisquare(12, size=(200_000, 1)) / 12)
    limit = np.quantile((drawn[:, 1:] - drawn[:, :1]).max(1) / math.sqrt(2 / 4), 0.95)
    base = np.array([-1.5, -0.5, 0.5, 1.5]) / math.sqrt(5 / 3)
    for gap in (0.95, 1.05):  # of the limit
        samples = {f"m{k}": base - k * gap * limit * math.sqrt(2 / 4) for k in range(4)}
        expected = ("m0", "m1") if gap < 1 else ("m0",)
        assert best_set(samples).names == expected


def test_a_winner_needs_a_stricter_level_than_the_set():
    base = np.array([-1.0, 0.0, 1.0])
    for shift in np.arange(0.0, 8.0, 0.25):
        both = best_set({"a": base, "b": base + shift})
        assert both.winner in (None, "b")
        assert (both.winner is None) == (stats.ttest_ind(base, base + shift).pvalue >= 0.05)


def test_a_set_of_one_that_is_too_unsure_for_a_winner_is_a_tie():
    unsure = {
        "scratch": [50.1, 50.3, 49.0, 48.9],
        "kd": [51.7, 51.0, 51.7, 52.3],
        "crd": [48.4, 50.3, 51.2, 49.7],
    }
    found = best_set(unsure)
    assert (found.names, found.winner, found.tied) == (("kd",), None, ("kd",))
    assert best_set(APART).tied == (() if best_set(APART).winner else best_set(APART).names)
    assert best_set({"kd": [1.0, 2.0, 3.0]}).tied == ()


def test_lower_may_be_better():
    assert best_set(APART, higher=False).names[0] == "fitnet"
    far = {"a": [1.0, 1.1, 0.9], "b": [5.0, 5.1, 4.9], "c": [5.0, 5.2, 4.9]}
    assert best_set(far, higher=False).winner == "a"
    assert best_set(far).winner is None
    assert set(best_set(far).names) == {"b", "c"}


# --- what should not occur ---


@pytest.mark.parametrize(
    "samples",
    [
        {"kd": [], "a": []},
        {"kd": [1.0], "a": [2.0], "b": [3.0]},
        {"kd": [1.0, 2.0], "a": [1.0, 2.0]},
        {"kd": [1.0, math.nan, 2.0], "a": [1.0, 2.0, 3.0]},
        {"kd": [1.0, math.inf, 2.0], "a": [1.0, 2.0, 3.0]},
        {"kd": [1.0, 2.0, 3.0]},
    ],
)
def test_too_little_has_no_verdict_and_no_warning(samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = differences_to(samples, "kd")
        best = best_set(samples)
    assert all(each.verdict == "" and math.isnan(each.p_adjusted) for each in found.values())
    assert best.winner is None


def test_a_diverged_method_is_undecided_and_the_others_are_not_touched():
    found = differences_to(ALIKE | {"nan": [1.0, math.nan, 2.0], "two": [70.0, 71.0]}, "kd")
    assert math.isnan(found["nan"].mean)
    assert found["two"].mean == pytest.approx(70.5 - np.mean(ALIKE["kd"]))
    assert math.isnan(found["two"].se)
    assert {name: found[name] for name in ALIKE if name != "kd"} == differences_to(ALIKE, "kd")


@pytest.mark.parametrize("constant", [0.1, 71.3, 1e6])
def test_runs_without_spread_are_equal_or_different_for_sure(constant):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = {"kd": [constant] * 3, "same": [constant] * 7, "more": [2 * constant] * 3}
        found = differences_to(samples, "kd")
        assert best_set(samples).winner == "more"
        assert best_set({"kd": [constant] * 3, "same": [constant] * 7}).winner is None
    assert (found["same"].p_adjusted, found["same"].verdict) == (1.0, "no difference")
    assert (found["more"].p_adjusted, found["more"].verdict) == (0.0, "above")


@pytest.mark.parametrize("flat", ["kd", "fitnet"])
def test_one_method_without_spread_among_others(flat):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = differences_to(ALIKE | {flat: [71.0] * 3}, "kd")
        best_set(ALIKE | {flat: [71.0] * 3})
    assert all(math.isfinite(each.p_adjusted) and each.se > 0 for each in found.values())


def test_an_empty_family_has_controls_only():
    found = differences_to(ALIKE, "kd", family=[])
    assert all(math.isnan(each.p_adjusted) and each.p > 0 for each in found.values())
    assert best_set({}) == inference.BestSet((), None, ())


# --- properties ---

RUNS = st.lists(st.integers(-50, 50).map(lambda k: k / 10), min_size=3, max_size=6)
SAMPLES = st.lists(RUNS, min_size=2, max_size=5).map(lambda runs: {f"m{k}": v for k, v in enumerate(runs)})
NUMBERS = ("mean", "se", "low", "high", "simultaneous_low", "simultaneous_high")


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.floats(-100, 100), st.floats(0.1, 10))
def test_shifts_change_nothing_and_scales_scale(samples, shift, scale):
    moved = {name: [scale * v + shift for v in values] for name, values in samples.items()}
    before, after = differences_to(samples, "m0"), differences_to(moved, "m0")
    for name, each in before.items():
        for number in NUMBERS:
            expected = scale * getattr(each, number)
            assert getattr(after[name], number) == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale)
        assert after[name].p_adjusted == pytest.approx(each.p_adjusted, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.randoms())
def test_the_order_of_names_and_runs_does_not_matter(samples, random):
    names = list(samples)
    random.shuffle(names)
    mixed = {name: random.sample(samples[name], len(samples[name])) for name in names}
    before, after = differences_to(samples, "m0"), differences_to(mixed, "m0")
    for name, each in before.items():
        assert astuple(after[name])[:-1] == pytest.approx(astuple(each)[:-1], rel=1e-6, abs=1e-9)
    assert set(best_set(mixed).names) == set(best_set(samples).names)


@settings(max_examples=100, deadline=None)
@given(SAMPLES)
def test_intervals_and_p_values_say_the_same(samples):
    for each in differences_to(samples, "m0").values():
        assert each.p <= each.p_adjusted <= 1
        if each.se > 0:
            assert (each.p < 0.05) == (not each.low <= 0 <= each.high)
            assert (each.p_adjusted < 0.05) == (not each.simultaneous_low <= 0 <= each.simultaneous_high)
            assert each.smallest_visible > each.simultaneous_high - each.mean
        assert (each.verdict in ("above", "below")) == (each.p_adjusted < 0.05)


@settings(max_examples=60, deadline=None)
@given(SAMPLES)
def test_negation_turns_the_best_of_high_values_into_that_of_low_ones(samples):
    negated = {name: [-v for v in values] for name, values in samples.items()}
    assert best_set(negated, higher=False) == best_set(samples)
    assert best_set(samples).names


@pytest.mark.parametrize("sign", [-1, 1])
def test_variances_that_differ_by_their_last_digit_agree(sign: int) -> None:
    last = np.spacing(1.0)
    for moved in range(4):
        for by in range(1, 5):
            variances = np.ones(4)
            variances[moved] += sign * by * last
            assert agree(variances, np.full(4, 3.0)), (moved, by)
