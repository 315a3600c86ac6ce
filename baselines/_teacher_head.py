"""What SimKD and SRRL share: the teacher's own classifier, fixed, on features of the student."""

from __future__ import annotations

import copy

from torch import nn

from benchmark import Context, NotApplicable


def fixed_head(context: Context) -> nn.Module:
    """A copy of the teacher's classifier, [B, D_t] -> [B, K], that isn't trained. Raises NotApplicable."""
    if context.teacher_head is None:
        raise NotApplicable("the teacher has no classifier of its own to reuse")
    if context.teacher.logits != context.student.logits:
        raise NotApplicable(
            f"logits of the teacher {context.teacher.logits}, of the student {context.student.logits}"
        )
    return copy.deepcopy(context.teacher_head).requires_grad_(False)
