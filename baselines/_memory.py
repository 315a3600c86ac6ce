"""The memory bank of contrastive methods: a row per training sample and network; the draw of negatives."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from benchmark import NotApplicable
from benchmark.contracts import IGNORE

BUDGET = 2**30
"""Bytes that the two banks of a learner may take with rows in float32; larger ones have theirs in float16."""
PIECE = 2**28
"""Bytes that scores may take on the way, in float32: what would be more is computed in pieces."""
DRAWN_AT_ONCE = 2**16
"""Rows."""


class Loan:
    """Whether a backward pass that is still to come needs tensors as they are, which are to be written to.

    What is computed in the body of `noted` may keep them for its backward pass.
    """

    def __init__(self) -> None:
        self._kept: list[weakref.ref[_Kept]] = []

    def __reduce__(self) -> tuple[type[Loan], tuple[()]]:
        return Loan, ()  # no graph knows of copies

    def noted(self) -> saved_tensors_hooks:
        """For a `with` statement."""
        return saved_tensors_hooks(self._keep, lambda kept: kept.tensor)

    def _keep(self, tensor: Tensor) -> _Kept:
        kept = _Kept(tensor)
        self._kept.append(weakref.ref(kept))
        return kept

    @property
    def open(self) -> bool:
        """Whether anything is needed: until it has been used, or its graph is gone."""
        self._kept = [each for each in self._kept if each() is not None]
        return bool(self._kept)

    def write(self, tensor: Tensor, index: Tensor, rows: Tensor) -> Tensor:
        """The tensor with these rows at `index` [B]: itself, or a copy where it is needed as it was."""
        return (tensor.index_copy if self.open else tensor.index_copy_)(0, index, rows)


class _Kept:
    """A tensor that a backward pass needs; gone when it is not needed any more."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


class MemoryBank(nn.Module):
    """Two banks [N, dimension], `student` and `teacher`; row i stands for training sample i.

    labels           [N] int64, IGNORE where the label may not be used; masks [N, H, W] give a sample no class
    negatives        how many are wanted per anchor; `num_negatives` is what every anchor can have
    negatives_from   "other_classes": an anchor excludes the rows known to be of its class; one without a
                     usable label excludes itself. "other_samples": every anchor excludes itself only
    momentum         share of the old row that an update keeps
    budget           bytes that both banks may take with rows in float32; above it rows are float16

    Both together take 8 N dimension bytes, or 4 N dimension in float16: at dimension 128 that is 0.05 GB for
    CIFAR's 50,000 rows, and for the 1,281,167 of ImageNet 0.66 GB instead of 1.31. Arithmetic is in float32
    in either case. Rows start uniform in +-sqrt(3 / dimension) (unit length on average) and are not
    normalised, as in CRD. Raises NotApplicable where some anchor has no negative at all.
    """

    student: Tensor
    teacher: Tensor
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
        budget: int = BUDGET,
    ):
        super().__init__()
        self.momentum = momentum
        self._loan = Loan()
        self._unwritten: tuple[Tensor, dict[str, Tensor]] | None = None
        dtype = torch.float32 if 8 * len(labels) * dimension <= budget else torch.float16
        for side in ("student", "teacher"):
            self.register_buffer(side, _first_rows(len(labels), dimension, dtype))
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

    def bank(self, side: str) -> Tensor:
        """The rows of `side`, [N, d], as the last update left them."""
        self._write()
        return getattr(self, side)

    def scores(self, anchors: Tensor, side: str, rows: Tensor) -> Tensor:
        """Inner products of anchors [B, d] with rows [B, 1 + M] of the bank of `side`, float32 [B, 1 + M]."""
        bank = self.bank(side)
        with torch.autocast(anchors.device.type, enabled=False), self._loan.noted():
            anchors = anchors.float()
            whole = len(bank) <= rows.numel()
            on_the_way = 4 * (len(anchors) * len(bank) if whole else rows.numel() * bank.shape[1])
            if bank.dtype != torch.float32 or on_the_way > PIECE:
                return _InPieces.apply(anchors, bank, rows)  # pyright: ignore[reportReturnType]
            if whole:
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
        last, rows = last_occurrence(index), {}
        for side, value in (("student", student), ("teacher", teacher)):
            old = self.bank(side)[index].float()
            moved = self.momentum * old + (1 - self.momentum) * value.detach().float()[last]
            rows[side] = F.normalize(moved, dim=1) if normalize else moved
        self._unwritten = index.clone(), rows  # a view would keep the rows of all negatives
        # The backward pass of this step's scores needs the old rows: then it waits until somebody reads.
        if not self._loan.open:
            self._write()

    @torch.no_grad()
    def _write(self) -> None:
        if self._unwritten is None:
            return
        (index, moved), self._unwritten = self._unwritten, None
        for side, rows in moved.items():
            bank = getattr(self, side)
            setattr(self, side, self._loan.write(bank, index, rows.to(bank.dtype)))

    def _apply(self, *arguments: Any, **options: Any) -> MemoryBank:
        self._write()
        return super()._apply(*arguments, **options)

    def _save_to_state_dict(self, *arguments: Any) -> None:
        self._write()
        super()._save_to_state_dict(*arguments)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._write()
        super()._load_from_state_dict(*arguments)


class _InPieces(torch.autograd.Function):
    """Inner products [B, K] of anchors [B, d] with the rows [B, K] of a bank, in float32.

    Rows are gathered for some anchors at a time, forwards and backwards, and not kept in between.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, bank: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(bank, rows)
        return torch.cat(
            [torch.bmm(found, anchors[some, :, None]).squeeze(2) for some, found in _gathered(bank, rows)]
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = [
            torch.bmm(gradients[0][some, None], found).squeeze(1)
            for some, found in _gathered(*ctx.saved_tensors)
        ]
        return torch.cat(found), None, None


def _gathered(bank: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some anchors after others, as many as `PIECE` allows, and the rows of each, [b, K, d] float32."""
    count = max(1, PIECE // (4 * rows.shape[1] * bank.shape[1]))
    for begin in range(0, len(rows), count):
        some = slice(begin, begin + count)
        yield some, bank[rows[some]].float()


def _first_rows(count: int, dimension: int, dtype: torch.dtype) -> Tensor:
    """Rows of a new bank, [count, dimension]; drawn alike for each dtype."""
    bank, bound = torch.empty(count, dimension, dtype=dtype), math.sqrt(3 / dimension)
    for some in bank.split(DRAWN_AT_ONCE):
        some.copy_(torch.empty(some.shape).uniform_(-bound, bound))
    return bank


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
