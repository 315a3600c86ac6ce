"""Images in parquet shards, as on the Hugging Face hub: a column of encoded images and one of labels."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.contracts import Request
from benchmark.data.loading import Report, Unusable, cached, stamp, stamps
from benchmark.data.locating import printable
from benchmark.data.readers import (
    DAMAGE,
    IMAGE_COLUMNS,
    SHOWN,
    check_struct,
    find_column,
    is_bytes,
    label_of,
    opened,
)
from benchmark.data.tar_shards import HIGHEST_LABEL

VERSION = 1
"""Of what is kept of shards that were looked through."""

LABEL_COLUMNS = ("label", "labels", "fine_label")
LARGE_GROUP = 2**26
"""Bytes of a row group, of which any image takes reading all."""

GROUPS_HELD = 2
"""Row groups that a process holds: threads that read in order are mostly in two of them at most."""


class Cell(NamedTuple):
    """Where an image lies: a row of a row group of a shard, and the number of that row in the shard."""

    shard: Path
    group: int
    place: int
    column: str
    number: int

    def __str__(self) -> str:
        return printable(f"{self.shard}: the image of row {self.number}")

    @property
    def key(self) -> str:
        """What tells it from other images of a dataset."""
        return f"{self.shard.stem} {self.number}"

    @property
    def order(self) -> tuple[str, int]:
        """Read in this order, every row group is read once."""
        return str(self.shard), self.number

    def read(self) -> bytes:
        """The bytes. Raises Unusable where the shard is damaged or not what it was."""
        try:
            with _LOCK:
                rows = _group(self.shard, stamp(self.shard), self.group, self.column)
            value = rows[self.place].as_py()
        except (*DAMAGE, IndexError) as error:
            raise Unusable(self, f"can't be read ({' '.join(str(error).split())})") from error
        content = value["bytes"] if isinstance(value, dict) else value
        if content is None:
            raise Unusable(self, "is empty")
        return content


_LOCK = threading.Lock()
"""Threads that want the same row group wait for one of them to read it."""


@lru_cache(maxsize=GROUPS_HELD)
def _group(shard: Path, _: tuple[int, int], group: int, column: str) -> pa.ChunkedArray:
    # Neither threads of its own nor any read ahead: forked workers use it.
    with pq.ParquetFile(shard, pre_buffer=False) as content:
        return content.read_row_group(group, columns=[column], use_threads=False).column(0)


def labelled_cells(request: Request, name: str, shards: Sequence[Path]) -> dict[str, list[Cell]]:
    """Class -> its images, in the order of the shards. Classes are numbers of as many digits.

    Labels are read once, and where each image lies is kept until a shard changes. Under
    `request.bad_samples` an image whose label is no number from 0 on is left out or refused. Raises UserError
    for what is no parquet file, and for one without the columns.
    """

    def look(report: Report) -> dict[str, np.ndarray]:
        rows, columns, largest = [], [], 0
        for number, shard in enumerate(shards):
            found, column, size = _looked_through(shard, report)
            rows += [(number, *each) for each in found]
            columns.append(column)
            largest = max(largest, size)
        if largest > LARGE_GROUP:
            request.say(
                f"{name}: row groups of up to {largest / 2**20:,.0f} MB, read whole for any image of theirs: "
                "shards with a hundred rows in each (row_group_size=100) are faster"
            )
        return {"rows": np.array(rows, np.int64).reshape(-1, 5), "columns": np.array(columns, np.str_)}

    identity = {
        "parquet shards": VERSION,
        "files": stamps([shard.absolute() for shard in shards], Path("/")),
    }
    arrays = cached(request, name, identity, look)
    columns = [str(each) for each in arrays["columns"]]
    labelled: dict[str, list[Cell]] = {}
    for number, group, place, row, label in arrays["rows"].tolist():
        cell = Cell(shards[number], group, place, columns[number], row)
        labelled.setdefault(f"{label:05d}", []).append(cell)
    return labelled


def _looked_through(shard: Path, report: Report) -> tuple[list[tuple[int, int, int, int]], str, int]:
    """Of every labelled image its group, place in that, row and label; the column; the largest group's
    bytes."""
    with opened(shard) as content:
        names = content.schema_arrow.names
        image, label = (find_column(shard, names, each) for each in (IMAGE_COLUMNS, LABEL_COLUMNS))
        kind, column = content.schema_arrow.field(image).type, image
        if not is_bytes(kind):
            check_struct(shard, kind)
            column = f"{image}.bytes"
        metadata = content.metadata
        lengths = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        sizes = [_bytes_of(metadata.row_group(number), column) for number in range(len(lengths))]
        values = content.read(columns=[label]).column(0).to_pylist()
    found, row = [], 0
    for group, length in enumerate(lengths):
        for place in range(length):
            if (number := label_of(values[row], HIGHEST_LABEL + 1)) is None:
                shown = f"{values[row]!r:.{SHOWN}}"
                report(shard, f"the label of row {row} is {shown}, no whole number from 0 to {HIGHEST_LABEL}")
            else:
                found.append((group, place, row, number))
            row += 1
    return found, column, max(sizes, default=0)


def _bytes_of(group: pq.RowGroupMetaData, column: str) -> int:
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(each.total_uncompressed_size for each in columns if each.path_in_schema == column)
