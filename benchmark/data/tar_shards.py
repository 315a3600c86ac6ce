"""Images in tar shards, as webdataset writes them: KEY.jpg beside KEY.cls, which holds the label's number."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmark.contracts import Request
from benchmark.data.loading import Report, Unusable, cached, stamps
from benchmark.data.locating import IMAGE_SUFFIXES, irregular, printable
from benchmark.data.pictures import MAXIMUM_BYTES
from benchmark.errors import UserError

VERSION = 2
"""Of what is kept of shards that were looked through."""

LABEL = ".cls"
LONGEST_LABEL = 8
"""Bytes."""
HIGHEST_LABEL = 99_999
"""Five digits: what a class is called."""

PIECE = 2**20
"""Bytes that are looked through at once."""


class Member(NamedTuple):
    """Bytes within a shard, and the name under which a message names them."""

    shard: Path
    offset: int
    size: int
    key: str

    def __str__(self) -> str:
        return printable(f"{self.shard}: {self.key}")

    def read(self) -> bytes:
        """The bytes. Raises Unusable where the shard is not what it was, or breaks off."""
        try:
            with self.shard.open("rb") as file:
                content = os.pread(file.fileno(), self.size, self.offset)
        except OSError as error:
            raise Unusable(self, f"can't be read ({error.strerror})") from error
        if len(content) < self.size:
            raise Unusable(self, "breaks off")
        return content


Labelled = dict[str, list[Member]]
"""Class -> its images. Classes are numbers of as many digits: their order is that of the numbers."""


@dataclass
class _Found:
    """What there is of one key so far."""

    image: tuple[int, int] | None = None
    label: int | None = None


def labelled_members(request: Request, name: str, shards: Sequence[Path]) -> Labelled:
    """The images of all shards by their labels, in the order of the shards.

    The shards' headers are read once, and where each image lies is kept until a shard changes. Under
    `request.bad_samples` an image without a label, and a label without an image, are left out or refused.
    Raises UserError for what is no tar file.
    """

    def look(report: Report) -> dict[str, np.ndarray]:
        rows, keys = [], []
        for number, shard in enumerate(shards):
            for key, found in _looked_through(shard).items():
                if found.image is None or found.label is None:
                    absent = "image" if found.image is None else f"label ({LABEL}) that is a number"
                    report(f"{shard}: {key}", f"has no {absent}")
                else:
                    rows.append((number, *found.image, found.label))
                    keys.append(key)
        return {"rows": np.array(rows, np.int64).reshape(-1, 4), "keys": np.array(keys, np.str_)}

    identity = {"tar shards": VERSION, "files": stamps([shard.absolute() for shard in shards], Path("/"))}
    arrays = cached(request, name, identity, look)
    labelled: Labelled = {}
    for (number, offset, size, label), key in zip(arrays["rows"].tolist(), arrays["keys"], strict=True):
        member = Member(shards[number], offset, size, str(key))
        labelled.setdefault(f"{label:05d}", []).append(member)
    return labelled


def _looked_through(shard: Path) -> dict[str, _Found]:
    if problem := irregular(shard):
        raise UserError(f"{printable(shard)} {problem}: a tar file is expected there")
    found: dict[str, _Found] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for entry in _files(archive):
                folder, name = os.path.split(entry.name)
                stem, dot, suffix = name.partition(".")
                key, suffix = os.path.join(folder, stem), (dot + suffix).lower()
                if suffix in IMAGE_SUFFIXES and entry.size <= MAXIMUM_BYTES:
                    found.setdefault(key, _Found()).image = (entry.offset_data, entry.size)
                elif suffix == LABEL:
                    found.setdefault(key, _Found()).label = _label(archive, entry)
            _check_end(shard, archive.offset)
    except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as error:
        raise UserError(f"{printable(shard)} is damaged, or no tar file: fetch it again ({error})") from error
    return found


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Its regular files. Each header is forgotten at once: a shard may hold millions."""
    while (entry := archive.next()) is not None:
        archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
        if entry.isreg():
            yield entry


def _check_end(shard: Path, offset: int) -> None:
    """Raises tarfile.ReadError where the last member is not followed by blocks of zeros alone.

    `TarFile.next` takes a header that is altered, or cut short, for the end of the archive.
    """
    with shard.open("rb") as file:
        file.seek(offset)
        first = block = file.read(tarfile.BLOCKSIZE)
        while block and not block.strip(b"\0"):
            block = file.read(PIECE)
    if block or len(first) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"neither a file nor the archive's end at byte {offset}")


def _label(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> int | None:
    content = archive.extractfile(entry)
    text = content.read(LONGEST_LABEL).strip() if content is not None and entry.size <= LONGEST_LABEL else b""
    return int(text) if text.isdigit() and int(text) <= HIGHEST_LABEL else None
