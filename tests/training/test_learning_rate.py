"""Schedules against their definitions, written out."""

from __future__ import annotations

import math

import pytest

from benchmark import Recipe
from benchmark.training.optimizers import learning_rate


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
