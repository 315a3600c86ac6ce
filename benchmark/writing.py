"""Writes files so that a reader sees the whole of one or none of it."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.launching import is_alive

HOST = re.sub(r"\W", "_", socket.gethostname())[:60] or "unnamed"
TEMPORARY = re.compile(r"\..+\.(?P<host>\w+)-(?P<pid>\d+)-\w+\.tmp|tmp\w{8}\.tmp")
"""Of whom a file that isn't whole yet is; earlier versions left the second kind, without a name."""

ABANDONED = 86400.0
"""Seconds without a change after which no writer is at work, on whichever machine."""


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """The temporary name that the body writes to: renamed to `file` at its end, removed where it fails.

    No other writer has it, in this process or on another machine. On the disk before it has its name: a
    machine that goes down leaves the old file or the new one.
    """
    writer = f"{HOST}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = file.with_name(f".{file.name[:40]}.{writer}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def before(file: Path) -> Path:
    """Where the state before the one in `file` stands, for files that are kept twice."""
    return file.with_suffix(f".before{file.suffix}")


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file: whole or not at all."""
    with whole(file) as temporary:
        temporary.write_bytes(content)


def sweep(folder: Path) -> None:
    """Removes the temporary files of writers that are dead; those of living ones stay."""
    for file in _abandoned(folder):
        try:
            file.unlink()
        except OSError:
            continue  # another process was faster, or it is not ours to remove


def _abandoned(folder: Path) -> Iterator[Path]:
    for file in folder.glob("*.tmp") if folder.is_dir() else ():
        if (match := TEMPORARY.fullmatch(file.name)) is None:
            continue
        try:
            age = time.time() - file.lstat().st_mtime
        except OSError:
            continue
        # Of a process on another machine nothing but its silence tells that it is dead.
        ours = match["host"] == HOST
        if age > ABANDONED or (ours and not is_alive(int(match["pid"]))):
            yield file
