"""A tiny context and tiny batches for baselines."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from benchmark import Activations, Context, Progress, Shapes
from benchmark.contracts import IGNORE

SAMPLES, CLASSES, BATCH = 40, 5, 8
PROGRESS = Progress(epoch=0, epochs=2, step=0, steps=10)


def tiny_activations(channels: tuple[int, ...], width: int, seed: int) -> Activations:
    """Activations of a small 2-D network with leaves that record gradients."""
    draw = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(BATCH, *shape, generator=draw).relu_().requires_grad_()

    sizes = (8, 8, 4, 2)
    maps = tuple(leaf(c, size, size) for c, size in zip(channels, sizes, strict=True))
    before = tuple(torch.randn_like(each, requires_grad=True) for each in maps)
    return Activations(leaf(CLASSES), leaf(width), maps, before)


def tiny_teacher(seed: int = 1) -> Activations:
    return tiny_activations((6, 8, 12, 16), 16, seed)


def tiny_student(seed: int = 2) -> Activations:
    return tiny_activations((4, 8, 10, 12), 12, seed)


def tiny_batch() -> dict[str, torch.Tensor]:
    index = torch.arange(BATCH) * 3
    return {"index": index, "label": index % CLASSES, "labelled": index % 2 == 0}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """On tensors this small, waiting for a second thread takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def context() -> Context:
    """Half of the labels may be used; the stem, the first and the third stage differ between the networks."""
    labels = torch.arange(SAMPLES) % CLASSES
    labels[1::2] = IGNORE
    teacher, student = Shapes.of(tiny_teacher()), Shapes.of(tiny_student())
    norms = tuple((torch.ones(shape[0]), torch.zeros(shape[0])) for shape in teacher.preactivations)
    return Context(teacher, student, CLASSES, SAMPLES, labels, torch.nn.Linear(16, CLASSES), norms)


@pytest.fixture
def tiny() -> SimpleNamespace:
    """What forward takes: teacher(), student() and batch(), built anew at each call, and `progress`."""
    return SimpleNamespace(teacher=tiny_teacher, student=tiny_student, batch=tiny_batch, progress=PROGRESS)
