"""Pairs of the cross-modal task: the teacher sees one modality of a scene, the student another."""

from __future__ import annotations

import dataclasses

from benchmark import Pair, Recipe

SHORT = Recipe(epochs=60, learning_rate=0.05, nesterov=True, schedule="cosine", warmup=0.05)
"""For short trainings: the rate falls along a cosine, whatever the number of epochs."""

PLAIN = dataclasses.replace(SHORT, batch_size=32)
"""The plain encoders learn more from twice the updates than from twice the batch, at the same cost."""

CLASSIFICATION = {
    ("conv2d_16_deep", "conv2d_8_deep"): PLAIN,
    ("conv2d_32_deep", "conv2d_16_deep"): PLAIN,
    ("conv2d_32", "conv2d_16"): PLAIN,
    ("conv2d_32", "conv2d_8"): PLAIN,
    ("resnet20", "resnet8"): SHORT,
    ("torchvision:resnet50", "torchvision:resnet18"): SHORT,
    ("torchvision:resnet18", "torchvision:resnet18"): SHORT,
}
SEGMENTATION = {
    ("unet2d_16_deep", "unet2d_8_deep"): PLAIN,
    ("unet2d_16", "unet2d_8"): PLAIN,
    ("unet2d_32_deep", "unet2d_16_deep"): PLAIN,
}


def pairs(dataset: str) -> dict[str, Pair]:
    """Pair name -> pair: encoders where a sample has a label, encoder-decoders where every pixel has one."""
    recipes = SEGMENTATION if "segmentation" in dataset else CLASSIFICATION
    return {
        f"{teacher}-{student}": _pair(dataset, teacher, student, recipe)
        for (teacher, student), recipe in recipes.items()
    }


def custom(dataset: str, teacher: str, student: str) -> Pair:
    """A pair of any two architectures, under the recipe for short trainings."""
    return _pair(dataset, teacher, student, SHORT)


def _pair(dataset: str, teacher: str, student: str, recipe: Recipe) -> Pair:
    seen = ("luma", "chroma") if dataset.startswith("luma_chroma") else ("rgb", "depth")
    return Pair(teacher, student, recipe, recipe, seen[:1], seen[1:])
