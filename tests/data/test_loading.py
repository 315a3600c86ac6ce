"""The cache of decoded data and the policy on bad samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark import Request, UserError
from benchmark.data.loading import cached, stamps


class Maker:
    """Makes one array; reports the samples that it is told to."""

    def __init__(self, bad: tuple[str, ...] = ()):
        self.bad, self.calls = bad, 0

    def __call__(self, report):
        self.calls += 1
        for file in self.bad:
            report(file, "holds NaNs")
        return {"x": np.arange(5)}


def test_what_is_kept_is_not_made_again_until_its_identity_changes(tmp_path: Path) -> None:
    make = Maker()
    for version in (1, 1, 2):
        arrays = cached(Request(cache=tmp_path), "name", {"version": version}, make)
        assert list(arrays) == ["x"]
        assert arrays["x"].tolist() == [0, 1, 2, 3, 4]
    assert make.calls == 2


def test_without_a_cache_it_is_made_each_time() -> None:
    make = Maker()
    for _ in range(2):
        cached(Request(), "name", {}, make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    make = Maker()
    cached(Request(cache=tmp_path), "name", {}, make)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20] if damage is None else damage)
    assert cached(Request(cache=tmp_path), "name", {}, make)["x"].tolist() == [0, 1, 2, 3, 4]
    assert make.calls == 2


def test_the_first_bad_sample_stops_or_all_are_skipped_and_counted(tmp_path: Path) -> None:
    make, said = Maker(("a.mat", "b.mat", "c.mat", "d.mat", "e.mat")), []
    with pytest.raises(UserError, match=r"a\.mat: holds NaNs: .*--bad-samples skip"):
        cached(Request(cache=tmp_path), "name", {}, make)
    assert not list(tmp_path.iterdir())
    skip = Request(cache=tmp_path, bad_samples="skip", say=said.append)
    for _ in range(2):
        cached(skip, "name", {}, make)
    assert make.calls == 2
    assert said == [said[0]] * 2
    assert said[0].startswith("name: 5 bad samples skipped: a.mat: holds NaNs")
    assert said[0].endswith("and 2 more")


def test_what_was_skipped_before_still_stops_who_wants_to_be_stopped(tmp_path: Path) -> None:
    make = Maker(("a.mat",))
    cached(Request(cache=tmp_path, bad_samples="skip", say=lambda line: None), "name", {}, make)
    with pytest.raises(UserError, match=r"a\.mat"):
        cached(Request(cache=tmp_path), "name", {}, make)


def test_stamps_change_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "a.bin"
    file.parent.mkdir()
    file.write_bytes(b"1")
    before = stamps([file], tmp_path)
    file.write_bytes(b"12")
    assert before != stamps([file], tmp_path)
    assert before[0][0] == "folder/a.bin"
