"""Measures what the parts of a step cost, on the CPU and, without stalling it, on a CUDA device."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of named parts; on CUDA by events that are read when `seconds` is asked for."""

    def __init__(self, device: torch.device):
        self._device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Times its body as (some more of) `part`."""
        if self._device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            yield
            end.record()
            self._pending.append((part, begin, end))
        else:
            begun = time.perf_counter()
            yield
            self._seconds[part] += time.perf_counter() - begun

    def seconds(self, part: str) -> float:
        """The total of `part` so far."""
        self._collect()
        return self._seconds[part]

    def _collect(self) -> None:
        if self._pending:
            torch.cuda.synchronize(self._device)
            for part, begin, end in self._pending:
                self._seconds[part] += begin.elapsed_time(end) / 1000
            self._pending.clear()
