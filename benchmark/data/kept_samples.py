"""Decoded samples that are more than memory may hold: one behind another in a file of the cache."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from benchmark.contracts import Request, Samples, Source, Stored
from benchmark.data.kept import Arrays, written_whole
from benchmark.data.loading import Report, cache_file, cached
from benchmark.data.readers import fingerprint
from benchmark.errors import UserError

VERSION = 1
"""Of how samples lie in the file."""

CHECKSUM_BYTES = 8

Write = Callable[[Mapping[str, np.ndarray]], None]
"""Takes the next sample."""


@dataclass(frozen=True)
class Part:
    """A modality as every sample has it: its shape without the batch axis, and numpy's name of its type."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Bytes of a sample."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def fits(request: Request, count: int, parts: tuple[Part, ...]) -> bool:
    """Whether so many samples may be in memory."""
    return count * _size(parts) <= request.memory_gb * 2**30


@dataclass(frozen=True, eq=False)
class KeptSamples(Source):
    """Samples of one file, each part of each with a checksum.

    checksums   [N, parts] uint64
    tables      modality -> what stands for its values: [number of values], for unsigned whole numbers
    """

    file: Path
    parts: tuple[Part, ...]
    checksums: np.ndarray
    tables: Mapping[str, np.ndarray] = field(default_factory=dict)

    def read(self, row: int, names: frozenset[str], draw: Generator | None) -> Mapping[str, Tensor]:
        """See Source."""
        try:
            with self.file.open("rb") as stream:
                return self._read(stream.fileno(), row, names)
        except OSError as error:
            raise UserError(
                f"{self.file} can't be read ({error.strerror}): give the same command again"
            ) from error

    def _read(self, stream: int, row: int, names: frozenset[str]) -> dict[str, Tensor]:
        found, place = {}, row * _size(self.parts)
        for part, checksum in zip(self.parts, self.checksums[row], strict=True):
            if part.name in names:
                content = os.pread(stream, part.size, place)
                if _checksum(content) != checksum:
                    raise UserError(
                        f"{self.file}: sample {row} is not what was written: delete the file, and give the "
                        "same command again"
                    )
                values = np.frombuffer(bytearray(content), part.dtype).reshape(part.shape)
                table = self.tables.get(part.name)
                found[part.name] = torch.from_numpy(values if table is None else table[values])
            place += part.size
        return found


def kept_on_disk(
    request: Request,
    name: str,
    identity: Mapping[str, object],
    parts: tuple[Part, ...],
    make: Callable[[Report, Write], Arrays],
) -> tuple[KeptSamples, Arrays]:
    """The samples that `make` decodes, and the arrays beside them that it returns; see `cached`.

    Raises UserError where they can't be kept.
    """
    if request.cache is None:
        raise UserError(f"{name} is more than memory may hold: it needs a cache on disk")
    identity = {**identity, "samples": VERSION, "parts": [(p.name, p.shape, p.dtype) for p in parts]}
    index = cache_file(request.cache, name, identity)
    file = index.with_suffix(".samples")

    def make_all(report: Report) -> Arrays:
        checksums: list[list[int]] = []
        with written_whole(file) as stream:

            def write(sample: Mapping[str, np.ndarray]) -> None:
                contents = [np.ascontiguousarray(sample[part.name], part.dtype).tobytes() for part in parts]
                checksums.append([_checksum(content) for content in contents])
                stream.write(b"".join(contents))

            arrays = make(report, write)
        return {**arrays, "checksums": np.array(checksums, np.uint64).reshape(-1, len(parts))}

    def load() -> Arrays:
        try:
            return cached(request, name, identity, make_all)
        except OSError as error:
            raise UserError(
                f"{file} can't be written ({error.strerror or error}): make room, or raise --memory-gb"
            ) from error

    arrays = load()
    if not file.is_file() or file.stat().st_size != len(arrays["checksums"]) * _size(parts):
        index.unlink(missing_ok=True)
        arrays = load()
    return KeptSamples(file, parts, arrays.pop("checksums")), arrays


def fingerprint_on_disk(
    request: Request, name: str, parts: Mapping[str, Samples], names: tuple[str, ...]
) -> str:
    """The `fingerprint` that these samples have in memory, with their modalities in this order.

    Kept, so that it takes reading all of them once only.
    """
    digest = hashlib.sha256()
    for samples in parts.values():
        assert isinstance(samples.modalities, Stored)
        source = samples.modalities.source
        assert isinstance(source, KeptSamples)
        digest.update(source.checksums.tobytes() + samples.modalities.rows.numpy().tobytes())
        digest.update(samples.labels.numpy().tobytes())
        for table in source.tables.values():
            digest.update(table.tobytes())
    identity = {"fingerprint of": digest.hexdigest(), "splits": list(parts), "modalities": names}
    found = cached(request, name, identity, lambda _: {"content": np.array(fingerprint(parts, names))})
    return str(found["content"])


def _size(parts: tuple[Part, ...]) -> int:
    return sum(part.size for part in parts)


def _checksum(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=CHECKSUM_BYTES).digest(), "little")
