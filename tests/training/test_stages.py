"""First stages: they train what they say, before the common training, and leave the common batches alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from benchmark import Distiller, Stage, baseline
from tests.command import numbers, records, run

SEEN: list[tuple[str, list[int]]] = []


def register() -> None:
    @baseline("prepares", title="Prepares")
    class Prepares(Distiller):
        needs = frozenset({"embedding"})

        def __init__(self, context, **options):
            super().__init__(context, **options)
            self.project = nn.Linear(context.student.embedding[0], context.teacher.embedding[0])
            self.untouched = nn.Parameter(torch.ones(3))

        def first_stages(self):
            return (Stage("hint", 0.5, self.hint, tuple(self.project.parameters()), trains_student=True),)

        def hint(self, teacher, student, batch, progress):
            SEEN.append(("prelude", batch["index"].tolist()))
            assert progress.epochs == 1
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


def test_a_first_stage_that_fails_ends_its_run_only(tmp_path: Path) -> None:
    @baseline("stumbles", title="Stumbles")
    class Stumbles(Distiller):
        def first_stages(self):
            return (Stage("first", 0.5, self.explode, trains_student=True),)

        def explode(self, teacher, student, batch, progress):
            return {"explode": student.embedding.sum() * float("nan")}

    assert run(tmp_path, baselines=("stumbles", "kd")) == 0
    status = {record.run.baseline: record.status for record in records(tmp_path).values()}
    assert status == {"stumbles": "diverged", "kd": "finished"}
