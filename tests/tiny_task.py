"""A task of a few hundred tiny images that trains in a second: what the tests of the engine run on."""

from __future__ import annotations

import torch
from torch import nn

from benchmark import (
    Activations,
    Data,
    DatasetCard,
    Modality,
    Pair,
    Preset,
    Recipe,
    Request,
    Samples,
    Task,
    task,
)
from benchmark.models import Network, architecture

SIZE, CLASSES = 8, 6


class TinyNetwork(Network):
    """Two convolutions and a classifier, with dropout in between if asked for."""

    def __init__(self, channels: int, num_classes: int, width: int, dropout: float = 0.0):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.stage = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * width, num_classes)

    def forward(self, x: torch.Tensor) -> Activations:
        before = self.norm(self.stem(x))
        first = before.relu()
        middle = self.stage(first)
        second = middle.relu()
        deep = self.deep(second)
        last = deep.relu()
        embedding = self.dropout(last.mean((2, 3)))
        return Activations(
            self.classifier(embedding), embedding, (first, second, last), (before, middle, deep)
        )

    @property
    def head(self) -> nn.Module:
        return self.classifier

    def norms(self) -> tuple[nn.Module | None, ...]:
        return (self.norm, None, None)


for name, width, dropout in (("tiny_big", 12, 0.0), ("tiny_small", 4, 0.0), ("tiny_dropout", 4, 0.3)):
    architecture(name)(
        lambda shapes, num_classes, width=width, dropout=dropout: TinyNetwork(
            shapes[0][0], num_classes, width, dropout
        )
    )


def tiny_samples(count: int, seed: int) -> Samples:
    """Class-dependent stripes under heavy noise, uint8 [count, 3, 8, 8]."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    phase = torch.arange(SIZE) * (labels[:, None] + 1) * 0.5
    images = 128 + 60 * phase.sin()[:, None, None, :] + 40 * torch.randn(count, 3, SIZE, SIZE, generator=draw)
    return Samples({"rgb": images.clamp(0, 255).to(torch.uint8)}, labels)


def tiny_data(name: str = "stripes") -> Data:
    return Data(
        name=name,
        train=tiny_samples(240, 0),
        test=tiny_samples(120, 1),
        classes=tuple("abcdef"),
        modalities={"rgb": Modality((3, SIZE, SIZE), (0.5,) * 3, (0.25,) * 3, scale=255.0)},
        fingerprint=f"tiny-{name}",
        synthetic=True,
        pad=1,
        flip=True,
    )


def _pair(student: str) -> Pair:
    recipe = Recipe(epochs=2, batch_size=32, learning_rate=0.05, schedule="cosine")
    return Pair("tiny_big", student, recipe, recipe, ("rgb",), ("rgb",))


@task("tiny_task", title="Tiny task")
class TinyTask(Task):
    """Two datasets, two pairs."""

    def datasets(self) -> dict[str, DatasetCard]:
        def load(name: str):
            def loader(request: Request) -> Data:
                return tiny_data(name)

            return loader

        return {name: DatasetCard(f"Tiny {name}", load(name), synthetic=True) for name in ("stripes", "bars")}

    def pairs(self, dataset: str) -> dict[str, Pair]:
        return {"tiny_big-tiny_small": _pair("tiny_small"), "tiny_big-tiny_dropout": _pair("tiny_dropout")}

    def presets(self) -> dict[str, Preset]:
        preset = Preset(("stripes",), ("tiny_big-tiny_small",), seeds=(0,), epochs=2, teacher_epochs=3)
        return dict.fromkeys(("quick", "standard", "paper"), preset)
