"""The datasets of the compression task: embedded shapes, CIFAR in either layout, any folder of classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark import DatasetCard, Request, deferred
from benchmark.data.locating import (
    IMAGE_SUFFIXES,
    Listed,
    candidate_folders,
    class_folders,
    entries,
    not_found,
    split_files,
)

PICKLES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
"""The folders in which torchvision keeps them."""

SIZES = {"image_folder": 32, "image_folder_64": 64, "image_folder_224": 224}
FOLDER_LAYOUTS = (
    "train/<class>/*.png with test/<class>/*.png (or val/, validation/), or <class>/*.png alone "
    "(jpg, webp, ... too), or parquet shards image_folder/train-*.parquet with test-*.parquet"
)
IMAGENET_LAYOUTS = (
    "imagenet/train/<class>/*.JPEG with imagenet/val/<class>/*.JPEG, or webdataset shards "
    "imagenet/train-*.tar with imagenet/val-*.tar (KEY.jpg and KEY.cls), or parquet shards "
    "imagenet/train-*.parquet with imagenet/validation-*.parquet (image and label)"
)
IMAGENET_SIZE = 224
READERS = "tasks.compression.datasets"


def cards() -> dict[str, DatasetCard]:
    """Dataset name -> card."""
    small = {"rgb": (3, 32, 32)}
    shapes = deferred(READERS, "load_shapes")
    found = {"shapes": DatasetCard("Shapes, 12 figures", shapes, synthetic=True, shapes=small)}
    for name in PICKLES:
        found[name] = DatasetCard(
            f"CIFAR-{name.removeprefix('cifar')}",
            deferred(READERS, "load_cifar", name),
            synthetic=False,
            requires=cifar_layouts(name),
            shapes=small,
            files=partial(cifar_files, name),
        )
    for name, size in SIZES.items():
        found[name] = DatasetCard(
            f"Images of a folder, {size} x {size}",
            deferred(READERS, "load_folder", name),
            synthetic=False,
            requires=FOLDER_LAYOUTS,
            shapes={"rgb": (3, size, size)},
            files=partial(folder_files, name),
        )
    found["imagenet"] = DatasetCard(
        "ImageNet",
        deferred(READERS, "load_imagenet"),
        synthetic=False,
        requires=IMAGENET_LAYOUTS,
        shapes={"rgb": (3, IMAGENET_SIZE, IMAGENET_SIZE)},
        files=imagenet_files,
    )
    return found


def cifar_layouts(name: str) -> str:
    """What --list says that CIFAR-10 or CIFAR-100 needs on disk."""
    return (
        f"{name}/train.parquet and test.parquet (or shards train-*.parquet), "
        f"or {name}/{PICKLES[name]}/ as torchvision keeps it (--download fetches it)"
    )


def cifar_tables(folder: Path) -> tuple[list[Path], list[Path]] | None:
    """The parquet files of train and test in a folder; None where one split has none."""
    train, test = (split_files(folder, split) for split in ("train", "test"))
    return (train, test) if train and test else None


def cifar_files(name: str, request: Request) -> list[Path]:
    """The files of CIFAR-10 or CIFAR-100, in either layout. Raises UserError where it is not there."""
    layouts = cifar_layouts(name)
    for folder in candidate_folders(request.data_dir, name, layouts):
        if (tables := cifar_tables(folder)) is not None:
            return [*tables[0], *tables[1]]
        if (folder / PICKLES[name]).is_dir():
            return entries(folder / PICKLES[name])
    raise not_found(request.data_dir, name, layouts)


Parts = tuple[Listed, Listed] | tuple[list[Path], list[Path]]
"""Training and test images by their classes, or the shards of both."""


def class_images(name: str, request: Request) -> Parts:
    """The images of a tree with a folder per class, or shards. Raises UserError where there is neither."""
    for folder in candidate_folders(request.data_dir, "image_folder", FOLDER_LAYOUTS):
        if (found := class_folders(folder, IMAGE_SUFFIXES, nested=True)) is not None:
            return found
        if (shards := _shards(folder, ".parquet", ("test", "val", "valid", "validation"))) is not None:
            return shards
    raise not_found(request.data_dir, name, FOLDER_LAYOUTS)


def imagenet(request: Request) -> Parts:
    """ImageNet's images by their classes, or shards. Raises UserError where there is neither."""
    # The images of its own test split have no labels.
    tested = ("val", "valid", "validation", "test")
    for folder in candidate_folders(request.data_dir, "imagenet", IMAGENET_LAYOUTS):
        for suffix in (".tar", ".parquet"):
            if (shards := _shards(folder, suffix, tested)) is not None:
                return shards
        if (found := class_folders(folder, IMAGE_SUFFIXES, nested=True)) is not None:
            return found
    raise not_found(request.data_dir, "imagenet", IMAGENET_LAYOUTS)


def _shards(folder: Path, suffix: str, tested: tuple[str, ...]) -> tuple[list[Path], list[Path]] | None:
    """The shards to train on and those to test on, by the first of these names that some have."""
    train = split_files(folder, "train", suffix)
    test = next(filter(None, (split_files(folder, each, suffix) for each in tested)), [])
    return (train, test) if train and test else None


def imagenet_files(request: Request) -> list[Path]:
    """Every image or shard. Raises UserError where there is none."""
    return _flat(imagenet(request))


def folder_files(name: str, request: Request) -> list[Path]:
    """Every image of the tree, or shard. Raises UserError where there is none."""
    return _flat(class_images(name, request))


def _flat(parts: Parts) -> list[Path]:
    lists = [[*part.values()] if isinstance(part, dict) else [part] for part in parts]
    return [file for each in lists for files in each for file in files]
