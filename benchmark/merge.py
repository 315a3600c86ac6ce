"""Adds the runs of other results folders to one: `python -m benchmark.merge A B --into C`.

A run folder is copied under a temporary name, its record last, checked there, and renamed: what is in C is
whole at every moment, and an interrupted merge goes on when it is started again.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from benchmark.arguments import parsed
from benchmark.checksums import AlteredFile, check_files
from benchmark.errors import UserError, means_full_disk
from benchmark.launching import is_alive
from benchmark.records import (
    RECORD,
    CorruptRecord,
    Record,
    TeacherRecord,
    read_record,
    read_teacher_record,
)
from benchmark.reporting.frame import contradiction
from benchmark.reporting.results import run_folders
from benchmark.telling import exit_code
from benchmark.writing import write_whole

SNAPSHOT = "snapshot"


@dataclass(frozen=True)
class Merge:
    """Add the runs of results folders to another one: records and files, trials, and their teachers.

    Each run is taken once, and nothing that is there already is overwritten. Where something can't be taken
    (a damaged run, two results of one run) a line says what and why, the rest is merged, and the exit code
    is 2. The same command again goes on where it was interrupted.
    """

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Results folders, such as results/first; they stay as they are."""
    into: Path
    """The results folder that gains their runs; it is made if it is not there."""


@dataclass(frozen=True)
class Candidate:
    """A run (or a teacher) of some results folder, with its valid record."""

    record: Record | TeacherRecord
    path: Path

    @property
    def failed(self) -> bool:
        """Whether the next command would try it again."""
        return isinstance(self.record, Record) and self.record.status == "failed"


@dataclass
class Tally:
    """What came of a merge.

    counts       "runs", "trials" and "teachers" -> how many were copied, and how many were there already
    unfinished   how many folders have no record yet
    left_out     a line for each that could not be taken
    notes        lines that ask for nothing
    """

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    unfinished: int = 0
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self, into: Path) -> Iterator[str]:
        """The sum of it, for the user."""
        yield from self.notes
        if self.unfinished:
            yield f"not finished, so not taken: {self.unfinished} (they have no {RECORD})"
        for what, (added, there) in self.counts.items():
            if what == "runs" or added or there:
                yield f"{into}: {what}: {added} added, {there} there already"


def merge(folders: Iterable[Path], into: Path) -> Tally:
    """Adds the runs, trials and teachers of `folders` to `into`.

    Raises:
        UserError: for a folder that holds no run, and where nothing can be written.
    """
    folders = list(folders)
    _check(folders, into)
    tally = Tally()
    try:
        taught: set[str] = set()
        for kind in ("runs", "trials"):
            found = _found([folder / kind for folder in folders], read_record, tally)
            taught |= {each.record.teacher.id for each in found if isinstance(each.record, Record)}
            _Merger(into / kind, read_record, tally).add(found)
        homes = [_teachers(folder) for folder in folders if _teachers(folder) != _teachers(into)]
        found = _found(homes, read_teacher_record, tally, wanted=taught)
        _Merger(_teachers(into), read_teacher_record, tally).add(found)
        _add_tuned(folders, into, tally)
    except OSError as error:
        raise UserError(
            f"{error.filename or into} can't be read or written ({error.strerror}); what was merged stays: "
            "mend that, and give the same command again"
        ) from error
    return tally


def _check(folders: list[Path], into: Path) -> None:
    if not folders:
        raise UserError("no results folder to merge: give one or more, such as results/first")
    for folder in folders:
        if not any((folder / kind).is_dir() for kind in ("runs", "trials")):
            raise UserError(f"{folder} holds no runs: give a results folder, such as results/quick")
        if folder.resolve() == into.resolve():
            raise UserError(f"{folder} can't be merged into itself: give another --into")
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{into} can't be written ({error.strerror}): give another --into") from error


def _teachers(folder: Path) -> Path:
    """Where the teachers of a results folder stand: beside it, for all of its neighbours."""
    return Path(os.path.abspath(folder)).parent / "teachers"


def _found(
    places: Iterable[Path], read: Callable[[Path], Any], tally: Tally, wanted: set[str] | None = None
) -> list[Candidate]:
    """The valid records in some places, those with a `wanted` id if that is given; damaged ones are named."""
    found = []
    for path in (path for place in dict.fromkeys(places) for path in run_folders(place)):
        try:
            record = read(path / RECORD)
        except CorruptRecord as problem:
            tally.left_out.append(str(problem))
            continue
        if record is None:
            tally.unfinished += wanted is None
        elif wanted is None or record.id in wanted:
            found.append(Candidate(record, path))
    return found


class _Merger:
    """Adds candidates of one kind to the place where it has that kind."""

    def __init__(self, target: Path, read: Callable[[Path], Any], tally: Tally) -> None:
        self._target, self._read, self._tally = target, read, tally
        own = _found([target], read, Tally())  # what is damaged there is named if it stands in the way
        self._own = {each.record.id: each for each in own}

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Copies what is not there. Two results of one run are named, and none of them is taken."""
        by_id: dict[str, list[Candidate]] = {}
        for each in candidates:
            by_id.setdefault(each.record.id, []).append(each)
        added = there = 0
        with _staging(self._target.parent) as staging:
            for identity, alike in by_id.items():
                own = self._own.get(identity)
                # A failed run is tried again by the next command: it is no result that contradicts one.
                alike = [each for each in alike if not each.failed] or alike[:1]
                if own is not None and not own.failed and alike[0].failed:
                    alike = [own]
                if (conflict := _conflict([own or alike[0], *alike])) is not None:
                    self._tally.left_out.append(conflict)
                elif own is not None:
                    there += 1
                else:
                    added += any(self._copied(each, staging) for each in alike)
        self._tally.counts[self._target.name] = (added, there)

    def _copied(self, candidate: Candidate, staging: Path) -> bool:
        """Whether a candidate is there now; what hindered it is named."""
        target = self._target / candidate.path.name
        try:
            self._copy(candidate, staging / target.name, target)
        except (AlteredFile, CorruptRecord) as problem:
            self._tally.left_out.append(f"{candidate.path}: {problem}")
        except FileExistsError:
            self._tally.left_out.append(
                f"{candidate.path} is not taken: {target} is there, unfinished or damaged; delete that "
                "folder, and give the same command again"
            )
        except OSError as error:
            ours = Path(error.filename or "").is_relative_to(candidate.path)
            if not ours or means_full_disk(error):
                raise
            self._tally.left_out.append(f"{error.filename} can't be read ({error.strerror})")
        else:
            return True
        return False

    def _copy(self, candidate: Candidate, staged: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        files = [file for file in candidate.path.iterdir() if file.is_file()]
        for file in sorted(files, key=lambda file: (file.name == RECORD, file.name)):
            if not file.name.startswith((".", SNAPSHOT)):
                shutil.copyfile(file, staged / file.name)
        # The copy is checked, and not the source: that may be written to at this moment.
        if self._read(staged / RECORD) != candidate.record:
            raise AlteredFile("its record was written anew while it was read: give the same command again")
        check_files(staged, candidate.record.files)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FileExistsError from error
            raise


def _conflict(alike: list[Candidate]) -> str | None:
    """A line where two records of one run, or the weights of one teacher, are not the same."""
    first, *others = alike
    for other in others:
        differs = contradiction(first.record, other.record)
        if differs:
            return (
                f"{first.path} and {other.path} differ in their {differs}, but not in their id "
                f"{first.record.id}: delete the one that you don't want, and give the same command again"
            )
    return None


def _add_tuned(folders: Iterable[Path], into: Path, tally: Tally) -> None:
    """Copies the files of chosen settings; the next command that tunes writes them anew from the trials."""
    for file in (file for folder in folders for file in sorted((folder / "tuned").glob("*.yaml"))):
        target = into / "tuned" / file.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, file.read_bytes())
        elif target.read_bytes() != file.read_bytes():
            tally.notes.append(f"{target} stays as it is; {file} has other settings")


@contextmanager
def _staging(place: Path) -> Iterator[Path]:
    """A folder for copies that are not whole yet; what a dead merge of this machine left is cleared."""
    name = f".merging-{platform.node()}-"
    for left in place.glob(f"{name}*"):
        process = left.name.removeprefix(name)
        if not (process.isdecimal() and is_alive(int(process))):
            shutil.rmtree(left, ignore_errors=True)
    own = place / f"{name}{os.getpid()}"
    own.mkdir(exist_ok=True)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; exit code 0: all is there, 2: bad input, or something was not taken, 130: interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    interrupted = "interrupted; what was merged stays, the same command goes on from there"
    return exit_code("benchmark.merge", partial(_main, given), interrupted)


def _main(given: list[str]) -> int:
    settings = parsed(Merge, given, prog="python -m benchmark.merge")
    tally = merge(settings.folders, settings.into)
    for line in tally.lines(settings.into):
        print(line)
    for line in tally.left_out:
        print(f"benchmark.merge: {line}", file=sys.stderr)
    return 2 if tally.left_out else 0


if __name__ == "__main__":
    raise SystemExit(main())
