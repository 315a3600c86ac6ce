"""Pairs of the compression task: the CRD benchmark's thirteen, ImageNet's two, and light ones for CPUs."""

from __future__ import annotations

import dataclasses

from benchmark import Pair, Recipe
from tasks.compression.published import published

PUBLISHED = Recipe(epochs=240)
"""The CRD benchmark's recipe: SGD, 0.05, divided by ten after epochs 150, 180 and 210, weight decay 5e-4."""

LOW_RATE = ("MobileNetV2", "ShuffleV1", "ShuffleV2")
"""Students that the CRD benchmark trains from a learning rate of 0.01."""

LOW_STAGE_RATE = ("resnet", "wrn")
"""Students whose first stages the CRD benchmark trains at 0.01; the others' run at the learning rate."""

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

LIGHT = {
    ("resnet20", "resnet8"): SHORT,
    ("resnet56", "resnet8"): SHORT,
    ("conv2d_32", "conv2d_16"): dataclasses.replace(SHORT, learning_rate=0.1),
    ("conv2d_32", "conv2d_8"): dataclasses.replace(SHORT, learning_rate=0.1),
    ("timm:vit_tiny_patch16_224", "resnet20"): SHORT,
}
"""Pairs that a CPU trains in seconds to minutes; the plain encoders bear twice the rate. The transformer
teaches a convolutional student: what methods on logits are made for, and those on maps are not."""

IMAGENET = Recipe(
    epochs=100,
    batch_size=256,
    learning_rate=0.1,
    weight_decay=1e-4,
    milestones=(0.3, 0.6, 0.9),
    first_stage_rate=0.01,
)
"""ImageNet as distillation papers train it: SGD, 0.1, divided by ten after epochs 30, 60 and 90."""

IMAGENET_PAIRS = {
    "resnet34-resnet18": ("torchvision:resnet34", "torchvision:resnet18"),
    "resnet50-mobilenet_v1": ("torchvision:resnet50", "timm:mobilenetv1_100"),
}
"""Pair name -> architectures; published teachers are torchvision's weights (--teacher-checkpoint)."""

TRANSFORMER = dataclasses.replace(SHORT, optimizer="adamw", learning_rate=5e-4, weight_decay=0.05)
"""How a teacher that is a transformer is trained."""


def pairs(dataset: str) -> dict[str, Pair]:
    """Pair name -> pair; the names of the published ones are those of published tables."""
    if dataset == "imagenet":
        return {name: _pair(*networks, IMAGENET) for name, networks in IMAGENET_PAIRS.items()}
    recipes = LIGHT | dict.fromkeys(CRD_BENCHMARK, PUBLISHED)
    return {
        f"{teacher}-{student}": _pair(teacher, student, recipe)
        for (teacher, student), recipe in recipes.items()
    }


def custom(dataset: str, teacher: str, student: str) -> Pair:
    """A pair of any two architectures, under the recipe for short trainings, or for ImageNet."""
    return _pair(teacher, student, IMAGENET if dataset == "imagenet" else SHORT)


def _pair(teacher: str, student: str, recipe: Recipe) -> Pair:
    own = recipe
    if recipe is PUBLISHED:
        rate = {"learning_rate": 0.01} if student in LOW_RATE else {}
        stages = {"first_stage_rate": 0.01} if student.startswith(LOW_STAGE_RATE) else {}
        own = dataclasses.replace(recipe, **rate, **stages)
    taught = TRANSFORMER if "vit_" in teacher else recipe
    return Pair(teacher, student, own, taught, ("rgb",), ("rgb",), published(teacher, student))
