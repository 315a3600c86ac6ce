"""Specs are plain values: they leave the process and come back as what they were."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmark.errors import UserError
from benchmark.planning.grid import Plan, make_plan, storage_of
from benchmark.planning.specs import CohortSpec, RunSpec, TeacherSpec, from_json, to_json
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.settings import Settings, parse
from benchmark.training.cohort import CohortTraining
from benchmark.training.materials import Workbench
from benchmark.training.teacher import evaluated
from tests.command import run
from tests.tiny_task import TinyNetwork

ARGUMENTS = {
    "plain": (),
    "compositions and controls": ("--baselines", "wcord+kd", "crd", "self_distillation", "random_teacher"),
    "few labels": ("--label-fraction", "0.2", "--teacher-data", "disjoint"),
    "overrides": (
        "--set", "kd.temperature=2", "recipe.milestones=[0.5, 0.75]", "recipe.warmup=0",
        "teacher_recipe.decay=0",
    ),
    "bfloat16": ("--precision", "bf16", "--teacher-seeds", "0", "3"),
    "senses": ("--tasks", "tiny_senses", "--folds", "*"),
}  # fmt: skip


def plan_of(folder: Path, registry: Registry, *arguments: str) -> tuple[Settings, Plan]:
    task = () if "--tasks" in arguments else ("--tasks", "tiny_task")
    settings = parse([*task, "--results-dir", str(folder), *arguments])
    return settings, make_plan(settings, registry)


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_a_spec_goes_through_json_and_pickle_and_back_to_the_same_id(
    arguments: tuple[str, ...], tmp_path: Path, registry: Registry
) -> None:
    _, plan = plan_of(tmp_path, registry, *arguments)
    assert plan.cohorts
    for cohort in plan.cohorts:
        for again in (from_json(to_json(cohort), CohortSpec), pickle.loads(pickle.dumps(cohort))):
            assert [run.id for run in again.runs] == [run.id for run in cohort.runs]
            assert [run.slug for run in again.runs] == [run.slug for run in cohort.runs]
            assert again.teacher.id == cohort.teacher.id
            assert again.runs[0].condition == cohort.runs[0].condition
        spec = cohort.runs[-1]
        assert from_json(to_json(spec), RunSpec).id == spec.id
        assert from_json(to_json(cohort.teacher), TeacherSpec).id == cohort.teacher.id
    ids = [run.id for cohort in plan.cohorts for run in cohort.runs]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_a_loaded_teacher_is_known_by_its_content_and_not_by_its_path(
    tmp_path: Path, registry: Registry
) -> None:
    ids = []
    torch.save(TinyNetwork(3, 6, 12).state_dict(), tmp_path / "one.pth")
    shutil.copy(tmp_path / "one.pth", tmp_path / "two.pth")
    for name in ("one.pth", "two.pth"):
        _, plan = plan_of(tmp_path, registry, "--teacher-checkpoint", str(tmp_path / name))
        spec = plan.cohorts[0].teacher
        assert from_json(to_json(spec), TeacherSpec).checkpoint == str(tmp_path / name)
        ids.append(spec.id)
    assert ids[0] == ids[1]


def test_a_loaded_teacher_may_know_all_samples_unless_it_is_said_that_it_does_not(
    tmp_path: Path, registry: Registry
) -> None:
    torch.save(TinyNetwork(3, 6, 12).state_dict(), tmp_path / "one.pth")
    few = ("--teacher-checkpoint", str(tmp_path / "one.pth"), "--label-fraction", "0.5")
    for given, expected in (((), "shared"), (("--teacher-data", "disjoint"), "disjoint")):
        _, plan = plan_of(tmp_path, registry, *few, *given)
        assert {cohort.data.split.teacher_data for cohort in plan.cohorts} == {expected}


def test_anchors_with_teachers_of_their_own_are_trained_longer_apart(
    tmp_path: Path, registry: Registry
) -> None:
    names = ("--baselines", "scratch", "scratch+self_distillation", "ab")
    _, plan = plan_of(tmp_path, registry, *names)
    runs = [run for cohort in plan.cohorts for run in cohort.runs]
    (most,) = {run.recipe.epochs + run.stage_epochs for run in runs if run.stage_epochs}
    longer = {run.baseline for run in runs if run.recipe.epochs == most}
    assert longer == {"scratch", "scratch+self_distillation"}


def test_two_names_of_one_pair_are_refused(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = registry.task("tiny_task")
    pairs = task.pairs("stripes")
    alias = {**pairs, "the_same-again": pairs["tiny_big-tiny_small"]}
    monkeypatch.setattr(type(task), "pairs", lambda self, dataset: alias)
    with pytest.raises(UserError, match="pairs tiny_big-tiny_small and the_same-again are the same networks"):
        plan_of(tmp_path, registry, "--pairs", "tiny_big-tiny_small", "the_same-again")


def test_what_is_no_spec_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a CohortSpec"):
        from_json('{"runs": 3}', CohortSpec)


def test_runs_of_different_data_make_no_cohort(tmp_path: Path, registry: Registry) -> None:
    _, plan = plan_of(tmp_path, registry, "--seeds", "0", "1")
    with pytest.raises(ValueError, match="share everything"):
        CohortSpec((plan.cohorts[0].runs[0], plan.cohorts[1].runs[0]))


def test_a_worker_trains_the_same_weights_from_the_text_of_a_spec_alone(
    tmp_path: Path, registry: Registry
) -> None:
    """What a process on another machine would do: it gets a line, its folders, the teacher's weights."""
    assert run(tmp_path, "--label-fraction", "0.5", "--device", "cpu", baselines=("wcord",)) == 0
    settings, plan = plan_of(
        tmp_path, registry, "--label-fraction", "0.5", "--baselines", "wcord", "--no-probes"
    )
    line = to_json(plan.cohorts[0])
    del plan

    cohort = from_json(line, CohortSpec)
    fabric = make_fabric("cpu", cohort.precision)
    materials = Workbench(registry, storage_of(settings)).materials(cohort)
    network = materials.teacher_network(fabric.device)
    network.load_state_dict(load_file(tmp_path / "teachers" / cohort.teacher.slug / "weights.safetensors"))
    teacher = evaluated(materials, network, fabric)
    chosen = tuple(each for each in cohort.runs if each.baseline == "wcord")
    training = CohortTraining(materials, chosen, teacher, fabric, registry)
    (outcome,) = training.train(None, lambda *_: None)
    assert outcome.learner is not None
    found = outcome.learner.finished_weights()
    expected = load_file(tmp_path / "t" / "runs" / chosen[0].slug / "weights.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
