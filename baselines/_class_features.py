"""The teacher's last features of each class, place by place, and how much the classes differ by them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._maps import pool_to
from benchmark import Activations, Shapes

FINEST: dict[int, tuple[int, ...]] = {1: (16,), 2: (4, 4), 3: (2, 2, 4)}
"""The most places that are kept of a map with one, two or three axes: sixteen."""


class ClassFeatures(nn.Module):
    """A ring of the last `count` samples' features per class: `features` [K, count, places, width].

    A sample's features are the rows of its last map behind the non-linearity, one per place, averaged to the
    places of `FINEST` where it has more; of a network without maps it is its embedding, at one place. The
    buffer takes 4 K * count * places * width bytes: 26 MB for 100 classes, 16 samples and 4x4x256 numbers.
    Until a class's ring is full, the first sample of the class stands in for those that are missing.
    """

    features: Tensor
    seen: Tensor

    def __init__(self, num_classes: int, count: int, shown: Shapes):
        super().__init__()
        self.grid: tuple[int, ...] = ()
        width = math.prod(shown.embedding)
        if shown.maps:
            width, *size = shown.maps[-1]
            self.grid = tuple(map(min, size, FINEST[len(size)]))
        self.register_buffer("features", torch.zeros(num_classes, count, math.prod(self.grid), width))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.long))

    @property
    def ready(self) -> Tensor:
        """Of which classes there has been a sample, [K] bool."""
        return self.seen > 0

    @property
    def rows(self) -> Tensor:
        """What the ring holds of each class, the places of a sample one after the other, [K, rows, width]."""
        return self.features.flatten(1, 2)

    def of(self, shown: Activations) -> Tensor:
        """The features of a batch, [B, places, width], float32."""
        if not self.grid:
            return shown.embedding.float().flatten(1)[:, None]
        return pool_to(shown.last_feature.float(), self.grid).flatten(2).transpose(1, 2)

    @torch.no_grad()
    def remember(self, shown: Activations, target: Tensor) -> None:
        """Puts the features of a batch into the rings of its classes [B]; nothing in eval mode.

        Of a class with more samples in the batch than its ring has room for, the first ones.
        """
        if not self.training:
            return
        count = self.features.shape[1]
        belongs = F.one_hot(target, len(self.seen))
        order = (belongs.cumsum(0) - 1).gather(1, target[:, None])[:, 0]
        features, seen = self.of(shown), self.seen[target]
        first, fits = (order == 0) & (seen == 0), order < count
        self.features[target[first]] = features[first][:, None]
        self.features[target[fits], (seen + order)[fits] % count] = features[fits]
        self.seen += belongs.sum(0)


def class_cost(rows: Tensor, ready: Tensor, sharpness: float) -> Tensor:
    """1 - exp(-sharpness * (1 - CKA)) between classes, rows [K, n, D] -> [K, K], float32 (eq. 2, 6).

    CKA is linear, between the centred Gram matrices of n rows per class. Row i of one class goes with row i
    of another: what two samples share is the place. 0 for a class that isn't `ready` [K].
    """
    with torch.autocast(rows.device.type, enabled=False):
        centred = rows.float() - rows.float().mean(1, keepdim=True)
        grams = F.normalize((centred @ centred.transpose(1, 2)).flatten(1), dim=1)
        likeness = (grams @ grams.T) * (ready[:, None] & ready[None, :])
        likeness.fill_diagonal_(1.0)
        return 1 - torch.exp(-sharpness * (1 - likeness))
