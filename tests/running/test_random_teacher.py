"""An untrained teacher: a function of its input, and not one answer for all."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from benchmark.planning.grid import make_plan, storage_of
from benchmark.plugins import Registry
from benchmark.running.device import make_fabric
from benchmark.running.teachers import Teachers
from benchmark.settings import parse
from benchmark.training.materials import Workbench
from benchmark.training.teacher import evaluated


def test_the_softened_answers_of_a_random_teacher_differ_between_samples(
    tmp_path: Path, registry: Registry, few_shapes: None
) -> None:
    command = (
        "--tasks compression --datasets shapes --pairs resnet20-resnet8 --train-samples 500 --seeds 0"
        f" --teacher-samples 500 --baselines random_teacher --no-probes --results-dir {tmp_path}"
    )
    settings = parse(command.split())
    (cohort,) = (c for c in make_plan(settings, registry).cohorts if c.teacher.kind == "untrained")
    fabric = make_fabric("cpu", cohort.precision)
    materials = Workbench(registry, storage_of(settings)).materials(cohort)
    teachers = Teachers(tmp_path / "teachers", fabric, lambda title: None, lambda line: None, 60.0)
    teacher = teachers.get(materials)

    def spread(logits: torch.Tensor) -> float:
        return float(F.softmax(logits / 4, dim=1).std(0).max())

    answers = teacher.test_logits
    born = evaluated(materials, materials.teacher_network(fabric.device), fabric)
    untouched = born.test_logits
    assert answers.abs().max() < 100
    assert spread(answers) > 0.002  # about one in twelve, a sample more, another less
    assert len(answers.argmax(1).unique()) > 1
    assert len(untouched.argmax(1).unique()) == 1  # as it is born it has one answer for all
    again = Teachers(tmp_path / "teachers", fabric, lambda title: None, lambda line: None, 60.0).get(
        materials
    )
    assert again.checksum == teacher.checksum
