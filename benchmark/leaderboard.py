"""The leaderboard: `python -m benchmark.leaderboard build`, `check PATH`, and `add PATH --by NAME`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, cast

import tyro

import benchmark
from benchmark.arguments import parsed
from benchmark.errors import UserError
from benchmark.reporting import archive
from benchmark.reporting.documents.pages import DOCS, page
from benchmark.reporting.leaderboard.checks import Known, complaints
from benchmark.reporting.leaderboard.frame import FILE, leaderboard_frame
from benchmark.reporting.leaderboard.page import Leaderboard, read_leaderboard
from benchmark.reporting.leaderboard.sources import SUBMISSIONS, Maker, Source, sources, write_maker
from benchmark.reporting.output import file_name, write
from benchmark.reporting.results import Results
from benchmark.telling import exit_code

PAGE = "leaderboard.md"
PROGRAM = "python -m benchmark.leaderboard"
OURS = "this"
"""What the archive under judgement is called among the others."""


@dataclass(frozen=True)
class Build:
    """Write results/leaderboard.parquet and docs/leaderboard.md from the archived records."""


@dataclass(frozen=True)
class Check:
    """Say what would keep results off the leaderboard, a line each, or where their rows would stand."""

    path: tyro.conf.Positional[Path]
    """A results folder, such as results/quick, or an archive NAME.tar.xz."""
    new_data: tuple[str, ...] = ()
    """Datasets whose fingerprint may be one that the leaderboard doesn't know."""


@dataclass(frozen=True)
class Add(Check):
    """Check results, and pack them into results/submissions/."""

    by: str = ""
    """Who made them, as the page will say."""
    code: str = ""
    """Where the commit that the records name can be fetched, where that is not this repository."""
    name: str = ""
    """Of the archive; by default that of the folder."""


def build(stack: ExitStack) -> Iterator[Path]:
    """Writes the frame, then the page; yields what was written."""
    frame = leaderboard_frame(_sources(stack))
    yield write(FILE, frame.to_parquet(index=False))
    yield write(DOCS / PAGE, page(PAGE, leaderboard=lambda: read_leaderboard(FILE)))


def check(settings: Check, stack: ExitStack) -> tuple[Results, list[str], list[str]]:
    """The results, what keeps them out, and where their rows would stand if nothing does."""
    results = _opened(settings.path, stack)
    known = Known(_sources(stack, but=settings.path), _version(), settings.new_data)
    wrong = complaints(results, known)
    return results, wrong, [] if wrong else list(_places([*known.sources, Source(OURS, results)]))


def add(settings: Add, results: Results) -> Path:
    """Packs results that were checked, under the name that `name_of` gave."""
    assert results.folder is not None
    name = name_of(settings)
    write_maker(SUBMISSIONS, name, Maker(settings.by, settings.code))
    return archive.pack(results.folder, SUBMISSIONS, name)


def name_of(settings: Add) -> str:
    """What the archive will be called. Raises UserError where it can't be, or where nobody made it."""
    name = settings.name or settings.path.resolve().name.removesuffix(archive.ENDING)
    if not settings.by.strip():
        raise UserError('nobody is named who made it: give --by "Who you are"')
    if file_name(name) != name:
        raise UserError(f"{name!r} is no name for an archive: give another --name, such as {file_name(name)}")
    if name in (*archive.names(archive.FOLDER), *archive.names(SUBMISSIONS)):
        raise UserError(f"an archive {name} is there already: give another --name")
    return name


def _sources(stack: ExitStack, but: Path | None = None) -> list[Source]:
    def opened(name: str, folder: Path) -> Results:
        return stack.enter_context(archive.opened(name, folder))

    return sources(opened, archive.FOLDER, SUBMISSIONS, but)


def _opened(path: Path, stack: ExitStack) -> Results:
    """Results that somebody wants on the leaderboard. Raises UserError where there are none."""
    if path.is_dir():
        return Results.read(path)
    if not path.name.endswith(archive.ENDING):
        raise UserError(f"{path} is no results folder, and no archive NAME{archive.ENDING}: give one of them")
    return stack.enter_context(archive.opened(path.name.removesuffix(archive.ENDING), path.parent))


def _version() -> str:
    try:
        return benchmark.__version__
    except PackageNotFoundError:
        return ""


def _places(found: list[Source]) -> Iterator[str]:
    """Where the rows of the results under judgement would stand, a line each."""
    for group in Leaderboard(leaderboard_frame(found)).groups:
        for line in group.lines:
            if OURS in (line["archives"] or "").split(", "):
                rank = f"no rank ({line['unranked']})"
                if line["rank"] is not None:
                    rank = f"rank {line['rank']} of {group.ranked}"
                yield f"{group.question}, {group.condition}: {line['label']}, n {line['n']}: {rank}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit code 0: done, or nothing is wrong, 2: bad input, or something is, 130: Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code("benchmark.leaderboard", partial(_main, given))


def _main(given: list[str]) -> int:
    settings = parsed(cast(Any, Build | Check | Add), given, prog=PROGRAM)
    with ExitStack() as stack:
        if isinstance(settings, Build):
            for file in build(stack):
                print(f"wrote {file}")
            return 0
        if isinstance(settings, Add):
            name_of(settings)  # before the archives are read, which takes seconds
        results, wrong, places = check(settings, stack)
        for line in places:
            print(line)
        if isinstance(settings, Add) and not wrong:
            print(f"wrote {add(settings, results)}; now: {PROGRAM} build")
    for line in wrong:
        print(f"benchmark.leaderboard: {line}", file=sys.stderr)
    return 2 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
