"""What datasets share: the policy on bad samples, and a cache of what is slow to decode or to draw."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmark.contracts import Request
from benchmark.data.kept import Arrays, Damaged, read_arrays, write_arrays
from benchmark.data.locating import by_parts, printable
from benchmark.errors import UserError
from benchmark.writing import sweep

Report = Callable[[object, str], None]
"""(file, what is wrong with it): called for a sample that can't be used, before it is left out."""


class Unusable(Exception):
    """A sample that can't be used: the file at fault, and what is wrong with it."""

    def __init__(self, file: object, problem: str):
        super().__init__(file, problem)
        self.file, self.problem = file, problem

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


PROBLEMS = "problems"
SHOWN = 3


class LeftOut:
    """The samples of a dataset that can't be used and are left out, under the policy of `request`.

    Under "stop" the first one raises UserError; under "skip" they are counted, and `tell` names them in one
    line.
    """

    def __init__(self, request: Request, name: str, known: Iterable[str] = ()):
        self._request, self._name = request, name
        self.problems: list[str] = []
        for problem in known:
            self._add(problem)

    def report(self, culprit: object, problem: str) -> None:
        """Takes a sample that is going to be left out: the file at fault, and what is wrong with it."""
        self._add(printable(f"{culprit}: {problem}"))

    def tell(self) -> None:
        """Says how many samples were left out, and which; nothing where there was none."""
        count, shown = len(self.problems), "; ".join(self.problems[:SHOWN])
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        if count:
            self._request.say(f"{self._name}: {count} bad samples skipped: {shown}{more}")

    def _add(self, problem: str) -> None:
        if self._request.bad_samples == "stop":
            raise UserError(
                f"{problem}: mend or remove it, or leave such samples out with --bad-samples skip"
            )
        self.problems.append(problem)


def cached(
    request: Request, name: str, identity: Mapping[str, object], make: Callable[[Report], Arrays]
) -> Arrays:
    """The arrays that `make` decodes or draws, kept in `request.cache` under a hash of `identity`.

    identity   everything that decides the result: the version of the code that makes it, its options, its
               files (`stamps`)
    make       takes a `Report`; it calls it for every sample that can't be used, and leaves that sample out

    Under the policy "stop" the first bad sample raises UserError; under "skip" they are counted and named in
    one line, each time that the data is loaded. A cache file that is damaged, or that can't be written, is
    named, and the arrays are made again.
    """
    file = None if request.cache is None else cache_file(request.cache, name, identity)
    arrays = None if file is None else _kept(request, file)
    if arrays is None:
        left_out = LeftOut(request, name)
        arrays = make(left_out.report)
        if file is not None:
            _keep(request, file, arrays | {PROBLEMS: np.array(left_out.problems, dtype=np.str_)})
    else:
        left_out = LeftOut(request, name, map(str, arrays.pop(PROBLEMS)))
    left_out.tell()
    return arrays


def cache_file(folder: Path, name: str, identity: Mapping[str, object]) -> Path:
    """Where `cached` keeps what has this identity."""
    text = json.dumps({"name": name, **identity}, sort_keys=True, default=str)
    return folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"


def stamps(files: Iterable[Path | str], root: Path) -> list[tuple[str, int, int]]:
    """What tells a changed file: (path under `root`, size, time of change in ns), sorted by path.

    There may be millions of files, and this is asked for them whenever they are loaded.
    """
    start = len(os.path.join(root, "")) if root.parts else 0
    return [(file[start:], *stamp(file)) for file in sorted(map(str, files), key=by_parts)]


def stamp(file: Path | str) -> tuple[int, int]:
    """The size of a file and the time of its change in ns; zeros where there is none (a broken link)."""
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _kept(request: Request, file: Path) -> Arrays | None:
    sweep(file.parent)
    try:
        arrays = read_arrays(file)
        if arrays is not None and PROBLEMS not in arrays:
            raise Damaged("lacks its list of bad samples")
    except Damaged as damage:
        request.say(f"{file}: {damage}; what it held is made again")
        return None
    return arrays


def _keep(request: Request, file: Path, arrays: Arrays) -> None:
    """A cache that can't be written costs the next command time, and this one nothing."""
    try:
        write_arrays(file, arrays)
    except OSError as error:
        request.say(f"{file} can't be written ({error.strerror or error}): what it would hold is not kept")
