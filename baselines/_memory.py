"""The memory bank of contrastive methods: a row per training sample and network; the draw of negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import NotApplicable
from benchmark.contracts import IGNORE


class MemoryBank(nn.Module):
    """Two banks [N, dimension], `student` and `teacher`; row i stands for training sample i.

    labels           [N] int64, IGNORE where the label may not be used; masks [N, H, W] give a sample no class
    negatives        how many are wanted per anchor; `num_negatives` is what every anchor can have
    negatives_from   "other_classes": an anchor excludes the rows known to be of its class; one without a
                     usable label excludes itself. "other_samples": every anchor excludes itself only
    momentum         share of the old row that an update keeps

    Rows start uniform in +-sqrt(3 / dimension) (unit length on average) and are not normalised, as in CRD.
    Raises NotApplicable where some anchor has no negative at all.
    """

    order: Tensor
    start: Tensor
    excluded: Tensor

    def __init__(
        self,
        labels: Tensor,
        dimension: int,
        *,
        negatives: int,
        momentum: float,
        negatives_from: str = "other_classes",
    ):
        super().__init__()
        self.momentum = momentum
        bound = math.sqrt(3 / dimension)
        for side in ("student", "teacher"):
            self.register_buffer(side, torch.empty(len(labels), dimension).uniform_(-bound, bound))
            self.register_buffer(f"{side}_normalizer", torch.zeros(()))
        if negatives_from == "other_samples" or labels.ndim > 1:
            labels = torch.full((len(labels),), IGNORE)
        order, start, excluded = _exclusion_blocks(labels.cpu())
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("excluded", excluded, persistent=False)
        self.fewest = len(labels) - int(excluded.max())
        self.most = len(labels) - int(excluded.min())
        self.num_negatives = min(negatives, self.fewest)
        if self.num_negatives < 1:
            raise NotApplicable("there are no negatives: all training samples are known to be of one class")

    def draw(self, index: Tensor) -> Tensor:
        """Rows to score, [B, 1 + M] int64: the anchor's own row, then M admissible ones without replacement.

        Every anchor's negatives are a uniform M-subset of its admissible rows. The anchors of a batch share
        one random permutation under independent cyclic shifts, which leaves any two anchors' draws
        uncorrelated (row r of one and row q of the other come up together with probability M/A * M/A) at the
        price of one permutation. An anchor with more admissible rows than the fewest extends its subset by
        reservoir sampling (Vitter 1985, algorithm R).
        """
        device, count = index.device, self.num_negatives
        shared = torch.randperm(self.fewest, device=device, dtype=torch.int32)[:count]
        shift = torch.randint(0, self.fewest, (len(index), 1), device=device, dtype=torch.int32)
        chosen = shared + shift
        chosen -= (chosen >= self.fewest) * self.fewest
        if self.most > self.fewest:
            chosen = self._extend(chosen, len(self.order) - self.excluded[index, None])
        # The excluded rows are one block of `order`: skip it.
        chosen += (chosen >= self.start[index, None]) * self.excluded[index, None]
        rows = self.order.index_select(0, chosen.flatten()).view(chosen.shape)
        return torch.cat([index[:, None], rows], dim=1)

    def _extend(self, chosen: Tensor, admissible: Tensor) -> Tensor:
        """Subsets [B, M] of range(fewest) become subsets of range(admissible), still uniform."""
        item = torch.arange(self.fewest, self.most, device=chosen.device, dtype=torch.int32)
        # Candidate x takes slot r of 0..x, where there is such a slot; 2**62 dwarfs x, so the remainder is
        # uniform.
        slot = torch.randint(0, 2**62, (len(chosen), len(item)), device=chosen.device) % (item + 1)
        taken = (slot < chosen.shape[1]) & (item < admissible)
        # Later candidates replace earlier ones, and are larger: the maximum is the last write, in any order.
        return chosen.scatter_reduce(
            1, torch.where(taken, slot, 0), torch.where(taken, item, -1), "amax", include_self=True
        )

    def scores(self, anchors: Tensor, side: str, rows: Tensor) -> Tensor:
        """Inner products of anchors [B, d] with rows [B, 1 + M] of the bank of `side`, float32 [B, 1 + M]."""
        bank = getattr(self, side)
        with torch.autocast(anchors.device.type, enabled=False):
            anchors = anchors.float()
            if len(bank) <= rows.numel():
                return (anchors @ bank.T).gather(1, rows)
            return torch.bmm(bank[rows], anchors[:, :, None]).squeeze(2)

    @torch.no_grad()
    def normalizer(self, side: str, scaled_scores: Tensor) -> Tensor:
        """Z = N * mean(exp(scaled_scores)) on the first training batch of `side`; constant afterwards."""
        known = getattr(self, f"{side}_normalizer")
        first = len(self.order) * scaled_scores.detach().exp().mean()
        # Chosen without asking for the value, which would make the host wait for the device.
        normalizer = torch.where(known > 0, known, first)
        if self.training:
            known.copy_(normalizer)
        return normalizer

    @torch.no_grad()
    def update(self, index: Tensor, student: Tensor, teacher: Tensor, *, normalize: bool) -> None:
        """Moves rows `index` [B] of both banks towards student and teacher [B, d]; nothing in eval mode.

        Of a sample that is in the batch more than once (labelled ones come round more often), the last one
        counts.
        """
        if not self.training:
            return
        last = last_occurrence(index)
        for side, value in (("student", student), ("teacher", teacher)):
            bank = getattr(self, side)
            rows = self.momentum * bank[index] + (1 - self.momentum) * value.detach().float()[last]
            rows = F.normalize(rows, dim=1) if normalize else rows
            # A new tensor: the backward pass of the scores still needs the old one.
            setattr(self, side, bank.index_copy(0, index, rows))


def last_occurrence(index: Tensor) -> Tensor:
    """Where each entry of `index` [B] stands for the last time in it, [B] int64.

    What is written by `value[last_occurrence(index)]` is the same for equal entries, so that the order of
    writing, which a GPU leaves open, doesn't matter. Nothing is asked of the device.
    """
    place = torch.arange(len(index), device=index.device)
    return torch.where(index[:, None] == index, place, -1).amax(1)


def _exclusion_blocks(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An order [N] of the rows in which what row i excludes is one block: (order, start [N], length [N])."""
    order = torch.argsort(labels, stable=True)
    position = torch.argsort(order)
    ordered = labels[order]
    start = torch.searchsorted(ordered, labels)
    length = torch.searchsorted(ordered, labels, right=True) - start
    unknown = labels == IGNORE
    start, length = torch.where(unknown, position, start), torch.where(unknown, 1, length)
    return order, start.int(), length.int()
