"""Optimiser and learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from benchmark.contracts import Recipe


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser, fused; weight decay applies to all parameters, as in the CRD benchmark."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                parameters,
                rate,
                momentum=recipe.momentum,
                nesterov=recipe.nesterov,
                weight_decay=decay,
                fused=True,
            )
        case "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)


def state_bytes(parameters: Iterable[nn.Parameter], recipe: Recipe) -> int:
    """What the optimiser keeps of these parameters from its first step on."""
    copies = {"sgd": int(recipe.momentum > 0), "adamw": 2}[recipe.optimizer]
    return copies * sum(parameter.nbytes for parameter in parameters)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of `step` of `steps`: a linear warm-up, then the recipe's steps or cosine."""
    done = step / steps
    if done < recipe.warmup:
        return recipe.learning_rate * (step + 1) / math.ceil(recipe.warmup * steps)
    match recipe.schedule:
        case "cosine":
            after = (done - recipe.warmup) / (1 - recipe.warmup)
            return recipe.learning_rate * (1 + math.cos(math.pi * after)) / 2
        case "steps":
            return recipe.learning_rate * recipe.decay ** sum(done >= each for each in recipe.milestones)
