"""Pairs of the compression task: the thirteen of the CRD benchmark, and light ones for CPUs."""

from __future__ import annotations

import dataclasses

from benchmark import Pair, Recipe

PUBLISHED = Recipe(epochs=240)
"""The CRD benchmark's recipe: SGD, 0.05, divided by ten after epochs 150, 180 and 210, weight decay 5e-4."""

LOW_RATE = ("MobileNetV2", "ShuffleV1", "ShuffleV2")
"""Students that the CRD benchmark trains from a learning rate of 0.01."""

CRD_BENCHMARK = (
    ("wrn_40_2", "wrn_16_2"),
    ("wrn_40_2", "wrn_40_1"),
    ("resnet56", "resnet20"),
    ("resnet110", "resnet20"),
    ("resnet110", "resnet32"),
    ("resnet32x4", "resnet8x4"),
    ("vgg13", "vgg8"),
    ("vgg13", "MobileNetV2"),
    ("ResNet50", "MobileNetV2"),
    ("ResNet50", "vgg8"),
    ("resnet32x4", "ShuffleV1"),
    ("resnet32x4", "ShuffleV2"),
    ("wrn_40_2", "ShuffleV1"),
)

SHORT = Recipe(epochs=60, learning_rate=0.05, nesterov=True, schedule="cosine", warmup=0.05)
"""For short trainings: the rate falls along a cosine, whatever the number of epochs."""

LIGHT = (
    ("resnet20", "resnet8"),
    ("resnet56", "resnet8"),
    ("conv2d_32", "conv2d_8"),
    ("conv2d_32", "conv2d_16"),
)


def pairs() -> dict[str, Pair]:
    """Pair name -> pair; the names of the published ones are those of published tables."""
    published = {
        f"{teacher}-{student}": _pair(teacher, student, PUBLISHED) for teacher, student in CRD_BENCHMARK
    }
    return {f"{teacher}-{student}": _pair(teacher, student, SHORT) for teacher, student in LIGHT} | published


def custom(teacher: str, student: str) -> Pair:
    """A pair of any two architectures, under the recipe for short trainings."""
    return _pair(teacher, student, SHORT)


def _pair(teacher: str, student: str, recipe: Recipe) -> Pair:
    own = recipe
    if recipe is PUBLISHED and student in LOW_RATE:
        own = dataclasses.replace(recipe, learning_rate=0.01)
    return Pair(teacher, student, own, recipe, ("rgb",), ("rgb",))
