"""Batches of an in-memory split: the order of samples, the joint augmentation, and the networks' scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.contracts import IGNORE, Batch, Data, Modality, Samples
from benchmark.data.split_settings import steps_per_epoch
from benchmark.seeds import generator

MINIMUM_LABELLED = 0.25
"""The least share of labelled samples in a batch when labels are few."""


class TrainStream:
    """The training batches of one seed: the same for every learner, whoever else is in the cohort.

    Each epoch draws from generators seeded by its number, so that no epoch depends on what ran before it.
    Draws are made on the CPU, pixels move on the device: the same geometry everywhere. `modalities` are those
    that somebody sees; whatever they are, the draws are the same.
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
        self.samples = _on_device(samples, self.modalities, device)
        self.labelled = labelled
        self.batch_size = min(batch_size, len(samples))
        self._data, self._seed, self._device, self._purpose = data, seed, device, purpose
        few = not bool(labelled.all()) and bool(labelled.any())
        share = max(MINIMUM_LABELLED, float(labelled.float().mean()))
        self._quota = min(self.batch_size - 1, round(share * self.batch_size)) if few else 0

    @property
    def steps_per_epoch(self) -> int:
        """As many full batches as the samples fill, however few of them have a label: updates are equal.

        A last partial batch is left out (the next epoch's order is another). With few labels the labelled
        samples come round more often in an epoch, and the unlabelled ones not all of them.
        """
        return steps_per_epoch(len(self.samples), self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`."""
        augmentation = generator(self._seed, self._purpose, "augmentation", number)
        labelled = self.labelled.to(self._device)
        for index in self._order(number):
            where = index.to(self._device)
            yield {"index": where, "labelled": labelled[where], **self._views(where, augmentation)}

    def _order(self, number: int) -> list[Tensor]:
        draw = generator(self._seed, self._purpose, "order", number)
        if not self._quota:
            order = torch.randperm(len(self.samples), generator=draw)
            return list(order.split(self.batch_size))[: self.steps_per_epoch]
        known, unknown = self.labelled.nonzero().flatten(), (~self.labelled).nonzero().flatten()
        steps, others = self.steps_per_epoch, self.batch_size - self._quota
        pool = _reshuffled(known, steps * self._quota, draw).split(self._quota)
        rest = _reshuffled(unknown, steps * others, draw).split(others)
        return [torch.cat(parts) for parts in zip(pool, rest, strict=True)]

    def _views(self, where: Tensor, draw: torch.Generator) -> Batch:
        """Labels and modalities of the samples at `where`, one crop and flip per sample for all of them."""
        pad, count = self._data.pad, len(where)
        shift = torch.randint(0, 2 * pad + 1, (2, count), generator=draw).to(self._device) if pad else None
        flip = (torch.rand(count, generator=draw) < 0.5).to(self._device) if self._data.flip else None
        label = self.samples.labels[where]
        if label.ndim > 1:
            label = shift_and_flip(label[:, None], pad, shift, flip, fill=IGNORE)[:, 0]
        batch = {"label": label}
        for name, modality in self.modalities.items():
            x = self.samples.modalities[name][where]
            if modality.spatial:
                x = shift_and_flip(x, pad, shift, flip)
            batch[name] = normalise(x, modality)
        return batch


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
    mean = torch.tensor(modality.mean, device=x.device).view(shape)
    std = torch.tensor(modality.std, device=x.device).view(shape)
    return x.float().sub_(mean * modality.scale).div_(std * modality.scale)


def in_order(
    data: Data,
    samples: Samples,
    modalities: Iterable[str],
    device: torch.device,
    batch_size: int = 256,
    alter: Callable[[str, Tensor], Tensor] | None = None,
) -> Iterator[Batch]:
    """The samples once, in order and unaugmented, with the modalities named and no other: what evaluation
    reads.

    alter   (name, raw values [B, C, *space]) -> what stands for them, before it is normalised
    """
    for index in torch.arange(len(samples)).split(batch_size):
        batch = {"index": index.to(device), "label": samples.labels[index].to(device)}
        batch["labelled"] = torch.ones(len(index), dtype=torch.bool, device=device)
        for name in modalities:
            x = samples.modalities[name][index].to(device)
            batch[name] = normalise(x if alter is None else alter(name, x), data.modalities[name])
        yield batch


def _on_device(samples: Samples, modalities: Iterable[str], device: torch.device) -> Samples:
    seen = {name: samples.modalities[name].to(device) for name in modalities}
    return Samples(seen, samples.labels.to(device), samples.groups)


def _reshuffled(pool: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """`count` entries of `pool`, going through it again and again in a fresh order."""
    rounds = -(-count // len(pool))
    return torch.cat([pool[torch.randperm(len(pool), generator=draw)] for _ in range(rounds)])[:count]
