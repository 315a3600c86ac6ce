"""Where images are: in files of their own, in tar shards or in parquet shards; millions of such places."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchmark.data.parquet_shards import Cell
from benchmark.data.pictures import picture_bytes
from benchmark.data.tar_shards import Member

Place = Path | Member | Cell
"""Where an image is."""


def read_place(place: Place) -> bytes:
    """The bytes of an image. Raises Unusable."""
    return picture_bytes(place) if isinstance(place, Path) else place.read()


def key_of(place: Place) -> str:
    """What tells it from other images of its class."""
    return place.name if isinstance(place, Path) else place.key


class Places:
    """A sequence of places in two arrays, each made anew when it is asked for.

    Looking at a Python object writes its reference count: a forked process soon has a copy of every object
    that it looks at. Of these arrays it never has one.
    """

    def __init__(self, places: Iterable[Place] = ()):
        encoded = [_encoded(place) for place in places]
        self._content = np.frombuffer(b"".join(encoded), np.uint8)
        self._ends = np.fromiter(accumulate(map(len, encoded), initial=0), np.int64, len(encoded) + 1)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Place:
        if not 0 <= number < len(self):
            raise IndexError(number)
        kind, path, *others = json.loads(bytes(self._content[self._ends[number] : self._ends[number + 1]]))
        return KINDS[kind](Path(path), *others) if kind else Path(path)


KINDS = (Path, Member, Cell)
"""A shard is the first field of those that lie in one."""


def _encoded(place: Place) -> bytes:
    if isinstance(place, Path):
        return json.dumps((0, str(place))).encode()
    shard, *others = place
    return json.dumps((KINDS.index(type(place)), str(shard), *others)).encode()
