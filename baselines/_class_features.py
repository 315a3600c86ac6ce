"""The teacher's last embeddings of each class, and how much the classes differ by them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ClassFeatures(nn.Module):
    """A ring of the last `count` embeddings per class: `features` [K, count, width]."""

    def __init__(self, num_classes: int, count: int, width: int):
        super().__init__()
        self.register_buffer("features", torch.zeros(num_classes, count, width))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.long))

    @property
    def ready(self) -> Tensor:
        """Which classes have their ring full, [K] bool."""
        return self.seen >= self.features.shape[1]

    @torch.no_grad()
    def remember(self, embedding: Tensor, target: Tensor) -> None:
        """Puts embeddings [B, ...] into the rings of their classes [B]; nothing in eval mode.

        Of a class with more samples in the batch than its ring has places, the first ones.
        """
        if not self.training:
            return
        count = self.features.shape[1]
        belongs = F.one_hot(target, len(self.seen))
        order = (belongs.cumsum(0) - 1).gather(1, target[:, None])[:, 0]
        fits = order < count
        target, place = target[fits], (self.seen[target] + order)[fits] % count
        self.features[target, place] = embedding.flatten(1).float()[fits]
        self.seen += belongs.sum(0)


def class_cost(features: Tensor, ready: Tensor, sharpness: float) -> Tensor:
    """1 - exp(-sharpness * (1 - CKA)) between classes, features [K, n, D] -> [K, K], float32 (eq. 2, 6).

    CKA is linear, between the centred Gram matrices of n samples per class; 0 for a class that isn't `ready`
    [K].
    """
    with torch.autocast(features.device.type, enabled=False):
        centred = features.float() - features.float().mean(1, keepdim=True)
        grams = F.normalize((centred @ centred.transpose(1, 2)).flatten(1), dim=1)
        likeness = (grams @ grams.T) * (ready[:, None] & ready[None, :])
        likeness.fill_diagonal_(1.0)
        return 1 - torch.exp(-sharpness * (1 - likeness))
