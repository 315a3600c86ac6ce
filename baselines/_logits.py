"""What logit methods share: one row of logits per sample or valid pixel, its class, and standardisation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from benchmark import Activations, Batch, Choice, Context, Distiller
from benchmark.contracts import IGNORE


def standardized(logits: Tensor) -> Tensor:
    """(z - mean(z)) / (std(z) + 1e-7) per row of [R, K], float32; std with K - 1.

    Source: Sun et al., CVPR 2024 (arXiv 2403.01427), algorithm 1; unbiased std as in its code.
    """
    logits = logits.float()
    centred = logits - logits.mean(1, keepdim=True)
    return centred / (logits.std(1, keepdim=True) + 1e-7)


def logit_rows(teacher: Activations, student: Activations, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """(teacher [R, K], student [R, K], target [R]): a row per sample, or per pixel that isn't marked void.

    The target is the label where it may be used and the teacher's likeliest class elsewhere. The pixels of a
    sample whose label may not be used all count: its label says nothing.
    """
    label, answers = batch["label"], teacher.logits
    hidden = ~batch["labelled"].view(-1, *[1] * (label.ndim - 1))
    target = torch.where(hidden, answers.argmax(1), label)
    if label.ndim == 1:
        return answers, student.logits, target
    valid = target != IGNORE
    return answers.movedim(1, -1)[valid], student.logits.movedim(1, -1)[valid], target[valid]


class LogitDistiller(Distiller):
    """A method that compares logits and nothing else; any of them can have them standardised first."""

    needs = frozenset({"logits"})

    def __init__(
        self,
        context: Context,
        *,
        standardize: Annotated[
            bool, Choice((False, True), source="off in the method's paper; Sun et al., CVPR 2024: on")
        ] = False,
        **options: float,
    ):
        super().__init__(context, **options)
        self.standardize = standardize

    def rows(self, teacher: Activations, student: Activations, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """`logit_rows`, standardised if asked for."""
        answers, own, target = logit_rows(teacher, student, batch)
        if self.standardize:
            answers, own = standardized(answers), standardized(own)
        return answers, own, target
