"""Reads image classification data as users have it: parquet tables and pickled CIFAR."""

from __future__ import annotations

import hashlib
import os
import pickle
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10

from benchmark.contracts import Samples, Stored
from benchmark.data.feed import in_pieces
from benchmark.data.loading import Report, Unusable
from benchmark.data.locating import irregular, printable
from benchmark.data.pictures import decode_picture, in_threads
from benchmark.errors import UserError

IMAGE_COLUMNS = ("img", "image")
BINARY = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
SHOWN = 40
"""Characters of a wrong label that a message repeats."""

Table = tuple[Tensor, Tensor]
"""Images [N, 3, H, W] uint8 RGB and labels [N] int64."""


def read_parquet(
    files: Iterable[Path],
    label_columns: tuple[str, ...],
    classes: int,
    size: tuple[int, int],
    report: Report,
) -> Table:
    """Reads image tables as on the Hugging Face hub: a column of {bytes, path} structs and one of labels.

    classes   labels are whole numbers from 0 to below it
    size      rows and columns that every image has
    report    takes the samples that are left out: an image that can't be decoded or has another size, a label
              that is none

    Raises UserError for a damaged file and for a missing column.
    """
    images: list[np.ndarray] = []
    labels: list[int] = []
    for file in files:
        encoded, values = _columns(file, label_columns)
        with closing(in_threads(lambda content: decode_picture("", content), encoded)) as decoded:
            for row, (image, value) in enumerate(zip(decoded, values, strict=True)):
                if isinstance(image, Unusable):
                    report(file, f"the image of row {row} {image.problem}")
                elif image.shape[:2] != size:
                    there, wanted = (f"{each[1]} x {each[0]}" for each in (image.shape, size))
                    report(file, f"the image of row {row} is {there} pixels, not {wanted}")
                elif (label := label_of(value, classes)) is None:
                    shown, last = f"{value!r:.{SHOWN}}", classes - 1
                    report(file, f"the label of row {row} is {shown}, no whole number from 0 to {last}")
                else:
                    images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                    labels.append(label)
    return _tensors(images, labels, size)


def read_pickled_cifar(folder: Path, dataset: type[CIFAR10], download: bool) -> tuple[Table, Table] | None:
    """Train and test of torchvision's CIFAR10 or CIFAR100 under `folder`; None where they aren't there.

    With `download` they are fetched into `folder` first. torchvision unpickles a file only after its checksum
    was found to be the published one. Raises UserError where that fails, or where fetching does.
    """
    base = folder / dataset.base_folder
    listed = [name for name, _ in (*dataset.train_list, *dataset.test_list)]
    opened = [base / name for name in (*listed, dataset.meta["filename"])]
    for file in (*opened, folder / dataset.filename):
        if os.path.lexists(file) and (problem := irregular(file)):
            raise UserError(f"{printable(file)} {problem}: it must be a file of {dataset.__name__}")
    if not base.is_dir() and not download:
        return None
    try:
        parts = [dataset(str(folder), train=train, download=download) for train in (True, False)]
    except (pickle.UnpicklingError, tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise UserError(
            f"{folder}: a file of {dataset.__name__} is damaged: fetch it again ({error})"
        ) from error
    except (RuntimeError, OSError) as error:
        if download:
            raise UserError(f"{dataset.__name__} can't be downloaded to {folder}: {error}") from error
        raise UserError(
            f"{base}: a file of {dataset.__name__} is missing, or its checksum is not the published one: "
            "fetch it again"
        ) from error
    train, test = (
        (torch.from_numpy(_channels_first(part.data)), torch.tensor(part.targets, dtype=torch.int64))
        for part in parts
    )
    return train, test


def fingerprint(parts: Mapping[str, Samples], names: Sequence[str] = ()) -> str:
    """16 hexadecimal digits of the SHA-256 over names and contents of splits.

    names   the order of modalities; by default that in which samples in memory hold them
    """
    digest = hashlib.sha256()
    for split, samples in parts.items():
        held = sorted(samples.names) if isinstance(samples.modalities, Stored) else samples.modalities
        pieces = {name: in_pieces(samples, name) for name in names or held}
        for name, tensors in (*pieces.items(), ("labels", iter([samples.labels]))):
            for number, tensor in enumerate(tensors):
                if not number:
                    shape = (len(samples), *tensor.shape[1:])
                    digest.update(f"{split}/{name} {shape} {tensor.dtype}".encode())
                # What is no tensor is refused once the dataset is there, with its name.
                digest.update(torch.as_tensor(tensor).contiguous().numpy().data)
    return digest.hexdigest()[:16]


DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""Altered bytes surface as nearly any exception, in pyarrow or where strings are made of them."""


@contextmanager
def opened(file: Path) -> Iterator[pq.ParquetFile]:
    """A parquet file. Raises UserError where it is none, and where reading it finds that it is damaged."""
    if problem := irregular(file):
        raise UserError(f"{printable(file)} {problem}: a parquet file is expected there")
    try:
        with pq.ParquetFile(file) as content:
            yield content
    except DAMAGE as error:
        reason = printable(" ".join(str(error).split()))
        raise UserError(f"{file} is truncated or no parquet file: fetch it again ({reason})") from error


def find_column(file: Path, there: list[str], names: tuple[str, ...]) -> str:
    """The first of `names` among a file's columns. Raises UserError where it isn't there, or twice."""
    found = [name for name in names if name in there]
    if not found:
        wanted, shown = " or ".join(names), printable(", ".join(there[:SHOWN]))
        raise UserError(f"{file} has no column {wanted}; its columns: {shown}")
    if there.count(found[0]) > 1:
        raise UserError(f"{file} has the column {found[0]} twice")
    return found[0]


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings of bytes."""
    return any(is_binary(kind) for is_binary in BINARY)


def check_struct(file: Path, kind: pa.DataType) -> None:
    """Raises UserError where a column's type is no struct with a field of bytes."""
    place = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    if place < 0 or not is_bytes(kind.field(place).type):
        shown = printable(kind)[:SHOWN]
        raise UserError(
            f"{file}: the image column must hold structs with a binary field 'bytes', not {shown}"
        )


def label_of(value: Any, classes: int) -> int | None:
    """A label as the class's number; None for what is none (1.7, for one)."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool):
        return None
    label = int(value)
    return label if 0 <= label < classes else None


def _columns(file: Path, label_columns: tuple[str, ...]) -> tuple[list[bytes | None], list[Any]]:
    """The encoded images and the labels of a parquet file, row by row. Raises UserError."""
    with opened(file) as content:
        names = content.schema_arrow.names
        image, label = (find_column(file, names, each) for each in (IMAGE_COLUMNS, label_columns))
        table = content.read(columns=[image, label])
        check_struct(file, table.column(image).type)
        encoded = [row for chunk in table.column(image).chunks for row in _bytes_of(chunk)]
        return encoded, table.column(label).to_pylist()


def _bytes_of(chunk: pa.StructArray) -> Iterator[bytes | None]:
    # Flattened, so that a row that is null itself has no bytes either.
    return iter(chunk.flatten()[chunk.type.get_field_index("bytes")].to_pylist())


def _tensors(images: list[np.ndarray], labels: list[int], size: tuple[int, int]) -> Table:
    """uint8 [H, W, 3] each and labels as tensors [N, 3, H, W] and [N] int64."""
    stacked = np.stack(images) if images else np.empty((0, *size, 3), np.uint8)
    return torch.from_numpy(_channels_first(stacked)), torch.tensor(labels, dtype=torch.int64)


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
