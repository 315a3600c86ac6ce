"""What datasets share: the policy on bad samples, and a cache of what is slow to decode or to draw."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmark.contracts import Request
from benchmark.errors import UserError

Arrays = dict[str, np.ndarray]
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


def cached(
    request: Request, name: str, identity: Mapping[str, object], make: Callable[[Report], Arrays]
) -> Arrays:
    """The arrays that `make` decodes or draws, kept in `request.cache` under a hash of `identity`.

    identity   everything that decides the result: the version of the code that makes it, its options, its
               files (`stamps`)
    make       takes a `Report`; it calls it for every sample that can't be used, and leaves that sample out

    Under the policy "stop" the first bad sample raises UserError; under "skip" they are counted and named in
    one line, each time that the data is loaded. A damaged cache file is made again.
    """
    text = json.dumps({"name": name, **identity}, sort_keys=True, default=str)
    file = None
    if request.cache is not None:
        file = request.cache / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
    arrays = None if file is None else _read(file)
    if arrays is None:
        problems: list[str] = []

        def report(culprit: object, problem: str) -> None:
            problems.append(f"{culprit}: {problem}")
            _stop(request, problems)

        arrays = make(report) | {PROBLEMS: np.array(problems, dtype=np.str_)}
        if file is not None:
            _write(file, arrays)
    problems = [str(each) for each in arrays.pop(PROBLEMS)]
    _stop(request, problems)
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        request.say(f"{name}: {len(problems)} bad samples skipped: {'; '.join(problems[:SHOWN])}{more}")
    return arrays


def stamps(files: Iterable[Path], root: Path) -> list[tuple[str, int, int]]:
    """What tells a changed file: (path under `root`, size, time of change in ns), sorted by path."""
    found = []
    for file in sorted(files):
        status = file.stat()
        found.append((str(file.relative_to(root)), status.st_size, status.st_mtime_ns))
    return found


def _stop(request: Request, problems: list[str]) -> None:
    if problems and request.bad_samples == "stop":
        raise UserError(
            f"{problems[0]}: mend or remove it, or leave such samples out with --bad-samples skip"
        )


def _read(file: Path) -> Arrays | None:
    try:
        with np.load(file) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(file: Path, arrays: Arrays) -> None:
    """Writes to a temporary name first: a file that is there is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)  # pyright: ignore[reportArgumentType]
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
