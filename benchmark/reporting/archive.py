"""Reference results as files: a results folder's records, histories and arrays as one archive.

`python -m benchmark.reporting.archive results/NAME ...` writes `results/reference/NAME.tar.xz`.
"""

from __future__ import annotations

import io
import lzma
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmark.checksums import ARRAYS, AlteredFile, bytes_checksum, is_output, open_checked
from benchmark.errors import UserError
from benchmark.program import ROOT
from benchmark.records import RECORD, Record, record_bytes
from benchmark.reporting.output import make_folder, write
from benchmark.reporting.results import Results
from benchmark.telling import exit_code

FOLDER = ROOT / "results" / "reference"
"""Of results. Those in its `choices/` tell how settings were chosen, and stand on no leaderboard."""

ENDING = ".tar.xz"
KEPT = (
    f"runs/*/{RECORD}",
    "runs/*/history.jsonl",
    "runs/*/arrays.npz",
    f"trials/*/{RECORD}",
    "tuned/*.yaml",
)
"""What an archive holds of a results folder; weights, networks' outputs and logs are left."""

LARGEST = 2**31
"""Bytes that an archive may unpack to: a stranger's megabyte may stand for any number of them."""


def names(folder: Path = FOLDER) -> list[str]:
    """The archives in a folder, by name."""
    return sorted(file.name.removesuffix(ENDING) for file in folder.glob(f"*{ENDING}"))


def file_of(name: str, folder: Path = FOLDER) -> Path:
    """The archive of that name."""
    return folder / f"{name}{ENDING}"


def pack(folder: Path, into: Path = FOLDER, name: str = "") -> Path:
    """Archives a results folder under its own name or another; the same content gives the same bytes.

    The outputs that earlier runs have in `arrays.npz` are left, too, and their records get its new checksum.

    Raises:
        UserError: where its records are not fit to be cited: unreadable, altered, without arrays, of code
            that was not committed, or of several numbers of threads.
    """
    results = Results.read(folder)
    if not results.records:
        raise UserError(f"{folder} holds no finished run: there is nothing to archive")
    for reason in [*results.problems, *unfit(results)]:
        raise UserError(f"{folder} can't be archived: {reason}")
    slimmer = dict(content for record in results.records for content in _without_outputs(folder, record))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for file in sorted(file for pattern in KEPT for file in folder.glob(pattern)):
            kept = slimmer.get(file) or file.read_bytes()
            member = tarfile.TarInfo(str(file.relative_to(folder)))
            member.size = len(kept)
            archive.addfile(member, io.BytesIO(kept))
    file = file_of(name or folder.resolve().name, make_folder(into))
    return write(file, lzma.compress(content.getvalue(), preset=9))


def _without_outputs(folder: Path, record: Record) -> Iterator[tuple[Path, bytes]]:
    """What stands in the place of the arrays of an earlier run, and of its record."""
    run = folder / "runs" / record.folder
    if not (run / ARRAYS).exists() or record.files is None:
        return
    with np.load(run / ARRAYS) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not is_output(name)}
        if len(kept) == len(arrays.files):
            return
    content = io.BytesIO()
    np.savez_compressed(content, **kept)  # pyright: ignore[reportArgumentType]
    files = {**record.files, ARRAYS: bytes_checksum(content.getvalue())}
    yield run / ARRAYS, content.getvalue()
    yield run / RECORD, record_bytes(replace(record, files=files))


def unfit(results: Results) -> Iterator[str]:
    """Why records should not stand for a result."""
    assert results.folder is not None
    everyone = [*results.records, *results.trials]
    for record in everyone:
        if not record.provenance.clean:
            yield f"{record.folder} was made by code that was not committed"
    for record in results.records:
        try:
            arrays = open_checked(results.folder / "runs" / record.folder / ARRAYS, record.files)
        except AlteredFile as altered:
            yield f"{record.folder}: {altered}"
            continue
        if arrays is not None:
            arrays.close()
        elif record.status == "finished":
            yield f"{record.folder} has no {ARRAYS}"
    threads = {record.provenance.threads for record in everyone}
    if len(threads) > 1:
        yield f"its runs used {' and '.join(map(str, sorted(threads, key=str)))} threads"


@contextmanager
def opened(name: str, folder: Path = FOLDER) -> Iterator[Results]:
    """The results in an archive, with their arrays as long as the context lasts.

    Raises:
        UserError: where there is no such archive, or where it can't be read.
    """
    file = file_of(name, folder)
    with TemporaryDirectory() as place:
        try:
            with tarfile.open(file) as archive:
                _extract(archive, place)
        except (OSError, tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise UserError(
                f"{file} can't be read ({error}): pack it with benchmark.reporting.archive"
            ) from error
        yield Results.read(place)


def _extract(archive: tarfile.TarFile, place: str) -> None:
    """Raises TarError for what no packed results folder holds: too much, a link, a way out of its folder."""
    left = LARGEST
    for member in archive:
        if not (member.isreg() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is no file")
        left -= tarfile.BLOCKSIZE + member.size
        if left < 0:
            raise tarfile.TarError(f"it holds more than {LARGEST:,} bytes")
        archive.extract(member, place, filter="data")


def commands(records: Iterable[Record]) -> list[str]:
    """The commands that made the records, in the order in which their first runs ended."""
    ordered = sorted(records, key=lambda record: record.provenance.finished)
    return list(dict.fromkeys(record.provenance.command for record in ordered))


def main(folders: list[str]) -> int:
    """Packs each folder; the exit code."""

    def packed() -> int:
        flags = [folder for folder in folders if folder.startswith("-")]
        if flags or not folders:
            raise UserError(
                f"{' '.join(flags) or 'no results folder'}: give one or more, such as results/quick"
            )
        for folder in folders:
            print(f"wrote {pack(Path(folder))}")
        return 0

    return exit_code("benchmark.reporting.archive", packed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
