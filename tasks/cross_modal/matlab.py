"""Reads small MATLAB files of any version: their numeric vectors and their lists of names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat

from benchmark import UserError
from benchmark.data.locating import irregular, printable
from benchmark.data.mat_files import sound_mat

LONGEST = 10_000
"""Numbers of a vector, and letters of a string, that are read: the longest published vector has 1,449."""

Leaf = tuple[str, np.ndarray]
"""A variable's (or a struct's field's) name, and a vector of numbers or of strings."""


def read_leaves(file: Path) -> dict[str, np.ndarray]:
    """Name -> vector, the fields of structs among them; UserError where the file is damaged.

    Versions up to 7 go through scipy, version 7.3 is HDF5.
    """
    if problem := irregular(file):
        raise UserError(f"{file} {problem}: a MATLAB file is expected there")
    try:
        if h5py.is_hdf5(file):
            with h5py.File(file) as content:
                return dict(_hdf5_leaves(content))
        return dict(_leaves(loadmat(sound_mat(file), simplify_cells=True)))
    except Exception as error:
        raise damaged(file, "MATLAB file", error) from error


def damaged(file: Path, kind: str, error: Exception) -> UserError:
    """The error for altered bytes, that make scipy and HDF5 raise whatever they are misread as."""
    reason = printable(" ".join(str(error).split()) or type(error).__name__)
    return UserError(f"{file} is damaged or no {kind}: fetch it again ({reason})")


def member(content: h5py.Group, name: str) -> h5py.Dataset | h5py.Group | None:
    """What a file itself holds under a name; None where there is nothing.

    HDF5 files may point to other files, by links and by where the bytes of a dataset lie: these would be
    opened, whatever they are. Raises ValueError for them.
    """
    link = content.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link to somewhere else")
    return own(content[name])


def own(item: Any) -> Any:
    """The item itself; ValueError for a dataset whose bytes lie in other files."""
    if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
        raise ValueError(f"{item.name} lies in other files")
    return item


def text(content: h5py.File, reference: h5py.Reference) -> str:
    """The string that a cell of an HDF5 file points to: MATLAB keeps it as 16-bit character codes.

    Raises ValueError, or whatever HDF5 raises, where it is none.
    """
    letters = own(content[reference])
    if letters.dtype.kind not in "ui" or letters.size > LONGEST:
        raise ValueError(f"{letters.name} is no string")
    return "".join(map(chr, letters[()].flatten()))


def array(content: h5py.Group, name: str) -> h5py.Dataset:
    """A variable that is known to be an array."""
    found = content[name]
    assert isinstance(found, h5py.Dataset)
    return found


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
    for name in map(str, content):
        item = member(content, name)
        if isinstance(item, h5py.Group):
            if name != "#refs#":
                yield from _hdf5_leaves(item)
        elif not isinstance(item, h5py.Dataset) or item.size is None or item.size > LONGEST:
            continue
        elif is_references(item):
            references = item[()].flatten()
            if all(item.file[each].attrs.get("MATLAB_class") == b"char" for each in references):
                yield name, np.array([text(item.file, each) for each in references], np.str_)
        elif item.dtype.kind in "buif":
            yield name, item[()].flatten()
