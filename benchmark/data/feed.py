"""What samples hold, batch by batch in an order that is given: gathered from memory, or read from disk."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.contracts import Samples, Source, Stored
from benchmark.errors import Unreadable, UserError
from benchmark.seeds import generator

Raw = Callable[[str], Tensor]
"""A modality's name -> what a batch has of it, in its own units, [B, C, *space] on the device: a copy."""


READ_AT_ONCE = 256
"""Samples, where all of them are wanted."""


class Feed(Protocol):
    """The raw values of some samples, as often and in whatever order they are asked for."""

    def batches(self, order: Sequence[Tensor], seeds: Sequence[int] | None = None) -> Iterator[Raw]:
        """One batch for each index [B] of `order`.

        seeds   of each batch's random crops, where a source has any; None: samples as evaluation sees them
        """
        ...


def feed_of(samples: Samples, names: Iterable[str], device: torch.device, *, resident: bool = False) -> Feed:
    """What samples hold of the modalities named.

    resident   samples in memory are moved to the device at once, instead of batch by batch
    """
    if isinstance(samples.modalities, Stored):
        return FromDisk(samples.modalities, frozenset(names), device)
    kept = {name: samples.modalities[name] for name in names}
    return FromMemory({name: x.to(device) for name, x in kept.items()} if resident else kept, device)


def read_all(samples: Samples, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """The modalities named (all), [N, C, *space]; those on disk are read, as evaluation sees them."""
    wanted = samples.names if names is None else frozenset(names)
    if not isinstance(samples.modalities, Stored):
        return {name: x for name, x in samples.modalities.items() if name in wanted}
    parts: dict[str, list[Tensor]] = {name: [] for name in sorted(wanted)}
    for raw in _from_disk(samples.modalities, wanted):
        for name, so_far in parts.items():
            so_far.append(raw(name))
    return {name: torch.cat(so_far) for name, so_far in parts.items()}


def in_pieces(samples: Samples, name: str) -> Iterator[Tensor]:
    """A modality from the first sample to the last; those on disk some hundred samples at a time."""
    if isinstance(samples.modalities, Stored):
        yield from (raw(name) for raw in _from_disk(samples.modalities, frozenset({name})))
    else:
        yield samples.modalities[name]


def _from_disk(stored: Stored, names: frozenset[str]) -> Iterator[Raw]:
    order = torch.arange(len(stored.rows)).split(READ_AT_ONCE)
    return FromDisk(stored, names, torch.device("cpu")).batches(order)


def some_of(samples: Samples, most: int) -> Samples:
    """Of samples on disk at most so many, evenly over all of them; samples in memory as they are."""
    if not isinstance(samples.modalities, Stored):
        return samples
    return samples.subset(torch.arange(0, len(samples), max(1, -(-len(samples) // most))))


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; nobody waits for it to get to a CUDA device."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class FromMemory:
    """Gathers batches of modalities [N, C, *space], wherever these are."""

    modalities: Mapping[str, Tensor]
    device: torch.device

    def batches(self, order: Sequence[Tensor], seeds: Sequence[int] | None = None) -> Iterator[Raw]:
        """See Feed; nothing is drawn."""
        for index in order:
            yield partial(self._gathered, index)

    def _gathered(self, index: Tensor, name: str) -> Tensor:
        x = self.modalities[name]
        return sent(x[sent(index, x.device)], self.device)


@dataclass(frozen=True)
class FromDisk:
    """Reads batches in worker processes, two ahead each; any number of them gives the same batches."""

    stored: Stored
    names: frozenset[str]
    device: torch.device

    def batches(self, order: Sequence[Tensor], seeds: Sequence[int] | None = None) -> Iterator[Raw]:
        """See Feed. Raises Unreadable for a sample that can't be read, when its batch is due."""
        stored, pinned = self.stored, self.device.type == "cuda"
        workers = min(stored.workers, len(order))
        loader = DataLoader(
            _Rows(stored.source, self.names),
            batch_sampler=[
                [(row, seed) for row in stored.rows[index].tolist()]
                for index, seed in zip(order, seeds or [None] * len(order), strict=True)
            ],
            num_workers=workers,
            multiprocessing_context=_context() if workers else None,
            collate_fn=_as_it_is,  # pyright: ignore[reportArgumentType]
            worker_init_fn=_begin,
            pin_memory=pinned,
            generator=torch.Generator(),  # without one it would draw from torch's global state
        )
        for read in loader:
            if isinstance(read, str):
                raise Unreadable(read)
            here = {name: x.to(self.device, non_blocking=pinned) for name, x in read.items()}
            yield partial(_copied, here)


@dataclass(frozen=True)
class _Rows(Dataset):
    """Batches of samples by the numbers of their rows, each with the seed of its batch; what is wrong with
    one is returned as a text."""

    source: Source
    names: frozenset[str]

    def __getitems__(self, wanted: list[tuple[int, int | None]]) -> dict[str, Tensor] | str:
        try:
            samples = [
                self.source.read(row, self.names, None if seed is None else generator(seed, row))
                for row, seed in wanted
            ]
        except UserError as error:
            return str(error)
        return {name: torch.stack([sample[name] for sample in samples]) for name in sorted(self.names)}


def _context() -> str | None:
    """How processes are started: forked where that is possible, which takes milliseconds; the others import
    torch anew. A process that was itself started anew would have its own started so, too."""
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else None


def _as_it_is(read: dict[str, Tensor] | str) -> dict[str, Tensor] | str:
    return read


def _begin(number: int) -> None:
    """Signals to a whole group of processes are for the main one, which ends its step and then these; each
    of them has one core."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    cv2.setNumThreads(0)


def _copied(here: Mapping[str, Tensor], name: str) -> Tensor:
    x = here[name]
    return x.clone() if x.is_floating_point() else x
