"""What a folder of registered colour and depth images holds: its files, its table of labels, its splits."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import UserError
from benchmark.data.locating import (
    IMAGE_SUFFIXES,
    candidate_folders,
    entries,
    is_given,
    not_found,
    printable,
)

COLOUR_FOLDERS = ("color", "colour", "rgb", "image")
LAYOUTS = (
    "rgbd_folder/color/NAME.png (or rgb/, image/; jpg too) with rgbd_folder/depth/NAME.png (16 bits); "
    "optional: labels.csv (columns file, label and, where wanted, split, group), "
    "classes.txt (a class a line), depth_scale.txt (units per metre, or the word relative)"
)
TEST_EVERY = 5


@dataclass(frozen=True)
class Row:
    """A line of labels.csv; empty where it says nothing."""

    label: str = ""
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Folder:
    """The files of both modalities by NAME, the rows of the table by NAME, and the names of the classes."""

    root: Path
    colour_folder: Path
    colour: Mapping[str, Path]
    depth: Mapping[str, Path]
    rows: Mapping[str, Row]
    classes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of all samples, sorted: every name that a file or a row of the table has.

        Where some of those that are tested on have a label, the others of them are no samples: next to
        nothing could be measured on them, and to train on frames of a tested group would be to look ahead.
        """
        return sorted(self._listed() - (self._chosen() - self.tested()))

    @property
    def files(self) -> list[Path]:
        """All files that decide what the samples are."""
        tables = [self.root / name for name in ("labels.csv", "classes.txt")]
        return [*self.colour.values(), *self.depth.values(), *(file for file in tables if file.is_file())]

    def row(self, name: str) -> Row:
        """The table's row, or an empty one."""
        return self.rows.get(name, Row())

    def group(self, name: str) -> str:
        """What the sample must not be torn from: its group, or only itself."""
        return self.row(name).group or name

    def tested(self) -> set[str]:
        """The names of the test split.

        Those of samples that can't be used are counted too, so that mending one moves no other.
        """
        chosen = self._chosen()
        return {name for name in chosen if self.row(name).label} or chosen

    def _listed(self) -> set[str]:
        return {*self.colour, *self.depth, *self.rows}

    def _chosen(self) -> set[str]:
        """The names that are not trained on: by the column `split`, else every fifth group, whole."""
        if any(row.split for row in self.rows.values()):
            return {name for name, row in self.rows.items() if row.split == "test"}
        listed = self._listed()
        labelled = {name for name in listed if self.row(name).label} or listed
        groups = sorted({self.group(name) for name in labelled})
        chosen = {*groups[TEST_EVERY - 1 :: TEST_EVERY]}
        return {name for name in listed if self.group(name) in chosen}


def find_folder(data_dir: Path | None) -> Folder:
    """The folder with both modalities; UserError where there is none, or where a table can't be read."""
    for root in candidate_folders(data_dir, "rgbd_folder", LAYOUTS):
        colour = next((root / each for each in COLOUR_FOLDERS if (root / each).is_dir()), None)
        if colour is None or not (root / "depth").is_dir():
            continue
        images, depths = _files(colour, IMAGE_SUFFIXES), _files(root / "depth", (".png",))
        if not images or not depths:
            raise UserError(f"{root / 'depth' if images else colour} holds no image; expected {LAYOUTS}")
        rows = read_table(root / "labels.csv")
        return Folder(root, colour, images, depths, rows, read_classes(root / "classes.txt", rows))
    raise not_found(data_dir, "rgbd_folder", LAYOUTS)


def read_table(file: Path) -> dict[str, Row]:
    """NAME -> row of labels.csv, empty where there is no such file.

    Raises UserError that names a line that is wrong, or a group that both splits have a part of.
    """
    if not is_given(file):
        return {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = dict(_rows(file, csv.DictReader(stream)))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"{file} is no CSV file in UTF-8: {error}") from error
    train, test = ({row.group for row in rows.values() if row.split == each} for each in ("train", "test"))
    if torn := sorted((train & test) - {""}):
        raise UserError(
            f"{file}: the group {torn[0]!r} is in train and in test: give all of its rows the same split"
        )
    return rows


def read_classes(file: Path, rows: Mapping[str, Row]) -> tuple[str, ...]:
    """The lines of classes.txt in their order, or else the labels of the table, sorted."""
    if not is_given(file):
        return tuple(sorted({row.label for row in rows.values()} - {""}))
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file} is no text in UTF-8: {error}") from error
    classes = tuple(line for line in lines if line)
    if len(set(classes)) < len(classes) or not classes:
        state = "names a class twice" if classes else "is empty"
        raise UserError(f"{file} {state}: give each class a line of its own")
    return classes


def _rows(file: Path, table: csv.DictReader[str]) -> Iterator[tuple[str, Row]]:
    if missing := {"file", "label"} - {*(table.fieldnames or ())}:
        raise UserError(
            f"{file} has no column {sorted(missing)[0]!r}: its first line must name file and label"
        )
    seen: set[str] = set()
    for content in table:
        place = f"{file}, line {table.line_num}"
        cells = {key: (value or "").strip() for key, value in content.items() if key is not None}
        path = Path(cells["file"])
        name = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
        if not name or name in seen:
            problem = f"{printable(name)} is there twice: remove one" if name else "name a file"
            raise UserError(f"{place}: {problem}")
        if cells.get("split", "train") not in ("train", "test"):
            raise UserError(f"{place}: the split is {cells['split']!r}: it must be train or test")
        seen.add(name)
        yield name, Row(cells["label"], cells.get("split", ""), cells.get("group", ""))


def _files(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in entries(folder):
        if file.suffix.lower() not in suffixes:
            continue
        if file.stem in found:
            raise UserError(f"{found[file.stem]} and {file.name} have the same name: remove one")
        found[file.stem] = file
    return found
