"""Locks between commands: what one of them trains, no other trains or empties at the same time.

They are locks of the operating system, which end with their owner, however it ends. Where a file system has
none, files stand in for them.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

PATIENCE = 0.5
"""Seconds between two looks at a lock that another command holds."""


@contextmanager
def locked(file: Path, say: Callable[[str], None], told: str) -> Iterator[None]:
    """Holds a lock, waiting for its owner where there is one; then `told` says what is waited for."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    if not _acquired(lock, file):
        say(f"waiting for {told}, which {owner(file)} is at")
        while not _acquired(lock, file):
            time.sleep(PATIENCE)
    try:
        yield
    finally:
        _release(lock, file)


class Claim:
    """Locks of which a command takes those that are free, to hold until the end of a `with`."""

    def __init__(self) -> None:
        self._held: list[tuple[FileLock, Path]] = []

    def take(self, file: Path) -> bool:
        """Takes a lock; False where another process has it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        if not _acquired(lock, file):
            return False
        self._held.append((lock, file))
        return True

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *error: object) -> None:
        for lock, file in self._held:
            _release(lock, file)
        self._held.clear()


def owner(file: Path) -> str:
    """Who holds a lock, as far as the file tells: `host, process 4711, since 2026-01-31 10:04:05`."""
    with suppress(OSError):
        if text := file.read_text(errors="replace").strip():
            return text.splitlines()[0][:200]
    return "another command"


def sweep(folder: Path) -> None:
    """Removes the lock files that commands which were killed left in a folder."""
    for file in folder.glob("*.lock"):
        with Claim() as claim, suppress(OSError):
            claim.take(file)


def _acquired(lock: FileLock, file: Path) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    if not isinstance(lock, SoftFileLock):  # whose file tells of its owner by itself
        with suppress(OSError):
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            file.write_text(f"{platform.node()}, process {os.getpid()}, since {since}\n")
    return True


def _release(lock: FileLock, file: Path) -> None:
    """Removes the file while it is still held: whoever opened it before sees that it has no name any more."""
    if not isinstance(lock, SoftFileLock):
        with suppress(OSError):
            file.unlink(missing_ok=True)
    lock.release()
