"""Where datasets lie on disk: folders, parquet shards, trees of class folders; needs no torch."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path

from benchmark.errors import UserError
from benchmark.reading import kind_of

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff")

TRAINING_NAMES = ("train", "training")
TEST_NAMES = (("test", "testing"), ("val", "valid", "validation"))
"""What the folder of a split may be called, in any case; the first kind that is there is tested on."""

SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)(?!\d)", re.DOTALL)
"""How a shard's name says which it is of how many; a hash may follow."""

SPLITS_EXPECTED = "train/<class>/ with test/<class>/ (or val/, valid/, validation/), or <class>/ alone"

Listed = dict[str, list[Path]]
"""Class -> its files."""


def irregular(file: Path) -> str:
    """Why a path can't be opened as a file of data; empty for a regular file, or a link to one.

    Opening a named pipe waits for ever, and a device may not end: whoever opens data asks this first.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:
        if file.is_symlink():
            return "is a link to nothing"
        return f"can't be read ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISREG(mode):
        return "" if os.access(file, os.R_OK) else "can't be read (permission denied)"
    return f"is {kind_of(mode)}"


def is_given(file: Path) -> bool:
    """Whether an optional file is there. Raises UserError where its name is taken by something else."""
    if not os.path.lexists(file):
        return False
    if problem := irregular(file):
        raise UserError(f"{printable(file)} {problem}: a file is expected there, or nothing")
    return True


def printable(text: object) -> str:
    """The text in one line that every terminal takes: whatever can't be printed is escaped."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted. Raises UserError where it can't be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{printable(folder)} can't be listed: {error.strerror}") from error


def candidate_folders(data_dir: Path | None, name: str, layouts: str) -> list[Path]:
    """Where a dataset may be: DATA_DIR/name, or DATA_DIR itself; UserError where there is no folder."""
    if data_dir is None:
        raise UserError(f"{name} is real data: give --data-dir DIR with {layouts}")
    if not data_dir.is_dir():
        raise UserError(f"--data-dir {data_dir} is no folder; {name} needs {layouts}")
    return [folder for folder in (data_dir / name, data_dir) if folder.is_dir()]


def not_found(data_dir: Path | None, name: str, layouts: str) -> UserError:
    """The error for a folder that holds no dataset of this name."""
    state = "is empty" if data_dir is not None and not entries(data_dir) else "holds none"
    return UserError(f"{name} not found: --data-dir {data_dir} {state}; expected {layouts}")


def split_files(folder: Path, split: str, suffix: str = ".parquet") -> list[Path]:
    """The files of a split: one file or numbered shards, in `folder`, its data/ or its plain_text/.

    Raises UserError for samples that would be read twice, and for shards of which some are missing.
    """
    for place in (folder, folder / "data", folder / "plain_text"):
        # Globbing leaves broken links out, of which the reader is to say that they are.
        there = entries(place) if place.is_dir() else []
        wanted = re.compile(rf"{split}(-.*)?{re.escape(suffix)}", re.DOTALL)
        files = [each for each in there if wanted.fullmatch(each.name)]
        if files:
            _check_shards(files, f"{split}{suffix}")
            return files
    return []


def _check_shards(files: list[Path], whole: str) -> None:
    """UserError where a whole split lies beside others of its files, and for shards too many or too few."""
    if len(files) > 1 and (single := next((each for each in files if each.name == whole), None)):
        other = next(each for each in files if each != single)
        raise UserError(f"{printable(single)} and {printable(other.name)} are both there: keep one of them")
    found: dict[str, list[re.Match[str]]] = {}
    for match in filter(None, (SHARD.match(each.name) for each in files)):
        found.setdefault(match[1], []).append(match)
    for name, shards in found.items():
        place = printable(f"{files[0].parent / name}-*")
        numbers, counts = ({int(each[part]) for each in shards} for part in (2, 3))
        if len(numbers) < len(shards) or len(counts) > 1:
            raise UserError(f"{place} are shards of more than one set: keep one of them")
        if len(numbers) != max(counts):
            raise UserError(f"{place} are {len(numbers)} of {max(counts)} shards: fetch the others")


def class_folders(folder: Path, suffixes: tuple[str, ...], *, nested: bool) -> tuple[Listed, Listed] | None:
    """Training and test files of a tree with one folder per class, sorted; None where there are none.

    Either train/<class>/ with test/<class>/ (or val/, valid/, validation/; any case), or <class>/ alone: then
    a fifth of every class, spread evenly over the sorted file names, is the test split. `nested` looks into
    folders below a class too. Raises UserError for a test class without training files, and where only some
    of the folders are those of splits.
    """
    folders = [each for each in entries(folder) if _is_listed(each) and each.is_dir()]
    training = _named(folders, TRAINING_NAMES)
    tests = [each for names in TEST_NAMES for each in _named(folders, names)]
    if training and tests:
        # A test folder without classes (unlabelled images) leaves it to the next one.
        found = ((each, _class_files(each, suffixes, nested)) for each in tests)
        tested, test = next(((each, files) for each, files in found if files), (tests[0], {}))
        train = _class_files(training[0], suffixes, nested)
        if extra := sorted(test.keys() - train.keys()):
            raise UserError(f"{tested} has the class {extra[0]!r}, which {training[0]} lacks")
    else:
        _check_classes(folder, folders, [*training, *tests], suffixes)
        files = _class_files(folder, suffixes, nested)
        train = {name: [f for i, f in enumerate(each) if i % 5 != 4] for name, each in files.items()}
        test = {name: each[4::5] for name, each in files.items()}
    return (train, test) if any(train.values()) and any(test.values()) else None


def _named(folders: Iterable[Path], names: tuple[str, ...]) -> list[Path]:
    """The folder with one of these names, in any case. Raises UserError where there are two."""
    found = [each for each in folders if each.name.lower() in names]
    if len(found) > 1:
        first, second, *_ = found
        raise UserError(f"{printable(first)} and {second.name} are both there: keep one of them")
    return found


def _check_classes(folder: Path, classes: list[Path], splits: list[Path], suffixes: tuple[str, ...]) -> None:
    """UserError where folders that seem to be splits would be taken for classes.

    A class may be called "train": where there are others beside it, and its files lie in it directly.
    """
    for split in splits:
        direct = any(file.suffix.lower() in suffixes for file in entries(split))
        if len(splits) == len(classes) or (not direct and _class_files(split, suffixes, nested=True)):
            raise UserError(
                f"{printable(folder)} holds {printable(split.name)}/, which looks like one split of two, "
                f"not like a class: expected {SPLITS_EXPECTED}"
            )


def _class_files(folder: Path, suffixes: tuple[str, ...], nested: bool) -> Listed:
    """Class -> its files; named pipes and broken links too, so that whoever reads them can name them."""
    files = {
        each.name: _files_below(each, suffixes, nested)
        for each in entries(folder)
        if _is_listed(each) and each.is_dir()
    }
    return {name: each for name, each in files.items() if each}


def _files_below(folder: Path, suffixes: tuple[str, ...], nested: bool) -> list[Path]:
    """Sorted; by names as far as that goes, since there may be millions. Links to folders aren't followed.

    Raises UserError where a folder can't be listed.
    """
    found, folders = [], [folder]
    for each in folders:
        try:
            with os.scandir(each) as there:
                listed = list(there)
        except OSError as error:
            raise UserError(f"{printable(each)} can't be listed: {error.strerror}") from error
        for entry in listed:
            if nested and entry.is_dir(follow_symlinks=False):
                folders.append(each / entry.name)
            elif _is_file(entry, suffixes):
                found.append((by_parts(entry.path), each / entry.name))
    return [file for _, file in sorted(found, key=itemgetter(0))]


def _is_file(entry: os.DirEntry[str], suffixes: tuple[str, ...]) -> bool:
    """By its name: a folder is none, and nor is a link to one."""
    name = entry.name
    if name.startswith(".") or os.path.splitext(name)[1].lower() not in suffixes:
        return False
    return not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir())


def by_parts(path: str) -> str:
    """What paths are sorted by, so that they have the order of `Path`s: folder by folder."""
    return path.replace(os.sep, "\0")


def _is_listed(path: Path) -> bool:
    return not path.name.startswith(".")
