"""Places of images: kept in two arrays, and the same again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from benchmark.data.parquet_shards import Cell
from benchmark.data.places import Place, Places, key_of
from benchmark.data.tar_shards import Member

FILES = [Path("/a/b.png"), Path("x"), Path("z/ü"), Path(os.fsdecode(b"not utf-8 \xff"))]
MEMBERS = [Member(Path("a.tar"), 512, 10, "n/1.png"), Member(Path("b.tar"), 0, 1, "\udcff")]
CELLS = [Cell(Path("a.parquet"), 1, 2, "img", 102)]


@pytest.mark.parametrize("places", [[], FILES, MEMBERS, CELLS, [*CELLS, *FILES]])
def test_places_come_out_as_they_were(places: list[Place]) -> None:
    kept = Places(places)
    assert (len(kept), list(kept)) == (len(places), places)
    assert [type(each) for each in kept] == [type(each) for each in places]
    for number in (len(places), -1):
        with pytest.raises(IndexError):
            kept[number]


def own_mebibytes_after_reading(files: Sequence[Path] | Places, send) -> None:
    before = psutil.Process().memory_full_info().uss
    for number in range(len(files)):
        assert key_of(files[number])
    send.send((psutil.Process().memory_full_info().uss - before) / 2**20)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing is forked here")
def test_a_forked_reader_has_no_copy_of_what_it_looks_at() -> None:
    files = [
        Path(f"/data/train/{kind:04d}/{number:06d}.png") for kind in range(100) for number in range(1000)
    ]
    fork, own = multiprocessing.get_context("fork"), []
    for each in (files, Places(files)):
        receive, send = fork.Pipe()
        reader = fork.Process(target=own_mebibytes_after_reading, args=(each, send))
        reader.start()
        send.close()
        own.append(receive.recv())
        reader.join()
    assert own[0] > 10
    assert own[1] < 4
