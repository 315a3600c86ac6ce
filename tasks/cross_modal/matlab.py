"""Reads small MATLAB files of any version: their numeric vectors and their lists of names."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from benchmark import UserError

Leaf = tuple[str, np.ndarray]
"""A variable's (or a struct's field's) name, and a vector of numbers or of strings."""


def read_leaves(file: Path) -> dict[str, np.ndarray]:
    """Name -> vector, the fields of structs among them; UserError where the file is damaged.

    Versions up to 7 go through scipy, version 7.3 is HDF5.
    """
    try:
        if h5py.is_hdf5(file):
            with h5py.File(file) as content:
                return dict(_hdf5_leaves(content))
        return dict(_leaves(loadmat(file, simplify_cells=True)))
    except (MatReadError, ValueError, TypeError, KeyError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file} is damaged or no MATLAB file: fetch it again ({error})") from error


def text(content: h5py.File, reference: h5py.Reference) -> str:
    """The string that a cell of an HDF5 file points to: MATLAB keeps it as 16-bit character codes."""
    return "".join(map(chr, content[reference][()].flatten()))


def is_references(dataset: h5py.Dataset) -> bool:
    """Whether it is a cell array: references to what the cells hold."""
    return h5py.check_ref_dtype(dataset.dtype) is not None


def _leaves(content: dict[str, Any]) -> Iterator[Leaf]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        elif not name.startswith("__"):  # what scipy adds of its own
            flat = np.asarray(value).flatten()
            if len(flat) and all(isinstance(each, str) for each in flat):
                yield name, flat.astype(np.str_)
            elif flat.dtype.kind in "buif":
                yield name, flat


def _hdf5_leaves(content: h5py.Group) -> Iterator[Leaf]:
    for name, item in content.items():
        if isinstance(item, h5py.Group):
            if name != "#refs#":
                yield from _hdf5_leaves(item)
        elif is_references(item):
            references = item[()].flatten()
            if all(item.file[each].attrs.get("MATLAB_class") == b"char" for each in references):
                yield name, np.array([text(item.file, each) for each in references], np.str_)
        elif item.dtype.kind in "buif":
            yield name, item[()].flatten()
