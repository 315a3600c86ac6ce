"""What features of action recognition are probed with beyond their own data: people nobody was trained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmark import Data, Samples, Target


def targets(data: Data) -> dict[str, Callable[[], Target]]:
    """`new_subjects`: fitted on half of the test subjects, tested on the others; none without two of them,
    nor where somebody may stand in both splits."""
    groups, known = data.test.groups, data.train.groups
    if groups is None or known is None or len(groups.unique()) < 2 or torch.isin(groups, known).any():
        return {}
    return {"new_subjects": partial(_new_subjects, data.test, groups)}


def _new_subjects(test: Samples, groups: Tensor) -> Target:
    """Every second subject, by number, is for fitting."""
    fitted = torch.isin(groups, groups.unique()[0::2])
    return Target(*(test.subset(chosen.nonzero().flatten()) for chosen in (fitted, ~fitted)))
