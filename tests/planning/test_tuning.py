"""What is searched, the same for every baseline, and how a choice is made."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import Choice, Distiller, Range, Recipe, UserError, baseline, plugins
from benchmark.planning.grid import make_plan
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.planning.tuning import (
    RATE,
    RATE_FACTOR,
    Contestant,
    choose,
    configurations,
    ranking,
    rungs,
    search_space,
    survivors,
    tuning_key,
)
from benchmark.records import About, Condition, Metric, Record, Results, Run, Trial
from benchmark.settings import parse

RECIPE = Recipe(epochs=8, learning_rate=0.05)
REGISTRY = plugins.load()
NAMES = (*REGISTRY.headline, "ab", "ft", "kdsvd", "crd+kd")


def resolved(name: str) -> dict:
    return resolve_hyperparameters(REGISTRY.parts(name), {}, {})


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_gets_as_many_configurations_the_default_first(name: str) -> None:
    defaults = resolved(name)
    space = search_space(REGISTRY.parts(name), defaults, RECIPE, ())
    found = configurations(space, defaults, 8)
    assert len(found) == 8
    assert defaults | found[0] == defaults
    assert configurations(space, defaults, 8) == found
    assert configurations(space, defaults, 12)[:8] == found
    for values in found[1:]:
        assert values.keys() == space.keys()
        for key, value in values.items():
            search = space[key]
            if isinstance(search, Choice):
                assert value in search.values
            else:
                assert search.low * 0.999 <= value <= search.high * 1.001
                assert type(value) is (int if isinstance(defaults.get(key), int) else float)


def test_learning_rates_are_the_same_for_every_baseline_and_spread_over_the_range() -> None:
    rates = set()
    for name in NAMES:
        defaults = resolved(name)
        space = search_space(REGISTRY.parts(name), defaults, RECIPE, ())
        rates.add(tuple(values[RATE] for values in configurations(space, defaults, 9)[1:]))
    (found,) = rates
    places = sorted(math.log(rate / (0.05 / RATE_FACTOR)) / math.log(RATE_FACTOR**2) for rate in found)
    for number, place in enumerate(places):  # one in each eighth
        assert number / 8 - 0.01 <= place <= (number + 1) / 8 + 0.01


def test_a_learning_rate_that_is_published_for_a_baseline_is_the_middle_of_its_range() -> None:
    space = search_space(REGISTRY.parts("kd"), resolved("kd") | {RATE: 0.2}, RECIPE, ())
    assert space[RATE] == Range(0.2 / RATE_FACTOR, 0.2 * RATE_FACTOR, log=True)


@pytest.mark.parametrize("name", sorted(REGISTRY.baselines))
def test_no_form_of_a_method_is_searched_for_another(name: str) -> None:
    """A tuned row of KD is KD: whether logits are standardised, say, is no number to be tuned."""
    defaults = resolved(name)
    found = configurations(search_space(REGISTRY.parts(name), defaults, RECIPE, ()), defaults, 8)
    forms = {key for key, value in defaults.items() if isinstance(value, bool | str)}
    assert all(values.get(key, defaults[key]) == defaults[key] for values in found for key in forms)


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("ab", "share"),
        ("ft", "share"),
        ("fsp", "share"),
        ("supervision_transfer", "share"),
        ("fitnet", "stages"),
        ("ab+kd", "ab.share"),
    ],
)
def test_what_changes_the_number_of_updates_is_not_searched(name: str, work: str) -> None:
    defaults = resolved(name)
    space = search_space(REGISTRY.parts(name), defaults, RECIPE, ())
    assert work in defaults
    assert work not in space
    assert any("weight" in key for key in space)


def test_what_the_user_has_set_is_not_searched() -> None:
    space = search_space(REGISTRY.parts("kd"), resolved("kd"), RECIPE, {"temperature": 2.0})
    assert "temperature" not in space
    assert "weight" in space


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, []), (2, [1]), (4, [1, 2]), (20, [5, 10]), (60, [15, 30])]
)
def test_rungs_stand_at_a_quarter_and_a_half(epochs: int, expected: list[int]) -> None:
    assert rungs(epochs) == expected


@pytest.mark.parametrize("epochs", [4, 20, 40, 60, 240])
@pytest.mark.parametrize("count", [4, 8, 16, 32])
def test_halving_costs_at_most_six_tenths_of_training_everything(epochs: int, count: int) -> None:
    """Epochs of all trials, as the engine keeps half of them at each rung, against count * epochs."""
    going, last, spent = count, 0, 0
    for rung, halt in enumerate((*rungs(epochs), epochs), start=1):
        spent += going * (halt - last)
        going, last = math.ceil(count / 2**rung), halt
    assert spent / (count * epochs) <= 0.6


SCORES = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=12)


@given(SCORES, st.integers(1, 6), st.booleans())
@settings(max_examples=200, deadline=None)
def test_survivors_are_never_worse_than_those_that_are_stopped(
    scores: list[float | None], count: int, higher: bool
) -> None:
    contestants = [Contestant(number, score) for number, score in enumerate(scores)]
    going = survivors(contestants, count, higher)
    known = [each for each in contestants if each.score is not None]
    assert len(going) == min(count, len(known))
    assert all(contestants[number].score is not None for number in going)
    sign = 1 if higher else -1
    for stays in going:
        for each in known:
            if each.number not in going:
                ours, theirs = sign * contestants[stays].score, sign * each.score  # pyright: ignore
                assert ours > theirs or (ours == theirs and stays < each.number)


def test_a_score_that_is_no_number_ranks_nowhere() -> None:
    contestants = [Contestant(0, math.nan), Contestant(1, None), Contestant(2, 0.1)]
    assert [each.number for each in ranking(contestants, True)] == [2]


def trial(number: int, score: float | None, status: str = "finished", direction: str = "max") -> Record:
    return Record(
        id=str(number),
        run=Run("t", "d", "p", "kd", 1000),
        condition=Condition(tuning="trial"),
        status=status,  # pyright: ignore[reportArgumentType]
        about=About(num_validation=50),
        metrics={"score": Metric("Score", "score", direction, primary=True)},  # pyright: ignore
        results=Results(scores={} if score is None else {"validation@last": {"score": score}}),
        trial=Trial(number, (score,)),
    )


def test_the_best_that_got_to_the_end_is_chosen_and_its_cost_is_that_of_all() -> None:
    trials = [trial(0, 0.5), trial(1, 0.9, "stopped"), trial(2, 0.6), trial(3, None, "diverged")]
    trials = [
        dataclasses.replace(each, measurements=dataclasses.replace(each.measurements, total_s=2.0))
        for each in trials
    ]
    found = choose(trials)
    assert found is not None
    assert (found.number, found.trials, found.score, found.default_score) == (2, 4, 0.6, 0.5)
    assert (found.num_validation, found.seconds) == (50, 8.0)


def test_of_equals_the_default_is_chosen_and_less_is_better_where_the_metric_says_so() -> None:
    assert choose([trial(1, 0.5), trial(0, 0.5)]).number == 0  # pyright: ignore
    assert choose([trial(0, 0.5, direction="min"), trial(1, 0.4, direction="min")]).number == 1  # pyright: ignore


def test_nothing_is_chosen_where_no_trial_got_to_the_end() -> None:
    assert choose([trial(0, None, "diverged"), trial(1, 0.5, "stopped")]) is None


def test_a_range_of_whole_numbers_gives_whole_numbers() -> None:
    found = configurations({"size": Range(8, 512, log=True)}, {"size": 64}, 6)
    assert [type(values["size"]) for values in found] == [int] * 6
    assert len({values["size"] for values in found}) == 6


def test_a_range_whose_default_is_written_as_a_whole_number_gives_numbers_all_the_same(
    tmp_path: Path, registry: plugins.Registry
) -> None:
    @baseline("small_weight", title="Small weight")
    class SmallWeight(Distiller):
        def __init__(self, context, *, weight: Annotated[float, Range(0.01, 1.0, log=True)] = 1, **other):
            super().__init__(context, **other)

    words = ["--tasks", "tiny_task", "--baselines", "small_weight", "--tune", "6"]
    plan = make_plan(parse([*words, "--results-dir", str(tmp_path)]), registry)
    default, *others = (run.hyperparameters["weight"] for run in plan.tuning[0].runs)
    assert default == 1
    assert type(default) is int, "the trial of the default is another run than the default"
    assert all(0.01 <= weight <= 1 for weight in others), others
    assert len(set(others)) == 5


def test_a_choice_is_for_every_seed_and_split_and_for_the_longer_anchors_too(
    tmp_path: Path, registry: plugins.Registry
) -> None:
    words = ["--tasks", "tiny_task", "--baselines", "scratch", "ab", "--tune", "2", "--epochs", "4"]
    seeds = [word for name in ("seeds", "split-seeds", "teacher-seeds") for word in (f"--{name}", "0", "1")]
    plan = make_plan(parse([*words, *seeds, "--results-dir", str(tmp_path)]), registry)
    runs = [run for cohort in plan.cohorts for run in cohort.runs]
    assert {run.data.split.split_seed for run in runs} == {0, 1}
    assert len({run.recipe.epochs for run in runs if run.baseline == "scratch"}) == 2
    chosen = {tuning_key(run): run.baseline for cohort in plan.tuning for run in cohort.runs}
    assert sorted(chosen.values()) == ["ab", "scratch"]
    for run in runs:
        assert chosen.get(tuning_key(run)) == run.baseline, run.slug


def test_search_of_nothing_is_refused_by_settings() -> None:
    from benchmark.settings import Settings

    for count in (1, -2):
        with pytest.raises(UserError, match="--tune"):
            Settings(tune=count).check()
