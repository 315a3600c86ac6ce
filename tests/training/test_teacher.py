"""A teacher that is ready: what its scores are of."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.evaluation.evaluation import Evaluation
from benchmark.planning.grid import make_plan, storage_of
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.settings import parse
from benchmark.training.materials import Workbench
from benchmark.training.teacher import evaluated


def test_its_scores_of_training_are_of_its_own_samples(registry: Registry, tmp_path: Path) -> None:
    settings = parse(
        ["--tasks", "tiny_task", "--no-probes", "--results-dir", str(tmp_path), "--teacher-data", "disjoint"]
    )
    (spec,) = make_plan(settings, registry).cohorts
    materials = Workbench(registry, storage_of(settings)).materials(spec)
    fabric = make_fabric("cpu", "32")
    network = materials.teacher_network(torch.device("cpu"))
    for each in network.parameters():  # as it is born it answers everything with one class
        torch.nn.init.normal_(each)
    evaluation = Evaluation(materials.data, materials.validation, materials.metrics, fabric, {})

    teacher = evaluated(materials, network, fabric)

    own, students = (
        evaluation.training_scores(network, materials.data.train.subset(part))
        for part in (materials.splits.teacher, materials.splits.train)
    )
    assert teacher.train == own != students
    assert teacher.test == evaluation.test(network)[0]
    assert not any(each.requires_grad for each in network.parameters())
    assert not network.training
