"""Activations and contexts of any shape, for what a formula implies beyond the tiny pairs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmark import Activations, Context, Shapes
from benchmark.contracts import IGNORE

CLASSES, SAMPLES = 5, 12


def drawn(*shapes: tuple[int, ...], batch: int = 6, seed: int = 0) -> list[Tensor]:
    """Rectified noise [batch, *shape] per shape."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=draw).relu() for shape in shapes]


def activations(
    maps: tuple[tuple[int, ...], ...],
    width: int = 7,
    logits: tuple[int, ...] = (CLASSES,),
    seed: int = 0,
    batch: int = 6,
    second: int = 6,
) -> Activations:
    """A network's activations with these map shapes (C, *space), the preactivations of the same shapes.

    second   the rows of the second view (as many as a strong one has); 0: there is none
    """
    draw = torch.Generator().manual_seed(seed + 1000)
    tensors = drawn(*maps, batch=batch, seed=seed)
    before = tuple(torch.randn(each.shape, generator=draw) for each in tensors)
    return Activations(
        torch.randn(batch, *logits, generator=draw),
        torch.randn(batch, width, generator=draw),
        tuple(tensors),
        before,
        nn.Linear(width, logits[0]),
        activations(maps, width, logits, seed + 50, second, second=0) if second else None,
    )


def context_of(teacher: Activations, student: Activations, **changes: Any) -> Context:
    """A context of these two: no label may be used, every teacher preactivation has a norm, a linear head."""
    norms = tuple(
        (torch.rand(each.shape[1]) + 0.5, torch.randn(each.shape[1])) for each in teacher.preactivations
    )
    fields = {
        "teacher": Shapes.of(teacher),
        "student": Shapes.of(student),
        "num_classes": CLASSES,
        "num_samples": SAMPLES,
        "train_labels": torch.full((SAMPLES,), IGNORE),
        "teacher_head": nn.Linear(teacher.embedding.shape[1], CLASSES),
        "teacher_norms": norms,
        "teacher_pooled": teacher.maps[-1].shape[1] == teacher.embedding.shape[1],
        "student_pooled": student.maps[-1].shape[1] == student.embedding.shape[1],
        "batch_size": len(student.logits),
    }
    return Context(**fields | changes)


def batch_of(count: int = 6) -> dict[str, Tensor]:
    """Samples 0..count-1, none labelled."""
    index = torch.arange(count)
    return {
        "index": index,
        "label": torch.full((count,), IGNORE),
        "labelled": torch.zeros(count, dtype=torch.bool),
    }
