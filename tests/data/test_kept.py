"""Files of arrays that are kept: altered ones are noticed, and dead writers leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark import Request, plugins
from benchmark.data import kept
from benchmark.data.facts import FactsCache
from benchmark.data.kept import Damaged, read_arrays, write_arrays
from benchmark.data.loading import cached
from benchmark.data.split_settings import SplitSettings
from benchmark.writing import HOST, sweep, whole

ARRAYS = {
    "train/x": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "names": np.array(["one", "zwei", ""]),
    "empty": np.array([], dtype=np.str_),
    "flags": np.array(True),
    "turned": np.arange(6).reshape(2, 3).T,
}
DEAD = 2**22 + 1
"""Above the highest number that Linux gives to a process."""


def same(found: dict[str, np.ndarray] | None, wanted: dict[str, np.ndarray]) -> bool:
    return (
        found is not None
        and found.keys() == wanted.keys()
        and all(
            found[name].dtype == array.dtype and np.array_equal(found[name], array)
            for name, array in wanted.items()
        )
    )


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "a.npz"
    assert read_arrays(file) is None
    write_arrays(file, ARRAYS)
    assert same(read_arrays(file), ARRAYS)
    assert [each.name for each in file.parent.iterdir()] == ["a.npz"]


def rewritten(file: Path, **changes: np.ndarray) -> None:
    """Other numbers under the old checksum, in an archive that is whole."""
    with np.load(file) as content:
        arrays = dict(content)
    np.savez(file, **(arrays | changes))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "changes",
    [
        {"train/x": ARRAYS["train/x"] + np.float32(2**-20)},
        {"train/x": ARRAYS["train/x"].reshape(2, 4, 3)},
        {"train/x": ARRAYS["train/x"].view(np.int32)},
        {"names": np.array(["one", "zwei", "x"])},
        {"more": np.zeros(1)},
    ],
    ids=["value", "shape", "type", "string", "another array"],
)
def test_altered_numbers_in_a_whole_archive_are_noticed(
    tmp_path: Path, changes: dict[str, np.ndarray]
) -> None:
    file = tmp_path / "a.npz"
    write_arrays(file, ARRAYS)
    rewritten(file)
    assert same(read_arrays(file), ARRAYS)
    rewritten(file, **changes)
    with pytest.raises(Damaged, match="not those that were written"):
        read_arrays(file)


def test_a_flipped_bit_is_named_in_one_line_and_the_arrays_are_made_again(tmp_path: Path) -> None:
    said: list[str] = []
    request = Request(cache=tmp_path, say=said.append)

    def load() -> np.ndarray:
        return cached(request, "numbers", {}, lambda report: {"x": np.arange(1000)})["x"]

    load()
    (file,) = tmp_path.iterdir()
    whole = bytearray(file.read_bytes())
    whole[whole.find(np.int64(500).tobytes())] ^= 1
    file.write_bytes(whole)
    assert load().tolist() == list(range(1000))
    (line,) = said
    assert line.startswith(f"{file}: ")
    assert line.isprintable()
    load()
    assert len(said) == 1


def test_a_file_without_a_checksum_is_not_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    with pytest.raises(Damaged, match="an earlier version"):
        read_arrays(tmp_path / "a.npz")


def test_python_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_arrays(tmp_path / "a.npz", {"x": np.array([{}], object)})
    assert not list(tmp_path.iterdir())
    np.savez(tmp_path / "a.npz", x=np.array([{}], object), checksum=np.array(""))
    with pytest.raises(Damaged, match="can't be read"):
        read_arrays(tmp_path / "a.npz")


def test_a_cache_that_cannot_be_written_is_named_and_no_error(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").write_bytes(b"")
    request = Request(cache=tmp_path / "file", say=said.append)
    assert cached(request, "numbers", {}, lambda report: {"x": np.arange(3)})["x"].tolist() == [0, 1, 2]
    assert "can't be written" in said[-1]


@pytest.mark.timeout(60)
def test_what_a_killed_writer_left_is_removed_at_the_next_use(tmp_path: Path) -> None:
    script = f"""
import time
import numpy as np
from pathlib import Path
from benchmark.data import kept
np.savez = lambda stream, **arrays: (stream.write(bytes(1000)), stream.flush(), time.sleep(60))
kept.write_arrays(Path({str(tmp_path)!r}) / "a.npz", {{"x": np.arange(9)}})
"""
    writer = subprocess.Popen([sys.executable, "-c", script], cwd=Path(kept.__file__).parents[2])
    try:
        deadline = time.monotonic() + 50
        while not (left := list(tmp_path.iterdir())) or not left[0].stat().st_size:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == left  # it is alive
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    cached(Request(cache=tmp_path), "numbers", {}, lambda report: {"x": np.arange(3)})
    assert [file.suffix for file in tmp_path.iterdir()] == [".npz"]


@pytest.mark.parametrize(
    ("name", "hours", "goes"),
    [
        (f".a.{HOST}-{DEAD}-abc.tmp", 0, True),
        (f".a.{HOST}-OWN-abc.tmp", 0, False),
        (f".a.{HOST}-OWN-abc.tmp", 25, True),
        (f".a.{HOST}-{10**30}-abc.tmp", 0, True),
        (f".a.other_machine-{DEAD}-abc.tmp", 23, False),
        (f".a.other_machine-{DEAD}-abc.tmp", 25, True),
        ("tmpabcdefgh.tmp", 23, False),
        ("tmpabcdefgh.tmp", 25, True),
        ("mine.tmp", 25, False),
    ],
)
def test_only_files_of_dead_writers_are_removed(tmp_path: Path, name: str, hours: float, goes: bool) -> None:
    file = tmp_path / name.replace(
        "OWN", str(os.getpid())
    )  # not in the names of tests, which processes compare
    file.write_bytes(b"")
    changed = time.time() - 3600 * hours
    os.utime(file, (changed, changed))
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3)})
    assert file.exists() != goes


def test_writers_of_one_file_have_a_temporary_file_each(tmp_path: Path) -> None:
    """The last one wins, with the whole of its own: two machines may even have processes of one number."""
    with whole(tmp_path / "a") as first:
        first.write_bytes(b"first")
        with whole(tmp_path / "a") as second:
            second.write_bytes(b"2")
        assert (tmp_path / "a").read_bytes() == b"2"
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_verifying_a_hundred_megabytes_takes_well_under_a_second(tmp_path: Path) -> None:
    arrays = {"x": np.random.default_rng(0).integers(0, 256, 100_000_000, np.uint8)}
    taken = []
    for _ in range(3):
        start = time.process_time()
        kept.checksum(arrays)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.8


@pytest.mark.parametrize("damage", ["flipped", "empty", "folder", "other"])
def test_damaged_facts_are_named_and_found_again(
    tmp_path: Path, registry: plugins.Registry, damage: str
) -> None:
    task, said = registry.tasks["tiny_task"], []
    request = Request(say=said.append)
    first = FactsCache(tmp_path)
    facts = first.facts(task, "stripes", request)
    splits = first.splits(facts, SplitSettings())
    (file,) = tmp_path.iterdir()
    again = FactsCache(tmp_path, load=lambda *_: pytest.fail("loaded"))
    assert again.facts(task, "stripes", request) == facts
    assert again.splits(facts, SplitSettings()) == splits
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage == "other":
        write_arrays(file, {"x": np.arange(3)})
    else:
        file.write_bytes(content if damage == "flipped" else b"")
    third = FactsCache(tmp_path)
    assert third.facts(task, "stripes", request) == facts
    assert third.splits(facts, SplitSettings()) == splits
    (line,) = said
    assert line.startswith(f"{file}: ")
