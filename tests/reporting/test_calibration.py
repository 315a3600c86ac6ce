"""The error rates that the tests promise, found by simulation; tolerances are of the number of repeats.

`python -m benchmark.reporting.statistics.calibration` has the same with 10,000 repeats for each setting.
"""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from benchmark.reporting.statistics import calibration
from benchmark.reporting.statistics.calibration import Setting, settings, simulate
from benchmark.reporting.statistics.inference import best_set

TENFOLD = [s for s in settings() if "sd x 10" not in s.name]
REPEATS = 160


def most(share: float, repeats: int) -> float:
    """What a true share stays below with a chance of 99.95 %: forty tests, one false alarm in fifty runs."""
    return stats.binom.ppf(0.9995, repeats, share) / repeats


@pytest.mark.parametrize("setting", TENFOLD, ids=lambda s: f"{s.name}, {s.seeds}")
def test_families_of_equal_means_are_called_different_in_one_of_twenty(setting):
    outcome = simulate(setting, REPEATS, seed=1)
    assert outcome.family_error <= most(0.05, REPEATS)
    assert 1 - outcome.simultaneous <= most(0.05, REPEATS)
    # A repeat's methods share the reference: on average over methods as uncertain as one of them.
    assert 1 - outcome.coverage <= most(0.07, REPEATS)
    assert outcome.best_in_set >= 1 - most(0.05, REPEATS // calibration.EVERY)


def test_a_rule_that_is_wrong_would_be_seen(monkeypatch):
    """Pooling whatever the variances are is wrong in a fifth of families where the reference's is large."""
    monkeypatch.setattr("benchmark.reporting.statistics.variances.AGREE_ABOVE", 0.0)
    large = next(s for s in TENFOLD if s.name == "reference large")
    assert simulate(large, REPEATS, seed=1).family_error > most(0.05, REPEATS)


def test_intervals_of_equal_methods_are_not_needlessly_wide():
    equal = Setting("equal", (1.0,) * 9, (5,))
    assert 0.93 <= simulate(equal, 500, seed=2).coverage <= 0.97


@pytest.mark.parametrize("seeds", [3, 5])
def test_more_is_found_than_by_paired_t_tests_and_holm(seeds):
    equal = Setting("equal", (1.0,) * 9, (seeds,))
    outcome = simulate(equal, 400, seed=3)
    assert outcome.power[1] > outcome.power_holm[1] + 0.1
    assert outcome.power[2] >= outcome.power_holm[2]


@pytest.mark.parametrize("seeds", [3, 5])
def test_of_eight_equal_methods_a_winner_is_marked_in_one_of_twenty_at_most(seeds):
    draw = np.random.default_rng(seeds)
    marked = 0
    for _ in range(200):
        marked += best_set({f"m{k}": draw.normal(size=seeds) for k in range(8)}).winner is not None
    assert marked / 200 <= most(0.05, 200)


def test_of_two_equal_methods_a_winner_is_marked_in_one_of_twenty_at_most():
    """The bound is reached with two: both sides at 2.5 %."""
    draw, marked = np.random.default_rng(0), 0
    for _ in range(1000):
        marked += best_set({name: draw.normal(size=5) for name in "ab"}).winner is not None
    assert 0.02 <= marked / 1000 <= most(0.05, 1000)


def test_a_simulation_is_the_same_for_the_same_seed():
    setting = Setting("equal", (1.0, 1.0, 1.0), (3,))
    assert simulate(setting, 30, seed=4) == simulate(setting, 30, seed=4)
    assert simulate(setting, 30, seed=4) != simulate(setting, 30, seed=5)


def test_the_table_has_a_line_for_each_setting(monkeypatch, capsys):
    monkeypatch.setattr(calibration, "settings", lambda: [Setting("equal", (1.0,) * 3, (3, 5))])
    assert calibration.main(["10"]) == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (line["setting"], line["seeds"], line["repeats"]) == ("equal", "3/5", "10")
    assert line.keys() == {"setting", "seeds", "repeats", *vars(simulate(Setting("one", (1.0,) * 3), 10))}


@pytest.mark.parametrize("arguments", [["x"], ["0"], ["-3"], ["1.5"], ["10", "20"], ["--help"], [""]])
def test_what_is_no_number_of_repeats_is_refused_in_one_line(arguments, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "settings", lambda: pytest.fail("it began"))
    assert calibration.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark.reporting.statistics.calibration: ")
    assert "whole number" in line
