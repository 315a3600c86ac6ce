"""A teacher whose input never changes is asked once, and everybody learns what they would learn otherwise."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import Data, Pair, Recipe, Samples
from benchmark.catalogue.estimate import estimate
from benchmark.data.batches import TrainStream, in_order
from benchmark.models import build
from benchmark.planning.grid import make_plan, storage_of
from benchmark.plugins import Registry
from benchmark.ranks import WHOLE
from benchmark.ranks.several import Several
from benchmark.running.device import make_fabric
from benchmark.settings import Settings, parse
from benchmark.training import remembered
from benchmark.training.cohort import CohortTraining
from benchmark.training.loop import START, Position
from benchmark.training.materials import Workbench
from benchmark.training.remembered import Remembered
from benchmark.training.teacher import Teacher
from tests.data.test_feed import on_disk
from tests.ranks.processes import in_ranks
from tests.ranks.test_every_baseline import alike, untrained_teacher
from tests.tiny_task import TinySenses, sensed_data

CPU = torch.device("cpu")
NAMES = ("scratch", "kd", "ft", "crd", "wcord")
"""One has a first stage."""


def stream_of(*modalities: str) -> TrainStream:
    data = sensed_data("senses")
    every = torch.ones(len(data.train), dtype=torch.bool)
    return TrainStream(data, data.train, every, 16, 0, CPU, modalities)


def test_what_nothing_crops_is_still() -> None:
    stream = stream_of("rgb", "volume", "signal")
    assert stream.still(["signal"])
    assert not stream.still(["signal", "volume"])
    assert not stream.still(["rgb"])


def test_what_is_flipped_or_read_from_disk_is_not_still() -> None:
    data = replace(sensed_data("senses"), pad=0)
    every = torch.ones(len(data.train), dtype=torch.bool)

    def still(data: Data, samples: Samples) -> bool:
        return TrainStream(data, samples, every, 16, 0, CPU, ("rgb",)).still(["rgb"])

    assert still(data, data.train)
    assert not still(replace(data, flip=True), data.train)
    assert not still(data, on_disk(data.train, 0))


@pytest.mark.parametrize("most", [2**20, 100], ids=["kept", "too large"])
@torch.no_grad()
def test_a_sample_is_shown_once_and_as_the_network_shows_it(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MOST", most)
    network = build("conv1d_4", [(2, 8)], 6, ("signal",)).eval()
    data, same, asked = sensed_data("senses"), copy.deepcopy(network), []
    network.register_forward_hook(lambda module, inputs, shown: asked.append(len(shown.logits)))
    taught = Remembered(network, lambda: in_order(data, data.train, ["signal"], CPU, 16), len(data.train))
    stream = stream_of("signal")
    for epoch in range(2):
        for batch in stream.epoch(epoch):
            ours = taught(batch)
            assert all(map(torch.equal, ours.map(lambda x: x).tensors(), same(batch).tensors()))
            assert ours.classify is network.head
    once, twice = len(data.train), 2 * 16 * stream.steps_per_epoch
    assert sum(asked) == (once if most > 100 else 16 + twice)


@torch.no_grad()
def test_what_is_no_known_sample_is_shown_as_it_is() -> None:
    """A second view of a sample that is remembered."""
    network = build("conv1d_4", [(2, 8)], 6, ("signal",)).eval()
    data = sensed_data("senses")
    taught = Remembered(network, lambda: in_order(data, data.train, ["signal"], CPU, 16), len(data.train))
    batch = next(stream_of("signal").epoch(0))
    taught(batch)
    second = {"signal": -batch["signal"]}
    assert taught(second).logits.equal(network(second).logits)


def test_ranks_see_the_whole_batch(tmp_path: Path) -> None:
    network, data = build("conv1d_4", [(2, 8)], 6, ("signal",)).eval(), sensed_data("senses")

    @torch.no_grad()
    def work(ranks: Several) -> list[bool]:
        taught = Remembered(network, lambda: in_order(data, data.train, ["signal"], CPU), len(data.train))
        own, whole = (next(iter(stream_of("signal").steps(0, 0, share))) for share in (ranks.share, WHOLE))
        seen = ranks.shown(taught(own.batch), 16)
        return [*map(torch.equal, seen.map(lambda x: x).tensors(), network(whole.batch).tensors())]

    for answers in in_ranks(tmp_path, work):
        assert len(answers) > 2
        assert all(answers)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a pair whose teacher sees a signal alone."""
    recipe = Recipe(epochs=3, batch_size=16, learning_rate=0.05)
    pair = Pair("conv1d_8", "conv1d_4", recipe, recipe, ("signal",), ("signal",))
    monkeypatch.setattr(TinySenses, "pairs", lambda task, dataset: {"signal-signal": pair})
    return parse(
        ["--tasks", "tiny_senses", "--datasets", "senses", "--no-probes", "--results-dir", str(tmp_path),
         "--baselines", *NAMES]
    )  # fmt: skip


@pytest.fixture
def cohort(settings: Settings, registry: Registry):
    """Makes trainings of that pair."""
    spec = make_plan(settings, registry).cohorts[0]  # the others have other teachers
    materials = Workbench(registry, storage_of(settings)).materials(spec)
    teacher: Teacher = untrained_teacher(materials)

    def make(names: tuple[str, ...] = NAMES, first: Position = START, snapshots=None) -> CohortTraining:
        runs = tuple(run for run in spec.runs if run.baseline in names)
        return CohortTraining(materials, runs, teacher, make_fabric("cpu", "32"), registry, first, snapshots)

    return make


def advanced(training: CohortTraining, until: int | None = None) -> dict[str, object]:
    training.advance(until, None, lambda run, epoch: None)
    assert {state.status for state in training.states} == {"training" if until else "finished"}
    return {
        state.name: copy.deepcopy(state.snapshot()) | {"first_stages_s": 0.0} for state in training.states
    }


def test_a_cohort_learns_the_same_with_and_without_alone_and_after_a_pause(
    cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = cohort()
    assert isinstance(training.taught, Remembered)
    whole = advanced(training)
    assert alike(advanced(cohort(("wcord",)))["wcord"], whole["wcord"])
    assert alike(advanced(cohort(first=Position(1, 0), snapshots=advanced(cohort(), 1))), whole)
    monkeypatch.setattr(remembered, "MOST", 0)
    assert alike(advanced(cohort()), whole)


def test_an_estimate_counts_its_training(settings: Settings, registry: Registry) -> None:
    settings = replace(settings, teacher_epochs=10**5)
    cohorts = make_plan(settings, registry).cohorts[:1]
    pending = {id(cohort): {run.name for run in cohort.runs} for cohort in cohorts}
    first, *_ = estimate(cohorts, pending, settings, registry, print)
    assert re.search(r" (h|min)\b.* of it the teachers'$", first)
