"""What the leaderboard is made of: archives of records, ours and those that others submitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmark.errors import UserError, reason_of
from benchmark.reporting import archive
from benchmark.reporting.output import make_folder, write
from benchmark.reporting.results import Results

SUBMISSIONS = archive.FOLDER.parent / "submissions"
"""Holds, of each submission, `NAME.tar.xz` and `NAME.json`: who made it, and where its code is."""

MAINTAINERS = "WCoRD-Bench"

Opened = Callable[[str, Path], Results]
"""(name, folder) -> the results in that archive, with their arrays as long as whoever opened it wants."""


@dataclass(frozen=True)
class Maker:
    """Who made an archive.

    by     a name, and whatever else readers should know of them
    code   where the commits that its records name can be fetched; empty for those of this repository
    """

    by: str = MAINTAINERS
    code: str = ""


@dataclass(frozen=True)
class Source:
    """An archive on the leaderboard, opened."""

    name: str
    results: Results
    maker: Maker = Maker()


def sources(opened: Opened, reference: Path, submissions: Path, but: Path | None = None) -> list[Source]:
    """Every archive of the leaderboard: the reference results, then the submissions, each by name.

    Args:
        but: an archive that is left out, as it is to be judged by the others.

    Raises:
        UserError: where there are no reference results, and for an archive that can't be read as a whole.
    """
    if not archive.names(reference):
        raise UserError(f"{reference} holds no archive: the leaderboard is made in a checkout of the suite")
    left_out = but and but.resolve()
    found = [
        Source(name, opened(name, folder), maker(folder, name))
        for folder, maker in ((reference, lambda *_: Maker()), (submissions, read_maker))
        for name in archive.names(folder)
        if archive.file_of(name, folder).resolve() != left_out
    ]
    for source in found:
        for problem in source.results.problems:
            raise UserError(f"{source.name}{archive.ENDING}: {problem}")
    return found


def read_maker(folder: Path, name: str) -> Maker:
    """Who made a submission. Raises UserError where its file doesn't say."""
    file = folder / f"{name}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Maker)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise UserError(
            f"{file} can't be read ({reason_of(error)}): it says who made the archive beside it, as "
            '{"by": "...", "code": "..."}'
        ) from error


def write_maker(folder: Path, name: str, maker: Maker) -> Path:
    """Writes the file beside an archive. Raises UserError where that can't be."""
    content = msgspec.json.format(msgspec.json.encode(maker), indent=1)
    return write(make_folder(folder) / f"{name}.json", content + b"\n")
