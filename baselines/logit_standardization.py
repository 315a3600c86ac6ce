"""KD with standardised logits: what counts is their order and shape, not their scale (Sun et al., 2024)."""

from __future__ import annotations

from typing import Annotated

from baselines.kd import KD
from benchmark import Choice, Context, Range, baseline


@baseline("logit_standardization", title="LS-KD", paper="Sun et al., CVPR 2024", arxiv="2403.01427")
class LogitStandardization(KD):
    """loss = 0.1 * cross-entropy + 9 * kd_loss of z-scored logits at T = 2 (authors' code for CIFAR-100).

    Every other logit method takes it as an option: `--set dkd.standardize=true`. The authors do so with KD,
    CTKD, DKD and MLKD, and raise the weights with it (KD from 0.9 to 9): with those of the plain method alone
    the term weighs less, for standardised logits are smaller.
    """

    in_composition = {"task_weight": 1.0, "weight": 9.0}

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[float, Range(0.9, 90, log=True, source="authors' code, --kd-weight 9")] = 9.0,
        task_weight: Annotated[float, Range(0, 1, source="authors' code, CE_WEIGHT 0.1")] = 0.1,
        temperature: Annotated[float, Range(1, 10, log=True, source="authors' code, --base-temp 2")] = 2.0,
        standardize: Annotated[bool, Choice((True, False), source="what the paper is about")] = True,
    ):
        super().__init__(
            context,
            weight=weight,
            task_weight=task_weight,
            temperature=temperature,
            standardize=standardize,
        )
