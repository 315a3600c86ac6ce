"""Optimiser and learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from benchmark.contracts import Recipe

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("steps", "cosine")


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser, fused; weight decay applies to all parameters, as in the CRD benchmark."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of `step` of `steps`: a linear warm-up, then the recipe's steps or cosine."""
    done = step / steps
    if done < recipe.warmup:
        return recipe.learning_rate * (step + 1) / math.ceil(recipe.warmup * steps)
    if recipe.schedule == "cosine":
        after = (done - recipe.warmup) / (1 - recipe.warmup)
        return recipe.learning_rate * (1 + math.cos(math.pi * after)) / 2
    return recipe.learning_rate * recipe.decay ** sum(done >= each for each in recipe.milestones)
