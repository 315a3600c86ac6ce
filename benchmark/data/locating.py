"""Where datasets lie on disk: folders, parquet shards, trees of class folders; needs no torch."""

from __future__ import annotations

from pathlib import Path

from benchmark.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff")

Listed = dict[str, list[Path]]
"""Class -> its files."""


def candidate_folders(data_dir: Path | None, name: str, layouts: str) -> list[Path]:
    """Where a dataset may be: DATA_DIR/name, or DATA_DIR itself; UserError where there is no folder."""
    if data_dir is None:
        raise UserError(f"{name} is real data: give --data-dir DIR with {layouts}")
    if not data_dir.is_dir():
        raise UserError(f"--data-dir {data_dir} is no folder; {name} needs {layouts}")
    return [folder for folder in (data_dir / name, data_dir) if folder.is_dir()]


def not_found(data_dir: Path | None, name: str, layouts: str) -> UserError:
    """The error for a folder that holds no dataset of this name."""
    state = "is empty" if data_dir is not None and not any(data_dir.iterdir()) else "holds none"
    return UserError(f"{name} not found: --data-dir {data_dir} {state}; expected {layouts}")


def parquet_files(folder: Path, split: str) -> list[Path]:
    """The parquet files of a split: one file or numbered shards, in `folder`, its data/ or its
    plain_text/."""
    for place in (folder, folder / "data", folder / "plain_text"):
        files = sorted([*place.glob(f"{split}.parquet"), *place.glob(f"{split}-*.parquet")])
        if files:
            return files
    return []


def class_folders(folder: Path, suffixes: tuple[str, ...], *, nested: bool) -> tuple[Listed, Listed] | None:
    """Training and test files of a tree with one folder per class, sorted; None where there are none.

    Either train/<class>/ with test/<class>/ (or val/, valid/), or <class>/ alone: then a fifth of every
    class, spread evenly over the sorted file names, is the test split. `nested` looks into folders below a
    class too. Raises UserError for a test class without training files.
    """
    tests = [folder / name for name in ("test", "val", "valid") if (folder / name).is_dir()]
    if (folder / "train").is_dir() and tests:
        train, test = (_class_files(each, suffixes, nested) for each in (folder / "train", tests[0]))
        if extra := sorted(test.keys() - train.keys()):
            raise UserError(f"{tests[0]} has the class {extra[0]!r}, which {folder / 'train'} lacks")
    else:
        files = _class_files(folder, suffixes, nested)
        train = {name: [f for i, f in enumerate(each) if i % 5 != 4] for name, each in files.items()}
        test = {name: each[4::5] for name, each in files.items()}
    return (train, test) if any(train.values()) and any(test.values()) else None


def _class_files(folder: Path, suffixes: tuple[str, ...], nested: bool) -> Listed:
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = {
        each.name: sorted(
            file
            for file in (each.rglob("*") if nested else each.iterdir())
            if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
        )
        for each in classes
    }
    return {name: each for name, each in files.items() if each}
