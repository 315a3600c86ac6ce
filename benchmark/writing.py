"""Writes files so that a reader sees the whole of one or none of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """The temporary name that the body writes to: renamed to `file` at its end, removed where it fails.

    On the disk before it has its name: a machine that goes down leaves the old file or the new one.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file: whole or not at all."""
    with whole(file) as temporary:
        temporary.write_bytes(content)
