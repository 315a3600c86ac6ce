"""A results folder as a benchmark would leave it: two tasks, few labels, failures, and damaged records."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from benchmark.reporting import archive
from benchmark.reporting.results import Results
from tests.reporting.fake_records import all_records, make_record, write_run


@pytest.fixture(scope="session")
def archived() -> Iterator[Callable[[str, Path], Results]]:
    """(name, folder) -> the results in that archive, unpacked once for all tests of a process."""
    if (archive.FOLDER.parents[1] / "PKG-INFO").exists():
        pytest.skip("the archived records are not part of a source distribution")
    with ExitStack() as stack:
        yield cache(lambda name, folder: stack.enter_context(archive.opened(name, folder)))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with `all_records()` and four damaged runs beside them."""
    folder = tmp_path / "results" / "demo"
    for record in all_records():
        write_run(folder, record)
    runs = folder / "runs"
    half = write_run(folder, make_record("kd", 7))
    half.rename(runs / "half-written-11111111")
    half = runs / "half-written-11111111" / "record.json"
    half.write_text(half.read_text()[:200])
    (runs / "empty-22222222").mkdir()
    (runs / "binary-33333333").mkdir()
    (runs / "binary-33333333" / "record.json").write_bytes(b"\x80\x81\xff")
    (runs / "no-run-part-44444444").mkdir()
    (runs / "no-run-part-44444444" / "record.json").write_text('{"schema": 1, "id": "x", "run": {}}')
    return folder
