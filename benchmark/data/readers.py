"""Reads image classification data as users have it: parquet tables, pickled CIFAR, class folders."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmark.contracts import Samples
from benchmark.data.locating import Listed
from benchmark.errors import UserError

IMAGE_COLUMNS = ("img", "image")

Table = tuple[Tensor, Tensor]
"""Images [N, 3, H, W] uint8 RGB and labels [N] int64."""


def read_parquet(files: Iterable[Path], label_columns: tuple[str, ...] = ("label",)) -> Table:
    """Reads image tables as on the Hugging Face hub: a column of {bytes, path} structs and one of labels.

    Raises UserError for a damaged file, a missing column, and an image that can't be decoded (by row) or has
    another size than the first one.
    """
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for file in files:
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file} is truncated or no parquet file: fetch it again ({reason})") from error
        struct = table.column(_column(file, table, IMAGE_COLUMNS)).combine_chunks()
        if not pa.types.is_struct(struct.type) or struct.type.get_field_index("bytes") < 0:
            raise UserError(
                f"{file}: the image column must hold structs with a field 'bytes', not {struct.type}"
            )
        encoded = struct.field("bytes").to_pylist()
        images.append(_stack(decode_all(encoded, lambda row, file=file: f"{file}: the image of row {row}")))
        labels.append(table.column(_column(file, table, label_columns)).to_numpy())
    _check_sizes(images, files)
    return _tensors(np.concatenate(images), np.concatenate(labels))


def decode_all(encoded: list[bytes | None], name: Callable[[int], str]) -> list[np.ndarray]:
    """Decodes images to uint8 [H, W, 3] RGB, in threads; UserError names the first that can't be."""

    def decode(row: int) -> np.ndarray | None:
        content = encoded[row]
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
        return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    with ThreadPoolExecutor() as pool:
        images = list(pool.map(decode, range(len(encoded)), chunksize=256))
    decoded: list[np.ndarray] = []
    for row, image in enumerate(images):
        if image is None:
            raise UserError(f"{name(row)} can't be decoded: mend or remove it")
        if decoded and image.shape != decoded[0].shape:
            sizes = [f"{shape[1]} x {shape[0]}" for shape in (image.shape, decoded[0].shape)]
            raise UserError(f"{name(row)} is {sizes[0]} pixels, the first one {sizes[1]}: sizes must agree")
        decoded.append(image)
    return decoded


def read_pickled_cifar(
    folder: Path, dataset: Callable[..., Any], download: bool
) -> tuple[Table, Table] | None:
    """Train and test of torchvision's CIFAR10 or CIFAR100 under `folder`; None where they aren't there.

    With `download` they are fetched into `folder` first. Raises UserError where that fails
    or a file is damaged.
    """
    try:
        parts = [dataset(str(folder), train=train, download=download) for train in (True, False)]
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise UserError(
            f"{folder}: a file of {dataset.__name__} is damaged: fetch it again ({error})"
        ) from error
    except (RuntimeError, OSError) as error:
        if download:
            raise UserError(f"{dataset.__name__} can't be downloaded to {folder}: {error}") from error
        return None
    train, test = (_tensors(part.data, np.asarray(part.targets)) for part in parts)
    return train, test


def read_class_folders(files: tuple[Listed, Listed], size: int) -> tuple[Table, Table, tuple[str, ...]]:
    """Train, test and class names of a tree of images (see `locating.class_folders`), resized to `size` x
    `size`."""
    trained, tested = files
    classes = tuple(sorted(trained))
    return _read_files(trained, classes, size), _read_files(tested, classes, size), classes


def fingerprint(parts: Mapping[str, Samples]) -> str:
    """16 hexadecimal digits of the SHA-256 over names and contents of splits."""
    digest = hashlib.sha256()
    for split, samples in parts.items():
        for name, tensor in (*samples.modalities.items(), ("labels", samples.labels)):
            digest.update(f"{split}/{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _read_files(files: Mapping[str, list[Path]], classes: tuple[str, ...], size: int) -> Table:
    listed = [(file, classes.index(name)) for name, each in files.items() for file in each]

    def read(file: Path) -> np.ndarray:
        content = np.frombuffer(file.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
        if image is None:
            raise UserError(f"{file} can't be decoded: mend or remove it")
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)

    with ThreadPoolExecutor() as pool:
        images = list(pool.map(read, [file for file, _ in listed]))
    return _tensors(np.stack(images), np.array([label for _, label in listed]))


def _column(file: Path, table: pa.Table, names: tuple[str, ...]) -> str:
    found = [name for name in names if name in table.column_names]
    if not found:
        wanted, there = " or ".join(names), ", ".join(table.column_names)
        raise UserError(f"{file} has no column {wanted}; its columns: {there}")
    return found[0]


def _stack(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8)


def _check_sizes(images: list[np.ndarray], files: Iterable[Path]) -> None:
    for file, part in zip(files, images, strict=True):
        if part.shape[1:] != images[0].shape[1:]:
            raise UserError(f"{file}: its images have another size than those of the first file")


def _tensors(images: np.ndarray, labels: np.ndarray) -> Table:
    """uint8 [N, H, W, 3] and labels as tensors [N, 3, H, W] and [N] int64."""
    moved = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return torch.from_numpy(moved), torch.from_numpy(labels.astype(np.int64))
