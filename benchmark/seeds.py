"""Seeds and random streams: every source of randomness has a name, and none disturbs another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *names: object) -> int:
    """A seed for the stream that `names` describe; different names give independent streams."""
    text = "|".join(str(each) for each in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator of its own for the stream that `names` describe."""
    return torch.Generator().manual_seed(derive(seed, *names))


class RandomStream:
    """torch's global random state, owned by one learner and swapped in while it is at work (dropout,
    negatives).

    states   the CPU's and the device's generator state, as of the last time the stream was active
    """

    def __init__(self, seed: int, device: torch.device):
        self.seed, self.device = seed, device
        with self._restored():
            torch.manual_seed(seed)
            self.states = self._read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Runs the body on this stream; the caller's global state is back afterwards."""
        with self._restored():
            self._write(self.states)
            yield
            self.states = self._read()

    @contextmanager
    def _restored(self) -> Iterator[None]:
        outside = self._read()
        try:
            yield
        finally:
            self._write(outside)

    def _read(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        on_device = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return torch.get_rng_state(), on_device

    def _write(self, states: tuple[torch.Tensor, torch.Tensor | None]) -> None:
        torch.set_rng_state(states[0])
        if states[1] is not None:
            torch.cuda.set_rng_state(states[1], self.device)
