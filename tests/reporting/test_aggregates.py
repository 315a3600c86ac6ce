"""Aggregates over tasks and the bootstrap over groups, against slow arithmetic."""

import numpy as np
import pytest
from scipy import stats

from benchmark.reporting.statistics.aggregates import (
    grouped_bootstrap_intervals,
    improvement,
    interquartile_mean,
    performance_profile,
)
from benchmark.reporting.statistics.spread import probability_of_improvement

TASKS = [[0.1, 0.3, 0.2], [0.8, 0.9, 1.1, 0.7], [0.5, 0.4, 0.6]]
OTHERS = [[0.2, 0.3, 0.1], [0.6, 0.9], [0.1, 0.2, 0.3]]


def copies(tasks, weights):
    """The runs of all tasks, each so often that a task counts by its weight."""
    return [value for task, weight in zip(tasks, weights, strict=True) for value in task
            for _ in range(12 * weight // len(task))]  # fmt: skip


def test_the_interquartile_mean_is_that_of_the_middle_half_of_all_runs():
    even = [[0.1, 0.3, 0.2, 0.9], [0.8, 0.9, 1.1, 0.7], [0.5, 0.4, 0.6, -3.0]]
    assert interquartile_mean(even).value == pytest.approx(stats.trim_mean(np.ravel(even), 0.25))
    aggregate = interquartile_mean(TASKS)
    assert aggregate.value == pytest.approx(stats.trim_mean(copies(TASKS, [1, 1, 1]), 0.25))
    assert aggregate.low < aggregate.value < aggregate.high


def test_a_task_counts_by_its_weight_however_many_strata_it_has():
    weighted = interquartile_mean(TASKS, [1, 3, 2]).value
    assert weighted == pytest.approx(stats.trim_mean(copies(TASKS, [1, 3, 2]), 0.25))
    assert weighted != pytest.approx(float(interquartile_mean(TASKS).value))
    twice, halves = [*TASKS, TASKS[0], TASKS[0]], [1 / 3, 1, 1, 1 / 3, 1 / 3]
    for of in (interquartile_mean, lambda runs, w: performance_profile(runs, [0.25, 0.65], w)):
        assert of(twice, halves).value == pytest.approx(of(TASKS, None).value)
    others = [*OTHERS, OTHERS[0], OTHERS[0]]
    assert improvement(twice, others, halves).value == pytest.approx(improvement(TASKS, OTHERS).value)


def test_seeds_are_drawn_within_each_task():
    """Tasks far apart whose runs do not vary leave nothing to draw."""
    aggregate = interquartile_mean([[0.0] * 4, [100.0] * 4])
    assert aggregate.low == aggregate.high == aggregate.value


def test_a_profile_is_the_mean_over_tasks_of_the_share_above_each_threshold():
    profile = performance_profile(TASKS, [0.25, 0.65, 2.0])
    slow = [np.mean([np.mean([v > tau for v in task]) for task in TASKS]) for tau in (0.25, 0.65, 2.0)]
    assert profile.value == pytest.approx(slow)
    assert (profile.low <= profile.value).all()
    assert (profile.value <= profile.high).all()
    assert profile.high.shape == (3,)


def test_a_run_at_a_threshold_is_not_above_it():
    """A run that diverged scores 0, and so is none of the share above 0."""
    profile = performance_profile([[0.0, 0.5, 0.5, 1.0]], [0.0, 0.5, 1.0])
    assert profile.value == pytest.approx([0.75, 0.25, 0.0])


def test_improvement_is_the_mean_of_the_tasks_probabilities():
    chance = improvement(TASKS, OTHERS)
    slow = np.mean([probability_of_improvement(a, b) for a, b in zip(TASKS, OTHERS, strict=True)])
    assert chance.value == pytest.approx(slow)
    assert chance.low <= chance.value <= chance.high
    assert improvement(OTHERS, TASKS).value == pytest.approx(1 - slow)


def test_the_interval_agrees_with_draws_made_one_by_one():
    aggregate = interquartile_mean(TASKS, draws=4000)
    draw = np.random.default_rng(9)
    slow = []
    for _ in range(4000):
        drawn = [draw.choice(task, len(task)) for task in TASKS]
        slow.append(stats.trim_mean(copies(drawn, [1, 1, 1]), 0.25))
    assert (aggregate.low, aggregate.high) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.02)


def test_aggregates_are_the_same_for_the_same_seed_and_differ_for_another():
    one, same, other = (interquartile_mean(TASKS, draws=200, seed=seed) for seed in (1, 1, 2))
    assert (one.low, one.high) == (same.low, same.high) != (other.low, other.high)


@pytest.mark.parametrize("runs", [[], [[1.0], []]])
def test_a_task_without_runs_is_refused(runs):
    with pytest.raises(ValueError, match="at least one"):
        interquartile_mean(runs)


@pytest.mark.parametrize(("seeds", "low", "high"), [(3, 0.74, 0.9), (5, 0.82, 0.95), (8, 0.88, 0.98)])
def test_the_bootstrap_covers_the_true_mean_as_often_as_captions_say(seeds, low, high):
    """95 % in theory; a percentile interval is short: 82 % at three seeds, 89 at five, 93 at eight or so."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        aggregate = interquartile_mean(draw.normal(size=(6, seeds)), draws=300)
        held += aggregate.low <= 0 <= aggregate.high
    assert low <= held / 300 <= high


# --- groups of samples ---


def grouped_differences(seeds=4, groups=12, each=50, between=0.2, seed=0):
    """[S, N] and [N]: samples of one group share most of their difference."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(groups), each)
    shared = between * draw.normal(size=groups)[labels]
    return shared + 0.1 * draw.normal(size=(seeds, groups * each)), labels


def test_an_interval_over_groups_is_wider_than_over_samples():
    differences, labels = grouped_differences()
    wide = grouped_bootstrap_intervals({"a": differences}, labels)["a"]
    narrow = grouped_bootstrap_intervals({"a": differences})["a"]
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_groups_of_different_size_agree_with_draws_made_one_by_one():
    draw = np.random.default_rng(3)
    labels = np.repeat(["x", "y", "z", "w", "v"], [1, 10, 30, 5, 20])
    differences = draw.normal(size=(3, 66)) + (labels == "z") * 2.0
    names, slow = np.unique(labels), []
    for _ in range(4000):
        held = np.concatenate([np.flatnonzero(labels == name) for name in draw.choice(names, 5)])
        slow.append(differences[draw.integers(3, size=3)][:, held].mean())
    ours = grouped_bootstrap_intervals({"a": differences}, labels, draws=4000)["a"]
    assert ours == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.08)


def test_the_interval_over_groups_covers_new_groups():
    held = 0
    for seed in range(200):
        differences, labels = grouped_differences(groups=20, each=10, seed=seed)
        low, high = grouped_bootstrap_intervals({"a": differences}, labels, draws=300, seed=seed)["a"]
        held += low <= 0 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_one_group_has_no_interval_and_labels_must_fit():
    differences = np.ones((3, 4))
    assert np.isnan(grouped_bootstrap_intervals({"a": differences}, np.zeros(4))["a"]).all()
    with pytest.raises(ValueError, match="3 group labels for 4 samples"):
        grouped_bootstrap_intervals({"a": differences}, np.zeros(3))
