"""A cohort's runs after training: which weights are scored, and what a step has cost."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.evaluation.evaluation import Evaluation
from benchmark.planning.grid import make_plan, storage_of
from benchmark.plugins import Registry
from benchmark.records import BEST, LAST, VALIDATION
from benchmark.running.device import make_fabric
from benchmark.settings import parse
from benchmark.training.cohort import CohortTraining
from benchmark.training.loop import Position
from benchmark.training.materials import Workbench
from benchmark.training.stopwatch import Stopwatch
from tests.ranks.test_every_baseline import untrained_teacher

EPOCHS = 4


def training_of(name: str, registry: Registry, folder: Path) -> CohortTraining:
    """A run of one baseline on the tiny task, of four epochs."""
    settings = parse(
        ["--tasks", "tiny_task", "--no-probes", "--results-dir", str(folder), "--epochs", str(EPOCHS),
         "--baselines", name]
    )  # fmt: skip
    (spec,) = make_plan(settings, registry).cohorts
    materials = Workbench(registry, storage_of(settings)).materials(spec)
    answers = torch.randn(len(materials.data.test), len(materials.data.classes))
    teacher = replace(untrained_teacher(materials), test_logits=answers)
    return CohortTraining(materials, spec.runs, teacher, make_fabric("cpu", "32"), registry)


@pytest.mark.parametrize("name", ["kd", "simkd"])
@pytest.mark.parametrize(
    ("scripted", "higher"), [((0.5, 0.7, 0.7, 0.6), True), ((0.5, 0.3, 0.3, 0.4), False)]
)
def test_the_earliest_of_the_best_epochs_is_scored_with_the_weights_that_it_had(
    scripted: tuple[float, ...],
    higher: bool,
    name: str,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores: Iterator[float] = iter(scripted)
    monkeypatch.setattr(Evaluation, "validate", lambda *_: ({"top1": next(scores)}, higher))
    training = training_of(name, registry, tmp_path)
    (state,) = training.states
    tested = []
    for epoch in range(EPOCHS):
        training.advance(epoch + 1, None, lambda run, line: None)
        tested.append(training.evaluation.test(copy.deepcopy(state.learner))[0])
    last = copy.deepcopy(state.learner.state_dict())
    results = training.outcome(state).results

    assert len({scores["nll"] for scores in tested}) == EPOCHS
    assert results.best_epoch == 1
    assert {key: results.scores[BEST][key] for key in tested[1]} == tested[1]
    assert {key: results.scores[LAST][key] for key in tested[-1]} == tested[-1]
    assert results.scores[VALIDATION] == {"top1": scripted[-1]}
    after = state.learner.state_dict()
    assert [key for key in last if not torch.equal(last[key], after[key])] == []


def test_a_step_costs_what_was_measured_since_the_run_was_taken_up(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = training_of("kd", registry, tmp_path)
    training.advance(None, None, lambda run, line: None)
    training.first = Position(EPOCHS - 1, 0)
    monkeypatch.setattr(Stopwatch, "seconds", lambda self, part: 6.0)
    (state,) = training.states
    steps = training.stream.steps_per_epoch
    assert training.measurements(state).step_ms == pytest.approx(6000 / steps)
    assert training.measurements(state).total_s == pytest.approx(3 * 6 * EPOCHS)
