"""First stages: they train what they say, before the common training, and leave the common batches alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from benchmark import Distiller, Recipe, Stage, baseline
from benchmark.reporting import compare
from benchmark.reporting.identity import identity
from benchmark.training.optimizers import learning_rate
from tests.command import numbers, records, run, weights

SEEN: list[tuple[str, list[int]]] = []


def register() -> None:
    @baseline("prepares", title="Prepares")
    class Prepares(Distiller):
        needs = frozenset({"embedding"})

        def __init__(self, context, **options):
            super().__init__(context, **options)
            self.project = nn.Linear(context.student.embedding[0], context.teacher.embedding[0])
            self.untouched = nn.Parameter(torch.ones(3))

        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("hint", 0.5, self.hint, tuple(self.project.parameters()), trains_student=True),)

        def hint(self, teacher, student, batch, progress):
            SEEN.append(("prelude", batch["index"].tolist()))
            assert progress.epochs in (1, 2)  # of two epochs and of four
            return {"hint": (self.project(student.embedding) - teacher.embedding).square().mean()}

        def forward(self, teacher, student, batch, progress):
            SEEN.append(("training", batch["index"].tolist()))
            return {}


def test_a_first_stage_takes_its_share_of_the_epochs_on_batches_of_its_own(tmp_path: Path) -> None:
    SEEN.clear()
    register()
    assert run(tmp_path, baselines=("prepares", "kd")) == 0
    stages = [stage for stage, _ in SEEN]
    assert stages == ["prelude"] * 6 + ["training"] * 12
    assert SEEN[0][1] != SEEN[6][1]
    run(tmp_path / "alone", baselines=("kd",))
    alone, together = records(tmp_path / "alone"), records(tmp_path)
    for slug, record in alone.items():
        assert numbers(together[slug]) == numbers(record)


def test_gradients_of_what_a_first_stage_does_not_train_are_gone_after_it(
    tmp_path: Path,
) -> None:
    left = []

    @baseline("reaches", title="Reaches the student")
    class Reaches(Distiller):
        needs = frozenset({"embedding"})

        def __init__(self, context, **options):
            super().__init__(context, **options)
            self.project = nn.Linear(context.student.embedding[0], context.teacher.embedding[0])

        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("hint", 0.5, self.hint, tuple(self.project.parameters())),)

        def hint(self, teacher, student, batch, progress):
            loss = (self.project(student.embedding) - teacher.embedding).square().mean()
            student.embedding.register_hook(lambda gradient: left.append(bool(gradient.any())))
            return {"hint": loss}

        def forward(self, teacher, student, batch, progress):
            return {}

    assert run(tmp_path / "beside", baselines=("reaches", "scratch")) == 0
    assert any(left), "its loss has gradients to the student"
    reaches, scratch = (
        {
            name: x
            for name, x in weights(tmp_path / "beside", slug).items()
            if name.endswith(("weight", "bias"))
        }
        for slug, record in sorted(records(tmp_path / "beside").items())
        if record.condition.epochs == 2
    )
    for name, value in scratch.items():
        assert torch.equal(reaches[name], value), "the student is that of scratch"


def test_a_first_stage_that_fails_ends_its_run_only(tmp_path: Path) -> None:
    @baseline("stumbles", title="Stumbles")
    class Stumbles(Distiller):
        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("first", 0.5, self.explode, trains_student=True),)

        def explode(self, teacher, student, batch, progress):
            return {"explode": student.embedding.sum() * float("nan")}

    assert run(tmp_path, baselines=("stumbles", "kd")) == 0
    status = {record.run.baseline: record.status for record in records(tmp_path).values()}
    assert status == {"stumbles": "diverged", "kd": "finished"}


def test_a_first_stage_that_the_plan_was_not_told_of_fails_and_names_the_remedy(tmp_path: Path) -> None:
    @baseline("silent", title="Silent")
    class Silent(Distiller):
        def first_stages(self):
            return (Stage("first", 0.5, lambda *_: {}, trains_student=True),)

    assert run(tmp_path, baselines=("silent", "kd")) == 1
    reasons = {record.run.baseline: record.reason for record in records(tmp_path).values()}
    assert "stage_shares() must tell them beforehand" in reasons["silent"]


def test_a_first_stage_has_a_rate_of_its_own(tmp_path: Path) -> None:
    """With a rate of 0 afterwards, ten times the rate moves its weights ten times as far."""
    register()
    weights = {}
    for rate in (0, 1e-4, 1e-3):
        still = ["recipe.learning_rate=0", "recipe.momentum=0", "recipe.weight_decay=0"]
        options = ("--epochs", "1", "--set", *still, f"recipe.first_stage_rate={rate}")
        assert run(tmp_path / str(rate), *options, baselines=("prepares",)) == 0
        (folder,) = records(tmp_path / str(rate))
        file = tmp_path / str(rate) / "t" / "runs" / folder / "weights.safetensors"
        weights[rate] = load_file(file)["distiller.project.weight"]
    moved = [(weights[rate] - weights[0]).norm() for rate in (1e-4, 1e-3)]
    assert moved[0] > 0
    assert float(moved[1] / moved[0]) == pytest.approx(10, rel=0.1)


def test_baselines_with_first_stages_stand_beside_an_anchor_of_as_many_updates(tmp_path: Path) -> None:
    register()
    assert run(tmp_path, "--epochs", "4", baselines=("scratch", "prepares", "kd")) == 0
    found = {(r.run.baseline, r.condition.epochs): r for r in records(tmp_path).values()}
    assert sorted(found) == [("kd", 4), ("prepares", 4), ("scratch", 4), ("scratch", 6)]
    updates = {key: record.condition.updates for key, record in found.items()}
    assert updates["prepares", 4] == updates["scratch", 6] == 6 * updates["kd", 4] / 4
    kin = {key: identity(record).comparison for key, record in found.items()}
    assert kin["prepares", 4] == kin["scratch", 6] != kin["scratch", 4] == kin["kd", 4]
    frame = compare(tmp_path / "t")
    assert set(frame["baseline"]) == {"prepares", "kd"}
    assert set(frame["n"]) == {1}


def test_few_labels_and_all_of_them_make_as_many_updates(tmp_path: Path) -> None:
    assert run(tmp_path, "--label-fraction", "0.25", baselines=("scratch", "kd")) == 0
    found = {(r.run.baseline, r.condition.label_fraction): r for r in records(tmp_path).values()}
    assert {("scratch", 1.0), ("scratch", 0.25)} <= found.keys()
    assert len({record.condition.updates for record in found.values()}) == 1
    about = found["kd", 0.25].about
    assert found["scratch", 1.0].about.num_labelled == about.num_train
    assert about.num_labelled == pytest.approx(0.25 * about.num_train, abs=2)


@pytest.mark.parametrize("by_recipe", [False, True])
def test_a_first_stage_keeps_one_rate_unless_it_goes_by_the_recipe(
    by_recipe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @baseline("paced", title="Paced")
    class Paced(Distiller):
        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("first", 0.5, self.first, trains_student=True, by_recipe=by_recipe),)

        def first(self, teacher, student, batch, progress):
            return {"first": student.embedding.square().mean()}

    rates: list[float] = []

    def noted(recipe: Recipe, step: int, steps: int) -> float:
        rates.append(learning_rate(recipe, step, steps))
        return rates[-1]

    monkeypatch.setattr("benchmark.training.run_state.learning_rate", noted)
    settings = ("recipe.learning_rate=0.04", "recipe.warmup=0.5", "recipe.schedule=cosine")
    assert run(tmp_path, "--epochs", "2", "--set", *settings, baselines=("paced",)) == 0
    recipe = Recipe(2, learning_rate=0.04, warmup=0.5, schedule="cosine")
    whole = [learning_rate(recipe, step, 12) for step in range(12)]
    stage = [learning_rate(recipe, step, 6) for step in range(6)] if by_recipe else [0.04] * 6
    (first,) = (place for place in range(len(rates)) if rates[place : place + 18] == stage + whole)
    assert first >= 0


def test_a_first_stage_that_trains_the_student_leaves_its_classifier_alone(tmp_path: Path) -> None:
    @baseline("hinted", title="Hinted")
    class Hinted(Distiller):
        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5,)

        def first_stages(self):
            return (Stage("first", 0.5, self.first, trains_student=True),)

        def first(self, teacher, student, batch, progress):
            return {"first": student.logits.square().mean()}

    still = ("recipe.learning_rate=0", "recipe.first_stage_rate=0.01")
    assert run(tmp_path, "--epochs", "1", "--set", *still, baselines=("scratch", "hinted")) == 0
    found = {
        record.run.baseline: load_file(tmp_path / "t" / "runs" / slug / "weights.safetensors")
        for slug, record in records(tmp_path).items()
        if record.condition.epochs == 1
    }
    untrained, hinted = found["scratch"], found["hinted"]
    moved = {name for name, value in untrained.items() if not torch.equal(value, hinted[name])}
    assert {"network.stem.weight", "network.deep.weight"} <= moved
    assert not {"network.classifier.weight", "network.classifier.bias"} & moved
