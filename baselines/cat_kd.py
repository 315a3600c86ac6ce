"""CAT-KD: the class activation maps of both networks, at a coarse grid (Guo et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._maps import check_same_axes, pool_to
from benchmark import Activations, Batch, Choice, Context, Distiller, NotApplicable, Progress, Range, baseline

Classifier = Callable[[Tensor], Tensor]


def class_maps(feature: Tensor, classify: Classifier) -> Tensor:
    """The class activation maps of a map: its classifier, without its bias, at every place, float32.

    [B, C, *space] -> [B, K, *space]; `classify` is linear, [R, C] -> [R, K]. Signed: no ReLU.
    Source: class activation maps (Zhou et al., CVPR 2016) as in the authors' code.
    """
    with torch.autocast(feature.device.type, enabled=False):
        places = feature.float().flatten(2).transpose(1, 2)
        answers = classify(places.flatten(0, 1)) - bias_of(classify, places[0])
    return answers.view(*places.shape[:2], -1).transpose(1, 2).unflatten(2, feature.shape[2:])


def bias_of(classify: Classifier, features: Tensor) -> Tensor:
    """What a linear classifier of features [R, C] answers to nothing, [1, K], float32."""
    with torch.autocast(features.device.type, enabled=False):
        return classify(torch.zeros_like(features[:1], dtype=torch.float32))


def cat_kd_loss(student: Tensor, teacher: Tensor, resolution: int, normalize: bool) -> Tensor:
    """Mean squared difference of class maps [B, K, *space], averaged to `resolution` cells an axis, float32.

    With `normalize` the cells of each class are a vector of unit length. Source: authors' code.
    """
    cells = (resolution,) * (student.ndim - 2)
    ours, theirs = (pool_to(each.float(), cells).flatten(2) for each in (student, teacher))
    if normalize:
        ours, theirs = F.normalize(ours, dim=2), F.normalize(theirs, dim=2)
    return F.mse_loss(ours, theirs)


@baseline("cat_kd", title="CAT-KD", paper="Guo et al., CVPR 2023", arxiv="2304.12777")
class CATKD(Distiller):
    """loss = cross-entropy + 15 * cat_kd_loss on 2 cells an axis, of raw class activation maps.

    The student predicts with the mean of its class maps over space, which is its logits without a bias: the
    authors' networks have none. Weight, resolution and raw maps are the authors' for resnet32x4 to
    resnet8x4; they give 0.7 to 12 to other raw pairs of one family, and normalised maps with 15 to 600 to
    pairs of two. MobileNetV2 and ShuffleNetV2 classify the mean of one more convolution than the maps here
    show, so that it doesn't apply to them, though the authors have numbers for both.
    """

    needs = frozenset({"logits", "maps"})

    def __init__(
        self,
        context: Context,
        *,
        weight: Annotated[
            float, Range(0.5, 1000, log=True, source="authors' code, res8x4: 15; 0.7 to 600 by pair")
        ] = 15.0,
        resolution: Annotated[int, Range(1, 8, log=True, source="authors' code: 2; 4 for ShuffleNets")] = 2,
        normalize: Annotated[
            bool, Choice((False, True), source="authors' code: off within a family, on across")
        ] = False,
        **options: float,
    ):
        super().__init__(context, **options)
        self.weight, self.resolution, self.normalize = weight, resolution, normalize
        check_same_axes(context.student.maps[-1], context.teacher.maps[-1])
        for side, shapes, pooled in (
            ("teacher", context.teacher, context.teacher_pooled),
            ("student", context.student, context.student_pooled),
        ):
            if not shapes.classifies:
                raise NotApplicable(f"the {side} has no classifier of its own to show at every place")
            if not pooled:
                raise NotApplicable(f"the {side} doesn't classify the mean of its last map")

    def forward(
        self, teacher: Activations, student: Activations, batch: Batch, progress: Progress
    ) -> dict[str, Tensor]:
        assert teacher.classify is not None
        assert student.classify is not None
        with torch.no_grad():
            theirs = class_maps(teacher.last_feature, teacher.classify)
        ours = class_maps(student.last_feature, student.classify)
        return {"cat_kd": self.weight * cat_kd_loss(ours, theirs, self.resolution, self.normalize)}

    def predict(self, student: Activations) -> Tensor:
        assert student.classify is not None
        return student.logits.float() - bias_of(student.classify, student.embedding)
