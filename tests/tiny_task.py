"""Tasks of a few hundred tiny samples that train in a second: what the tests of the engine run on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

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
    Target,
    Task,
    task,
)
from benchmark.contracts import IGNORE
from benchmark.models import Network, architecture

SIZE, CLASSES = 8, 6


class TinyNetwork(Network):
    """Convolutions and a classifier, with dropout in between and without the batch norm if asked for."""

    def __init__(
        self, channels: int, num_classes: int, width: int, dropout: float = 0.0, normalised: bool = True
    ):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if normalised else nn.Identity()
        self.stage = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * width, num_classes)

    def show(self, x: torch.Tensor) -> Activations:
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
        return (self.norm if isinstance(self.norm, nn.BatchNorm2d) else None, None, None)


for name, *options in (
    ("tiny_big", 12),
    ("tiny_small", 4),
    ("tiny_dropout", 4, 0.3),
    ("tiny_plain", 4, 0.0, False),
):
    architecture(name)(
        lambda shapes, num_classes, options=options: TinyNetwork(shapes[0][0], num_classes, *options)
    )


def _stripes(labels: torch.Tensor) -> torch.Tensor:
    """A wave per sample, [N, 8], of the class's frequency."""
    return (torch.arange(SIZE) * (labels[:, None] + 1) * 0.5).sin()


def tiny_samples(count: int, seed: int) -> Samples:
    """Class-dependent stripes under heavy noise, uint8 [count, 3, 8, 8]."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = (
        128 + 60 * _stripes(labels)[:, None, None, :] + 40 * torch.randn(count, 3, SIZE, SIZE, generator=draw)
    )
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


def _pair(student: str, teacher: str = "tiny_big") -> Pair:
    recipe = Recipe(epochs=2, batch_size=32, learning_rate=0.05, schedule="cosine")
    return Pair(teacher, student, recipe, recipe, ("rgb",), ("rgb",))


@task("tiny_task", title="Tiny task")
class TinyTask(Task):
    """Two datasets, four pairs."""

    def datasets(self) -> dict[str, DatasetCard]:
        def load(name: str):
            def loader(request: Request) -> Data:
                return tiny_data(name)

            return loader

        return {name: DatasetCard(f"Tiny {name}", load(name), synthetic=True) for name in ("stripes", "bars")}

    def pairs(self, dataset: str) -> dict[str, Pair]:
        return {
            "tiny_big-tiny_small": _pair("tiny_small"),
            "tiny_big-tiny_dropout": _pair("tiny_dropout"),
            "tiny_big-tiny_plain": _pair("tiny_plain"),
            "tiny_plain-tiny_plain": _pair("tiny_plain", "tiny_plain"),
        }

    def presets(self) -> dict[str, Preset]:
        preset = Preset(("stripes",), ("tiny_big-tiny_small",), seeds=(0,), epochs=2, teacher_epochs=3)
        return dict.fromkeys(("quick", "standard", "paper"), preset)


def sensed_samples(count: int, seed: int) -> Samples:
    """An image, a volume and a signal of each sample, all of the class's frequency; six groups."""
    draw = torch.Generator().manual_seed(seed)
    images = tiny_samples(count, seed)
    wave = _stripes(images.labels)
    noise = {name: torch.randn(count, *shape, generator=draw) for name, shape in SENSES.items()}
    senses = {
        "signal": wave[:, None] + noise["signal"],
        "volume": wave[:, None, None, None] + noise["volume"],
    }
    return Samples(images.modalities | senses, images.labels, torch.arange(count) // 3 % 6)


SENSES = {"signal": (2, SIZE), "volume": (1, 4, SIZE, SIZE)}


def sensed_data(name: str, fold: str = "") -> Data:
    """`senses` as it is; `masks` with a label per pixel; `blind` without labels and classes."""
    train, test = sensed_samples(96, 4 if fold == "second" else 2), sensed_samples(60, 3)
    classes = tuple("abcdef")
    if name == "masks":
        train, test = (
            dataclasses.replace(part, labels=(part.modalities["rgb"][:, 0] // 64).long())
            for part in (train, test)
        )
        classes = tuple("wxyz")
    if name == "blind":
        train, test = (
            dataclasses.replace(part, labels=torch.full_like(part.labels, IGNORE)) for part in (train, test)
        )
        classes = ()
    return Data(
        name=name,
        train=train,
        test=test,
        classes=classes,
        modalities={"rgb": Modality((3, SIZE, SIZE), (0.5,) * 3, (0.25,) * 3, scale=255.0)}
        | {
            sense: Modality(shape, (0.0,) * shape[0], (1.0,) * shape[0], spatial=sense == "volume")
            for sense, shape in SENSES.items()
        },
        fingerprint=f"sensed-{name}-{fold}",
        synthetic=True,
        pad=1,
        fold=fold,
    )


@task("tiny_senses", title="Tiny senses")
class TinySenses(Task):
    """Several modalities, folds, dense labels, no labels."""

    def datasets(self) -> dict[str, DatasetCard]:
        def load(name: str) -> Callable[[Request], Data]:
            return lambda request: sensed_data(name, request.fold)

        folds = {"senses": ("first", "second")}
        return {
            name: DatasetCard(f"Tiny {name}", load(name), synthetic=True, folds=folds.get(name, ()))
            for name in ("senses", "masks", "blind")
        }

    def pairs(self, dataset: str) -> dict[str, Pair]:
        recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.05, schedule="cosine")
        if dataset == "masks":
            return {
                "dense": Pair("unet2d_8", "unet2d_4", recipe, recipe, ("rgb",), ("rgb",)),
                "mixed": Pair("unet2d_8", "tiny_small", recipe, recipe, ("rgb",), ("rgb",)),
            }
        teacher = ("rgb", "volume", "signal")
        return {
            "all-signal": Pair("fusion_4", "conv1d_4", recipe, recipe, teacher, ("signal",)),
            "rgb-rgb": Pair("tiny_big", "tiny_small", recipe, recipe, ("rgb",), ("rgb",)),
            "rgb-sound": Pair("tiny_big", "conv1d_4", recipe, recipe, ("rgb",), ("sound",)),
        }

    def transfer(self, data: Data, request: Request) -> dict[str, Callable[[], Target]]:
        """The class's parity, of samples without an image."""

        def parity() -> Target:
            parts = (sensed_samples(60, 5), sensed_samples(60, 6))
            return Target(
                *(
                    Samples({name: part.modalities[name] for name in SENSES}, part.labels % 2)
                    for part in parts
                )
            )

        return {} if data.name == "blind" else {"parity": parity}

    def presets(self) -> dict[str, Preset]:
        preset = Preset(("senses",), ("all-signal",), seeds=(0,))
        return dict.fromkeys(("quick", "standard", "paper"), preset)
