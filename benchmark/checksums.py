"""Checksums that tell a record, and the files beside it, from altered ones; they don't stop a forger.

BLAKE2b, 32 hexadecimal digits: of a record's content, whatever its layout, and of a file's bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

ARRAYS, OUTPUTS = "arrays.npz", "outputs.npz"
HISTORY, WEIGHTS = "history.jsonl", "weights.safetensors"
EARLIER_OUTPUTS = "embeddings.npz"
"""Embeddings of earlier runs; their logits, and all outputs of still earlier ones, are in arrays.npz."""
CHECKED = (ARRAYS, OUTPUTS, EARLIER_OUTPUTS, HISTORY, WEIGHTS)
"""The files of a run folder whose checksums its record holds."""

Stamp = tuple[int, int, int, int]
"""Device, number, time of change and size: what a file that was not written to since keeps."""


class AlteredFile(Exception):
    """A file that is not what its record says; the message begins with its name and says why."""


def _blake2b() -> Any:
    return hashlib.blake2b(digest_size=16)


def content_checksum(content: Mapping[str, Any]) -> str:
    """The checksum of plain values that JSON holds; the order of names doesn't count."""
    return bytes_checksum(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def is_output(array: str) -> bool:
    """Whether an array of that name stands in outputs.npz: what networks say of each sample, which is most of
    what a run leaves and of use to one figure."""
    return array.endswith(("_embedding", "_logits"))


def bytes_checksum(content: bytes) -> str:
    """The checksum of a file with that content."""
    digest = _blake2b()
    digest.update(content)
    return digest.hexdigest()


def file_checksums(folder: Path) -> dict[str, str]:
    """Name -> checksum of those of a run's files that are there. Raises OSError."""
    found = {}
    for name in CHECKED:
        try:
            with (folder / name).open("rb") as stream:
                found[name] = hashlib.file_digest(stream, _blake2b).hexdigest()
        except FileNotFoundError:
            continue
    return found


def check_files(folder: Path, recorded: Mapping[str, str] | None) -> None:
    """Raises AlteredFile where one of a run's files that are there is not the one that the run left."""
    for file in (folder / name for name in CHECKED):
        if file.exists() and (stream := open_checked(file, recorded)) is not None:
            stream.close()


def open_checked(
    file: Path, recorded: Mapping[str, str] | None, checked: set[Stamp] | None = None
) -> BufferedReader | None:
    """A run's file, opened for reading and found to be the one that the run left; None where it left none.

    recorded   the checksums in its record; with None (an older record) there is nothing to check
    checked    files that were checked before are not read again while nobody writes to them; grows

    Raises:
        AlteredFile: for a file that is missing, can't be read, or has another checksum.
    """
    expected = None if recorded is None else recorded.get(file.name)
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        if expected is None:
            return None
        raise AlteredFile(f"{file.name} is missing: {REMEDY}") from None
    except OSError as error:
        raise AlteredFile(f"{file.name} can't be read ({error.strerror}): {REMEDY}") from error
    try:
        if recorded is not None:
            _check(stream, file.name, expected, set() if checked is None else checked)
    except BaseException:
        stream.close()
        raise
    return stream


REMEDY = "restore it from a copy, or delete its folder and run its command again"


def _check(stream: BufferedReader, name: str, expected: str | None, checked: set[Stamp]) -> None:
    facts = os.fstat(stream.fileno())
    stamp = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
    if stamp in checked:
        return
    try:
        found = hashlib.file_digest(stream, _blake2b).hexdigest()
    except OSError as error:
        raise AlteredFile(f"{name} can't be read ({error.strerror}): {REMEDY}") from error
    if found != expected:
        raise AlteredFile(f"{name} is not the one that its run left: {REMEDY}")
    stream.seek(0)
    checked.add(stamp)
