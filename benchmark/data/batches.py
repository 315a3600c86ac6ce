"""Batches of a split: the order of samples, the joint augmentation, and the networks' scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.contracts import IGNORE, Batch, Data, Modality, Samples
from benchmark.contracts.distiller import SecondView
from benchmark.data.feed import FromMemory, Raw, feed_of, sent
from benchmark.data.split_settings import steps_per_epoch
from benchmark.data.views import StrongDraws, rotated, strong
from benchmark.errors import UserError
from benchmark.ranks import WHOLE, Share
from benchmark.seeds import derive, generator

Geometry = tuple[Tensor | None, Tensor | None]
"""How each sample of a batch is cropped and flipped: shift [2, B] and flip [B], as `shift_and_flip` takes
them."""

MINIMUM_LABELLED = 0.25
"""The least share of labelled samples in a batch when labels are few."""


@dataclass(frozen=True)
class Step:
    """The batch of one step, and its second views, each made when it is asked for (once).

    Where the step is a share, `batch` and `second` have its rows alone, and `facts` has index, label and
    labelled of the whole batch.
    """

    batch: Batch
    second: Callable[[SecondView], Batch]
    facts: Batch


class TrainStream:
    """The training batches of one seed: the same for every learner, whoever else is in the cohort.

    Each epoch draws from generators seeded by its number, so that no epoch depends on what ran before it.
    Draws are made on the CPU, pixels move on the device: the same geometry everywhere.

    samples      the N samples that batches are made of
    labelled     [N] bool: whose label may be used
    modalities   those that somebody sees; whatever they are, the draws are the same
    purpose      names its draws: streams of one seed and other purposes draw apart
    """

    def __init__(
        self,
        data: Data,
        samples: Samples,
        labelled: Tensor,
        batch_size: int,
        seed: int,
        device: torch.device,
        modalities: Iterable[str],
        purpose: str = "train",
    ):
        self.modalities = {name: data.modalities[name] for name in modalities}
        self.labels = samples.labels.to(device)
        self.labelled = labelled
        self._feed = feed_of(samples, self.modalities, device, resident=True)
        self.batch_size = min(batch_size, len(samples))
        self._data, self._seed, self._device, self._purpose = data, seed, device, purpose
        few = not bool(labelled.all()) and bool(labelled.any())
        share = round(float(labelled.float().mean()) * self.batch_size)
        least = math.ceil(MINIMUM_LABELLED * self.batch_size)
        self._quota = min(self.batch_size - 1, max(least, share)) if few else 0

    def still(self, names: Iterable[str]) -> bool:
        """Whether these modalities of a sample are the same in each epoch: nothing crops or flips them.

        What is read from disk may be cropped there.
        """
        moving = self._data.pad > 0 or self._data.flip
        spatial = any(self._data.modalities[name].spatial for name in names)
        return isinstance(self._feed, FromMemory) and not (moving and spatial)

    @property
    def steps_per_epoch(self) -> int:
        """As many full batches as the samples fill, however few of them have a label: updates are equal.

        A last partial batch is left out (the next epoch's order is another). With few labels the labelled
        samples come round more often in an epoch, and the unlabelled ones not all of them.
        """
        return steps_per_epoch(len(self.labels), self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`."""
        return (step.batch for step in self.steps(number))

    def steps(self, number: int, first: int = 0, share: Share = WHOLE) -> Iterator[Step]:
        """The batches of epoch `number`, from step `first` on, with their second views.

        share   the rows of each batch that are made here; they are the same in every share

        A view draws from a generator of its own: nothing else depends on whether it is asked for. Whoever
        asks for one, asks for it from the first of these steps on. Raises UserError where a batch has fewer
        samples than there are shares.
        """
        if self.batch_size < share.count:
            raise UserError(
                f"a batch of {self.batch_size} samples can't be divided among {share.count} processes: raise "
                "--batch-size, or give fewer --devices"
            )
        rows = share.rows(self.batch_size)
        augmentation = generator(self._seed, self._purpose, "augmentation", number)
        draws: dict[SecondView, torch.Generator] = {}
        labelled, order = sent(self.labelled, self._device), self._order(number)
        for index in order[:first]:
            self._draw_geometry(len(index), augmentation)
        # A sample that comes round twice in an epoch is cropped anew.
        reading = [derive(self._seed, self._purpose, "reading", number, step) for step in range(len(order))]
        parts = [index[rows] for index in order[first:]]
        for index, raw in zip(order[first:], self._feed.batches(parts, reading[first:]), strict=True):
            geometry = self._draw_geometry(len(index), augmentation)
            where = sent(index, self._device)
            shift, flip = (x if x is None else x[..., rows] for x in geometry)
            moved = partial(self._moved, raw, (shift, flip))
            facts = {"index": where, "labelled": labelled[where], "label": self._label(where, geometry)}
            batch = {name: x[rows] for name, x in facts.items()} | self._normalised(moved)

            def second(view: SecondView, batch: Batch = batch, moved: Raw = moved) -> Batch:
                if view not in draws:
                    draws[view] = generator(self._seed, self._purpose, "second view", view, number)
                    for _ in range(first if view == "strong" else 0):
                        StrongDraws.draw(self.batch_size, draws[view])
                return second_view(view, batch, moved, self.modalities, draws[view], self.batch_size, rows)

            yield Step(batch, second, facts)

    def _order(self, number: int) -> list[Tensor]:
        draw = generator(self._seed, self._purpose, "order", number)
        if not self._quota:
            order = torch.randperm(len(self.labels), generator=draw)
            return list(order.split(self.batch_size))[: self.steps_per_epoch]
        known, unknown = self.labelled.nonzero().flatten(), (~self.labelled).nonzero().flatten()
        steps, others = self.steps_per_epoch, self.batch_size - self._quota
        pool = _reshuffled(known, steps * self._quota, draw).split(self._quota)
        rest = _reshuffled(unknown, steps * others, draw).split(others)
        return [torch.cat(parts) for parts in zip(pool, rest, strict=True)]

    def _draw_geometry(self, count: int, draw: torch.Generator) -> Geometry:
        """One crop and flip per sample, for all modalities and the mask."""
        pad = self._data.pad
        shift = sent(torch.randint(0, 2 * pad + 1, (2, count), generator=draw), self._device) if pad else None
        flip = sent(torch.rand(count, generator=draw) < 0.5, self._device) if self._data.flip else None
        return shift, flip

    def _label(self, where: Tensor, geometry: Geometry) -> Tensor:
        """The labels of the samples at `where`; masks move with the pixels."""
        label = self.labels[where]
        if label.ndim > 1:
            label = shift_and_flip(label[:, None], self._data.pad, *geometry, fill=IGNORE)[:, 0]
        return label

    def _normalised(self, moved: Raw) -> Batch:
        return {name: normalise(moved(name), modality) for name, modality in self.modalities.items()}

    def _moved(self, raw: Raw, geometry: Geometry, name: str) -> Tensor:
        """A copy of a modality of a batch, cropped and flipped, in its own units."""
        x = raw(name)
        return shift_and_flip(x, self._data.pad, *geometry) if self.modalities[name].spatial else x


def second_view(
    view: SecondView,
    batch: Batch,
    raw: Raw,
    modalities: Mapping[str, Modality],
    draw: torch.Generator,
    total: int,
    rows: slice = slice(None),
) -> Batch:
    """The second view of a batch: what networks see of it, and no index, as it is new each time. All
    modalities of a sample change alike.

    raw     a modality's name -> what the batch has of it before it was normalised
    total   how many samples are drawn for; the batch has `rows` of them
    """
    if view == "rotated":
        return rotated(batch, modalities)
    draws = StrongDraws.draw(total, draw).of(rows)
    return {name: normalise(strong(raw(name), draws), modalities[name]) for name in modalities}


def shift_and_flip(x: Tensor, pad: int, shift: Tensor | None, flip: Tensor | None, fill: float = 0) -> Tensor:
    """Pads by `pad` with `fill` and crops each sample at its own offset, then mirrors the marked ones.

    x [B, C, *others, H, W]; shift [2, B] (rows, columns) in 0..2 pad, or None; flip [B] bool, or None.
    """
    if x.ndim > 4:
        return shift_and_flip(x.flatten(1, -3), pad, shift, flip, fill).unflatten(1, x.shape[1:-2])
    batch, _, height, width = x.shape
    rows = torch.arange(height, device=x.device).expand(batch, -1)
    columns = torch.arange(width, device=x.device).expand(batch, -1)
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    if shift is not None:
        x = F.pad(x, (pad, pad, pad, pad), value=fill)
        rows, columns = rows + shift[0, :, None], columns + shift[1, :, None]
    which = torch.arange(batch, device=x.device)[:, None, None]
    # Channels travel innermost: one gather moves whole pixels, and the result is channels_last without a
    # copy.
    return x.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def normalise(x: Tensor, modality: Modality) -> Tensor:
    """(x / scale - mean) / std per channel, as float32; x [B, C, *space]."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean = sent(torch.tensor(modality.mean), x.device).view(shape)
    std = sent(torch.tensor(modality.std), x.device).view(shape)
    return x.float().sub_(mean * modality.scale).div_(std * modality.scale)


def in_order(
    data: Data,
    samples: Samples,
    modalities: Iterable[str],
    device: torch.device,
    batch_size: int = 256,
    alter: Callable[[str, Tensor], Tensor] | None = None,
    share: Share = WHOLE,
) -> Iterator[Batch]:
    """The samples once, in order and unaugmented, with the modalities named and no other: what evaluation
    reads.

    alter   (name, raw values [B, C, *space]) -> what stands for them, before it is normalised
    share   whose batches: whole ones are dealt in turn
    """
    names, order = tuple(modalities), torch.arange(len(samples)).split(batch_size)[share.rank :: share.count]
    for index, raw in zip(order, feed_of(samples, names, device).batches(order), strict=True):
        batch = {"index": index.to(device), "label": samples.labels[index].to(device)}
        batch["labelled"] = torch.ones(len(index), dtype=torch.bool, device=device)
        for name in names:
            x = raw(name)
            batch[name] = normalise(x if alter is None else alter(name, x), data.modalities[name])
        yield batch


def _reshuffled(pool: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """`count` entries of `pool`, going through it again and again in a fresh order."""
    rounds = -(-count // len(pool))
    return torch.cat([pool[torch.randperm(len(pool), generator=draw)] for _ in range(rounds)])[:count]
