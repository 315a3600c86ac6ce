"""Schedules and optimisers against their definitions, written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark import Recipe
from benchmark.training.optimizers import learning_rate, make_optimizer, state_bytes


def test_steps_fall_at_the_published_milestones() -> None:
    recipe, steps = Recipe(epochs=240, learning_rate=0.05), 240 * 10
    rates = [learning_rate(recipe, epoch * 10, steps) for epoch in (0, 149, 150, 179, 180, 209, 210, 239)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005, 0.00005, 0.00005])


def test_cosine_goes_from_the_full_rate_to_nearly_nothing() -> None:
    recipe = Recipe(epochs=1, learning_rate=0.1, schedule="cosine")
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 100)) for step in range(100)])


def test_warm_up_rises_to_the_full_rate() -> None:
    recipe = Recipe(epochs=1, learning_rate=0.1, schedule="cosine", warmup=0.1)
    rates = [learning_rate(recipe, step, 100) for step in range(12)]
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.1)
    assert rates[11] < rates[10]


def test_after_the_warm_up_the_cosine_goes_all_the_way_down() -> None:
    recipe = Recipe(epochs=1, learning_rate=0.1, schedule="cosine", warmup=0.2)
    rates = [learning_rate(recipe, step, 100) for step in range(20, 100)]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 80)) for step in range(80)])


def trained(recipe: Recipe) -> tuple[float, int]:
    """A weight that begins at 2 after three steps with the gradients 1, -3 and 0.5; its optimiser's bytes."""
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = make_optimizer([weight], recipe)
    for gradient in (1.0, -3.0, 0.5):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    kept = (x for x in optimizer.state[weight].values() if x is not None and x.shape == weight.shape)
    return weight.item(), sum(x.nbytes for x in kept)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.8, False), (0.8, True)])
def test_sgd_has_the_momentum_and_the_decay_of_the_recipe(momentum: float, nesterov: bool) -> None:
    recipe = Recipe(1, learning_rate=0.1, momentum=momentum, nesterov=nesterov, weight_decay=0.05)
    weight, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        slope = gradient + 0.05 * weight
        velocity = momentum * velocity + slope
        weight -= 0.1 * (slope + momentum * velocity if nesterov else velocity)
    found, kept = trained(recipe)
    assert found == pytest.approx(weight, abs=1e-9)
    assert state_bytes([nn.Parameter(torch.zeros(1, dtype=torch.float64))], recipe) == kept


def test_adamw_decays_weights_apart_from_gradients() -> None:
    recipe = Recipe(1, optimizer="adamw", learning_rate=0.1, weight_decay=0.05)
    weight, mean, square = 2.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, -3.0, 0.5), start=1):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weight *= 1 - 0.1 * 0.05
        weight -= 0.1 * (mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
    found, kept = trained(recipe)
    assert found == pytest.approx(weight, abs=1e-6)
    assert state_bytes([nn.Parameter(torch.zeros(1, dtype=torch.float64))], recipe) == kept
