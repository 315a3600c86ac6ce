"""Files of arrays that are kept between commands: whole or not there, and noticed when they were altered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from benchmark.data.locating import irregular, printable
from benchmark.writing import sweep, whole

Arrays = dict[str, np.ndarray]

CHECKSUM = "checksum"
"""The array that holds the SHA-256 of all others. The archive has a CRC-32 of each of its own, which whoever
writes it anew also writes anew; SHA-256 is what processors compute in hardware: 0.13 s for 100 MB here, where
BLAKE2b takes 0.32 s."""


class Damaged(Exception):
    """A kept file that can't be used, and why."""


def read_arrays(file: Path) -> Arrays | None:
    """The arrays of a file; None where there is none. Raises Damaged, whatever is wrong with it."""
    if not os.path.lexists(file):
        return None
    if problem := irregular(file):
        raise Damaged(problem)
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    # Altered bytes make zipfile and numpy raise whatever their first misreading leads to.
    except Exception as error:
        raise Damaged(printable(f"can't be read: {error or type(error).__name__}")) from error
    written = arrays.pop(CHECKSUM, None)
    if written is None:
        raise Damaged("has no checksum: an earlier version wrote it")
    if str(written) != checksum(arrays):
        raise Damaged("its numbers are not those that were written")
    return arrays


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes them, whole or not at all. Raises OSError where it can't."""
    content = {**arrays, CHECKSUM: np.array(checksum(arrays))}
    with written_whole(file) as stream:
        np.savez(stream, **content)  # pyright: ignore[reportArgumentType]


@contextmanager
def written_whole(file: Path) -> Iterator[IO[bytes]]:
    """A stream to a file that is there when it is whole; its folder is made.

    What writers that were killed have left there is removed. Raises OSError where it can't write.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    sweep(file.parent)
    with whole(file) as temporary, temporary.open("wb") as stream:
        yield stream


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of names, types, shapes and contents; TypeError for an array of Python objects."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.nbytes:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
