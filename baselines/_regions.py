"""What SDD's methods share: logits of regions of the last map, and how much each region counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines._maps import POOLINGS, check_same_axes
from benchmark import Activations, Batch, Context, Distiller, NotApplicable, Range

CELLS = 4
"""Cells along each axis of the grid that all regions are made of (authors' code)."""


def region_logits(feature: Tensor, classify: Callable[[Tensor], Tensor], levels: int) -> Tensor:
    """What a network's own classifier says of each region of its last map, [B, C, *space] -> [B, R, K].

    The map is averaged to 4 cells an axis (a smaller one is repeated), and this to 1, 2, ... 2^(levels - 1):
    R = 1 + 4 (+ 16) on two axes; the whole map comes first, then row by row. Always float32.
    Source: Wei et al., CVPR 2024, multi-scale pooling; authors' code.
    """
    pool = POOLINGS[feature.ndim - 2]
    with torch.autocast(feature.device.type, enabled=False):
        grid = pool(feature.float(), CELLS)
        regions = torch.cat([pool(grid, 2**level).flatten(2) for level in range(levels)], dim=2)
        return classify(regions.movedim(1, 2).flatten(0, 1)).unflatten(0, (len(feature), -1))


def region_weights(answers: Tensor, target: Tensor) -> Tensor:
    """2 where the teacher is right of a region and wrong of the whole map or the reverse, else 1: [B, R].

    answers [B, R, K], the whole map first; target [B].
    Source: Wei et al., CVPR 2024; authors' code.
    """
    right = answers.argmax(2) == target[:, None]
    return 1.0 + (right != right[:, :1])


def divergence_rows(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """KL(teacher || student) per row of log-probabilities [R, K] -> [R].

    Source: the term of KD that Wei et al., CVPR 2024, take of each region.
    """
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)


class RegionDistiller(Distiller):
    """A logit method on every region of the last map, each put under the network's own classifier.

    Applies where both classifiers take the mean of the last map, on equally many axes: regions are paired by
    their place. (MobileNetV2 and ShuffleNetV2 take that of one more convolution, which no map here shows; the
    authors have numbers for both.) Where a label may not be used, the teacher's likeliest class is the
    target.
    """

    needs = frozenset({"logits", "maps"})

    def __init__(
        self,
        context: Context,
        *,
        levels: Annotated[
            int, Range(2, 3, source="authors' code, M [1,2] for networks of one family, else [1,2,4]")
        ] = 2,
        **options: Any,
    ):
        super().__init__(context, **options)
        for side in ("teacher", "student"):
            if not getattr(context, side).classifies:
                raise NotApplicable(f"the {side} has no classifier of its own to put regions under")
            if not getattr(context, f"{side}_pooled"):
                raise NotApplicable(f"the {side}'s classifier doesn't take the mean of its last map")
        check_same_axes(context.student.maps[-1], context.teacher.maps[-1])
        self.levels = levels

    def rows(
        self, teacher: Activations, student: Activations, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(teacher [B * R, K], student [B * R, K], target [B * R], weight [B * R]), sample by sample.

        The target is the label where it may be used and elsewhere the class that the teacher takes the sample
        for.
        """
        assert teacher.classify is not None  # the constructor refuses such pairs
        assert student.classify is not None
        with torch.no_grad():  # its classifier may be one that trains elsewhere
            theirs = region_logits(teacher.last_feature, teacher.classify, self.levels)
        ours = region_logits(student.last_feature, student.classify, self.levels)
        *_, target = logit_rows(teacher, student, batch)
        weight = region_weights(theirs, target)
        target = target.repeat_interleave(weight.shape[1])
        return theirs.flatten(0, 1), ours.flatten(0, 1), target, weight.flatten()
