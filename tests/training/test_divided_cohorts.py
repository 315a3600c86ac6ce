"""Learners that would keep more in memory than --memory-gb train one part after another, to the same bits."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from benchmark.training import cohort
from benchmark.training.learner import Learner
from tests.command import run
from tests.training.test_law_of_the_cohort import Killer, weights_and_numbers

FIVE = ("scratch", "kd", "crd", "fitnet", "wcord")


class Companies:
    """The cohorts that commands train: whose runs, and bytes as they are counted and as they are at the end.

    alive   how many learners there were before each was made
    """

    def __init__(self, patch: pytest.MonkeyPatch):
        self.names: list[list[str]] = []
        self.counted: list[int] = []
        self.taken: list[int] = []
        self.alive: list[int] = []
        learners: weakref.WeakSet[Learner] = weakref.WeakSet()
        make, train = cohort.CohortTraining.__init__, cohort.CohortTraining.train

        def made(training, *arguments, **options):
            self.alive.append(len(learners))
            make(training, *arguments, **options)
            learners.update(state.learner for state in training.states)
            self.counted.append(training.bytes)
            self.names.append([training.runs[state.name].baseline for state in training.states])

        def trained(training, *arguments):
            for number, outcome in enumerate(train(training, *arguments)):
                if not number:
                    self.taken.append(sum(map(bytes_of, training.states)))
                yield outcome

        patch.setattr(cohort.CohortTraining, "__init__", made)
        patch.setattr(cohort.CohortTraining, "train", trained)


def bytes_of(state) -> int:
    """Of all tensors that a run has after its training."""
    learner = [*state.learner.parameters(), *state.learner.buffers()]
    optimiser = [x for own in state.optimizer.state.values() for name, x in own.items() if name != "step"]
    best = [] if state.best is None else state.best.weights.values()
    return sum(x.nbytes for x in (*learner, *optimiser, *best))


def gigabytes(size: float) -> str:
    return repr(size / 2**30)


@pytest.mark.parametrize("options", [(), ("--validation", "0"), ("--set", "recipe.optimizer=adamw")])
def test_what_learners_keep_is_counted_before_they_train(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    companies = Companies(monkeypatch)
    assert run(tmp_path, *options, baselines=FIVE) == 0
    assert len(companies.names) == 1
    assert companies.counted == companies.taken


def test_a_cohort_above_the_budget_is_divided_and_leaves_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    companies = Companies(monkeypatch)
    assert run(tmp_path / "whole", baselines=FIVE) == 0
    budget = gigabytes(0.6 * companies.counted[0])
    assert "--memory-gb" not in capsys.readouterr().out
    assert run(tmp_path / "divided", "--memory-gb", budget, baselines=FIVE) == 0
    whole, *parts = companies.names
    assert len(parts) == 2
    assert [name for part in parts for name in part] == whole
    assert all(counted <= 0.6 * companies.counted[0] for counted in companies.counted[1:])
    assert companies.alive[-1] == 0, "the learners of the first part are still there"
    told = " ".join(capsys.readouterr().out.split())
    assert f"{len(parts[0])} runs train now and {len(parts[1])} later" in told
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "divided")


def test_a_run_that_is_above_the_budget_by_itself_trains_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    companies = Companies(monkeypatch)
    assert run(tmp_path, "--memory-gb", "1e-9", baselines=FIVE[:3]) == 0
    assert companies.names == [["scratch"], ["kd"], ["crd"]]
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("GB in memory, more than --memory-gb 1e-09") == 3
    assert len(weights_and_numbers(tmp_path)) == 3


@pytest.mark.parametrize("at", [4, 6], ids=["in the first part", "in the second"])
def test_a_divided_cohort_that_is_killed_goes_on_to_the_same_records(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    companies = Companies(monkeypatch)
    run(tmp_path / "whole", baselines=FIVE)
    options = ("--memory-gb", gigabytes(0.6 * companies.counted[0]), "--snapshot-minutes", "0")
    with monkeypatch.context() as patch:
        Killer(patch, at)
        assert run(tmp_path / "killed", *options, baselines=FIVE) == 130
    assert run(tmp_path / "killed", *options, baselines=FIVE) == 0
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "killed")


def test_trials_of_tuning_are_not_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    companies = Companies(monkeypatch)
    assert run(tmp_path, "--memory-gb", "1e-9", "--tune", "2", baselines=("kd", "crd")) == 0
    assert len(companies.names[0]) == 4
