"""The engine against a plain training loop, written out: same seeds, same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from baselines.kd import kd_loss
from baselines.mlkd import strong_view_loss, weak_view_losses
from baselines.rkd import angle_loss, distance_loss
from benchmark import Activations
from benchmark.data.batches import TrainStream
from benchmark.data.split_settings import SplitSettings
from benchmark.data.splits import splits_of
from benchmark.models import Network, build
from benchmark.seeds import derive
from tests.command import run
from tests.tiny_task import TinyNetwork, tiny_data

EPOCHS, BATCH, RATE, MOMENTUM, DECAY = 4, 32, 0.05, 0.9, 5e-4
FALLS_BEFORE_EPOCH = 2
"""The rate is a tenth from the third epoch on: the milestone is half of the epochs."""

RECIPE = ("schedule=steps", "milestones=[0.5]", "nesterov=false", "warmup=0")
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

Loss = Callable[[Activations | None, Activations, Tensor], Tensor]
"""(teacher, student, labels) -> the loss of a batch."""


def scratch(teacher: Activations | None, student: Activations, label: Tensor) -> Tensor:
    return F.cross_entropy(student.logits, label)


def kd(teacher: Activations, student: Activations, label: Tensor) -> Tensor:
    return 0.1 * scratch(teacher, student, label) + 0.9 * kd_loss(student.logits, teacher.logits, 4.0)


def rkd(teacher: Activations, student: Activations, label: Tensor) -> Tensor:
    ours, theirs = student.embedding, teacher.embedding
    return scratch(teacher, student, label) + 25 * distance_loss(ours, theirs) + 50 * angle_loss(ours, theirs)


def mlkd(teacher: Activations, student: Activations, label: Tensor) -> Tensor:
    theirs, ours = teacher.second, student.second
    # In the order of the method's own code: sums of gradients are rounded in it.
    tasks = 0.1 * scratch(teacher, student, label), scratch(theirs, ours, label)
    losses = list(weak_view_losses(student.logits, teacher.logits).values())
    weak = [0.9 * loss for loss in losses]
    strong = 0.9 * strong_view_loss(student.logits, teacher.logits, ours.logits, theirs.logits)
    return torch.stack([tasks[0], *weak, strong, 0.1 * tasks[1]]).sum()


@dataclass(frozen=True)
class Seeds:
    """What a training draws: the initial weights and the batches."""

    weights: int
    batches: int


STUDENT = Seeds(derive(0, "student weights"), derive(0, "student"))
TEACHER = Seeds(derive(0, "teacher weights"), derive(0, "teacher"))


def plain_loop(
    name: str, seeds: Seeds, loss: Loss, teacher: Network | None, memory_format: torch.memory_format
) -> dict[str, Tensor]:
    """Trains the architecture `name` on all samples of the tiny task; its state at the end."""
    data, device = tiny_data(), torch.device("cpu")
    samples = data.train.subset(splits_of(data, SplitSettings(validation=0.0)).train)
    labelled = torch.ones(len(samples), dtype=torch.bool)
    stream = TrainStream(data, samples, labelled, BATCH, seeds.batches, device, ("rgb",))
    torch.manual_seed(seeds.weights)
    network = build(name, [(3, 8, 8)], len(data.classes)).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, weight_decay=DECAY, fused=True)
    for epoch in range(EPOCHS):
        if epoch == FALLS_BEFORE_EPOCH:
            optimizer.param_groups[0]["lr"] = RATE * 0.1
        for step in stream.steps(epoch):
            image = step.batch["rgb"].contiguous(memory_format=memory_format)
            with torch.no_grad():
                seen = None if teacher is None else teacher.show(image)
            student = network.show(image)
            if loss is mlkd:
                strong = step.second("strong")["rgb"].contiguous(memory_format=memory_format)
                with torch.no_grad():
                    seen = replace(seen, second=teacher.show(strong))
                student = replace(student, second=network.show(strong))
            optimizer.zero_grad()
            loss(seen, student, step.batch["label"]).backward()
            optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize("kind", FORMATS)
def test_teacher_and_students_of_the_engine_have_the_weights_of_a_plain_loop(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_format = FORMATS[kind]
    monkeypatch.setattr(TinyNetwork, "memory_format", memory_format)
    recipes = [f"{who}.{field}" for who in ("recipe", "teacher_recipe") for field in RECIPE]
    epochs = ["--epochs", str(EPOCHS), "--teacher-epochs", str(EPOCHS)]
    arguments = ["--device", "cpu", "--validation", "0", *epochs, "--set", *recipes]
    assert run(tmp_path, *arguments, baselines=("scratch", "kd", "rkd", "mlkd")) == 0

    teacher = build("tiny_big", [(3, 8, 8)], 6).to(memory_format=memory_format)
    teacher.load_state_dict(plain_loop("tiny_big", TEACHER, scratch, None, memory_format))
    teacher.eval()
    (file,) = (tmp_path / "teachers").glob("*/weights.safetensors")
    assert_same(teacher.state_dict(), load_file(file))
    for loss in (scratch, kd, rkd, mlkd):
        expected = plain_loop("tiny_small", STUDENT, loss, teacher, memory_format)
        (file,) = (tmp_path / "t" / "runs").glob(f"*-{loss.__name__}-*/weights.safetensors")
        assert_same(expected, {key.removeprefix("network."): value for key, value in load_file(file).items()})


def assert_same(expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
