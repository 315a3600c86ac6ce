"""What methods on feature maps share: which stages are matched, and how maps of other sizes meet."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from benchmark import Context, NotApplicable

POOLINGS = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


def pool_to(feature: Tensor, size: tuple[int, ...]) -> Tensor:
    """A map [B, C, *space] averaged down to [B, C, *size]; itself where it has that size."""
    if tuple(feature.shape[2:]) == tuple(size):
        return feature
    return POOLINGS[feature.ndim - 2](feature, size)


def pool_match(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps [B, C, *space] averaged down to the smaller grid, axis by axis."""
    size = tuple(min(pair) for pair in zip(student.shape[2:], teacher.shape[2:], strict=True))
    return pool_to(student, size), pool_to(teacher, size)


def check_same_stages(context: Context, kind: str = "maps") -> None:
    """Raises NotApplicable unless both networks show equally many `kind` and each two have as many axes."""
    student, teacher = getattr(context.student, kind), getattr(context.teacher, kind)
    if len(student) != len(teacher):
        raise NotApplicable(f"the student shows {len(student)} {kind}, the teacher {len(teacher)}")
    for ours, theirs in zip(student, teacher, strict=True):
        check_same_axes(ours, theirs)


def check_same_axes(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    """Raises NotApplicable where two shapes (C, *space) don't have the same one, two or three axes."""
    ours, theirs = len(student) - 1, len(teacher) - 1
    if ours != theirs or ours not in POOLINGS:
        raise NotApplicable(f"maps of {ours} spatial axes in the student, of {theirs} in the teacher")


def check_same_channels(context: Context, first: int = 0) -> None:
    """Raises NotApplicable unless each two maps, from the one numbered `first` on, have equal channels."""
    student, teacher = (
        [shape[0] for shape in side.maps[first:]] for side in (context.student, context.teacher)
    )
    if student != teacher:
        raise NotApplicable(
            f"channels {student} in the student, {teacher} in the teacher: they must be equal"
        )


def positions(shape: tuple[int, ...]) -> int:
    """The number of places of a map (C, *space)."""
    return math.prod(shape[1:])
