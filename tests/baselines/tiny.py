"""Tiny networks' activations, the contexts that go with them, and every baseline built on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from benchmark import Activations, Context, NotApplicable, Progress, Shapes
from benchmark.contracts import IGNORE, Distiller
from benchmark.contracts.distiller import SecondView
from benchmark.models import build
from benchmark.plugins import load

SAMPLES, CLASSES, BATCH = 40, 5, 8
PROGRESS = Progress(epoch=1, epochs=4, step=5, steps=20)
REGISTRY = load()
NAMES = sorted(REGISTRY.baselines)


VIEW_ROWS: dict[SecondView, int] = {"strong": BATCH, "rotated": 3 * BATCH}
"""How many rows a second view of the tiny batch has."""


def tiny_activations(channels: tuple[int, ...], width: int, seed: int, rows: int = BATCH) -> Activations:
    """Activations of a small 2-D network with leaves that record gradients."""
    draw = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(rows, *shape, generator=draw).requires_grad_()

    def rectified(*shape: int) -> torch.Tensor:
        return leaf(*shape).detach().relu_().requires_grad_()

    shapes = [(c, size, size) for c, size in zip(channels, (8, 8, 4, 2), strict=True)]
    maps, before = tuple(rectified(*each) for each in shapes), tuple(leaf(*each) for each in shapes)
    return Activations(leaf(CLASSES), rectified(width), maps, before, tiny_head(width, seed + 100))


def tiny_head(width: int, seed: int) -> torch.nn.Linear:
    """A classifier with weights drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Linear(width, CLASSES)


def tensors_of(activations: Activations) -> list[torch.Tensor]:
    """Those of the second view, where there is one, behind the others."""
    second = [] if activations.second is None else tensors_of(activations.second)
    return [
        activations.logits,
        activations.embedding,
        *activations.maps,
        *activations.preactivations,
        *second,
    ]


def tiny_batch() -> dict[str, torch.Tensor]:
    index = torch.arange(BATCH) * 3
    image = torch.randn(BATCH, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    return {"index": index, "label": index % CLASSES, "labelled": index % 9 != 6, "image": image}


def tiny_network(architecture: str) -> torch.nn.Module:
    """A network of the tiny batch, with weights drawn from torch's global state."""
    return build(architecture, [(3, 8, 8)], CLASSES, ["image"])


SETTINGS = {"takd": {"assistant": "conv2d_4"}}
"""What a pair would name for a baseline."""


@dataclass(frozen=True)
class TinyPair:
    """A teacher and a student by the channels of their maps and the widths of their embeddings.

    view   the second view of their batch
    """

    teacher_channels: tuple[int, ...]
    student_channels: tuple[int, ...]
    teacher_width: int
    student_width: int
    view: SecondView = ""

    def teacher(self, seed: int = 1) -> Activations:
        """As the engine hands it over: without gradient."""
        return self._shown(self.teacher_channels, self.teacher_width, seed).map(torch.Tensor.detach)

    def student(self, seed: int = 2) -> Activations:
        return self._shown(self.student_channels, self.student_width, seed)

    def _shown(self, channels: tuple[int, ...], width: int, seed: int) -> Activations:
        shown = tiny_activations(channels, width, seed)
        if not self.view:
            return shown
        return replace(shown, second=tiny_activations(channels, width, seed + 50, VIEW_ROWS[self.view]))

    @property
    def context(self) -> Context:
        """Some labels may not be used; the teacher has a head and a norm per preactivation."""
        labels = torch.arange(SAMPLES) % CLASSES
        labels[6::9] = IGNORE
        teacher, student = Shapes.of(self.teacher()), Shapes.of(self.student())
        draw = torch.Generator().manual_seed(3)
        norms = tuple(
            (torch.rand(shape[0], generator=draw) + 0.5, torch.randn(shape[0], generator=draw))
            for shape in teacher.preactivations
        )
        head = tiny_head(self.teacher_width, 4)
        views = frozenset({self.view} if self.view else ())
        return Context(
            teacher, student, CLASSES, SAMPLES, labels, head, norms, True, True, BATCH, tiny_network, views
        )


TINY_PAIRS = {
    "unlike": TinyPair((6, 8, 12, 16), (4, 8, 10, 12), 16, 12),
    "alike": TinyPair((4, 8, 10, 12), (4, 8, 10, 12), 12, 12),
    "strong": TinyPair((6, 8, 12, 16), (4, 8, 10, 12), 16, 12, "strong"),
    "rotated": TinyPair((6, 8, 12, 16), (4, 8, 10, 12), 16, 12, "rotated"),
}
"""Networks whose maps differ in channels (all but those of the first stage), and networks that are alike;
with each second view, for the baselines that ask for it and no other."""


def pairs_of(name: str) -> dict[str, TinyPair]:
    """The pairs that a baseline is tried on: those with the second view that it asks for."""
    view = REGISTRY.baseline(name).distiller.second_view
    return {title: pair for title, pair in TINY_PAIRS.items() if pair.view == view}


EVERY_CASE = pytest.mark.parametrize(
    ("name", "pair"),
    [
        pytest.param(name, pair, id=f"{name}-{title}")
        for name in NAMES
        for title, pair in pairs_of(name).items()
    ],
)
"""Every baseline on each of its tiny pairs."""


def built(name: str, pair: TinyPair) -> Distiller:
    """The baseline on that pair, its weights drawn from a fixed seed. Raises NotApplicable."""
    torch.manual_seed(0)
    return REGISTRY.baseline(name).distiller(pair.context, **SETTINGS.get(name, {}))


def built_or_skipped(name: str, pair: TinyPair) -> Distiller:
    try:
        return built(name, pair)
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")
