"""Loads the datasets of the compression task; their cards are in `cards`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10, CIFAR100

from benchmark import Data, Modality, Request, Samples, UserError
from benchmark.data.image_files import Framing, Place, read_by_class
from benchmark.data.loading import LeftOut
from benchmark.data.locating import Listed, candidate_folders, not_found, printable
from benchmark.data.parquet_shards import labelled_cells
from benchmark.data.readers import (
    Table,
    fingerprint,
    read_parquet,
    read_pickled_cifar,
)
from benchmark.data.tar_shards import labelled_members
from tasks.compression.cards import (
    FOLDER_LAYOUTS,
    IMAGENET_LAYOUTS,
    IMAGENET_SIZE,
    SIZES,
    cifar_layouts,
    cifar_tables,
    class_images,
    imagenet,
)

CIFAR_STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}
CIFAR_SIZE = (32, 32)
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SHAPES_TRAIN, SHAPES_TEST = 4000, 2000
SHAPES_SEED, SHAPES_TEST_SEED = 2026, 2027
"""The test images were drawn after everything else was settled: no score on them entered any choice."""


def load_shapes(request: Request) -> Data:
    """The embedded dataset, drawn anew (about a second)."""
    # Imported here, so that the generator can be run as a program of its own.
    from tasks.synthetic.shapes import CLASSES, shapes

    def drawn(count: int, seed: int) -> Table:
        images, labels = shapes(count, seed)
        return torch.from_numpy(images), torch.from_numpy(labels)

    train, test = drawn(SHAPES_TRAIN, SHAPES_SEED), drawn(SHAPES_TEST, SHAPES_TEST_SEED)
    return _of_tables("shapes", train, test, CLASSES, ((0.5,) * 3, (0.25,) * 3), pad=2, synthetic=True)


def load_cifar(name: str, request: Request) -> Data:
    """CIFAR-10 or CIFAR-100, as parquet or as torchvision's pickles.

    Raises UserError where it is not there, where nothing of it can be used, and where CIFAR-10 lies in the
    place of CIFAR-100: their tables look alike.
    """
    dataset = CIFAR10 if name == "cifar10" else CIFAR100
    classes = CIFAR10_CLASSES if name == "cifar10" else tuple(f"class {number}" for number in range(100))
    layouts = cifar_layouts(name)
    left_out = LeftOut(request, name)
    if request.download and request.data_dir is not None:
        _make_folder(request.data_dir / name)
    for folder in candidate_folders(request.data_dir, name, layouts):
        if (tables := cifar_tables(folder)) is not None:
            train, test = (
                read_parquet(each, ("label", "fine_label"), len(classes), CIFAR_SIZE, left_out.report)
                for each in tables
            )
            highest = int(train[1].max()) if len(train[1]) else len(classes)
            if name == "cifar100" and highest < len(CIFAR10_CLASSES):
                raise UserError(
                    f"{printable(tables[0][0])}: the highest training label is {highest}, as in "
                    f"CIFAR-10: ask for cifar10, or put CIFAR-100's files into {request.data_dir}/{name}/"
                )
            break
        if (found := read_pickled_cifar(folder, dataset, request.download)) is not None:
            train, test = found
            break
    else:
        raise not_found(request.data_dir, name, layouts)
    left_out.tell()
    return _of_tables(name, train, test, classes, CIFAR_STATISTICS[name], pad=4)


def load_folder(name: str, request: Request) -> Data:
    """Any tree with a folder per class, or parquet shards.

    Raises UserError where there is none, or nothing that can be used.
    """
    size = SIZES[name]
    files = [_by_class(name, request, part) for part in class_images(name, request)]
    return _of_images(name, request, files, size, "whole", FOLDER_LAYOUTS, pad=size // 8)


def load_imagenet(request: Request) -> Data:
    """ImageNet, or any data like it: images stay on disk, training sees random crops and mirror images.

    Raises UserError where there is none.
    """
    files = [_by_class("imagenet", request, part) for part in imagenet(request)]
    return _of_images("imagenet", request, files, IMAGENET_SIZE, "crops", IMAGENET_LAYOUTS, pad=0)


def _by_class(name: str, request: Request, part: Listed | list[Path]) -> Mapping[str, Sequence[Place]]:
    """Class -> its images, in files of their own or in shards."""
    if isinstance(part, dict):
        return part
    labelled = labelled_cells if part[0].suffix == ".parquet" else labelled_members
    return labelled(request, name, part)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} can't be made, to download to: {error.strerror}") from error


def _of_images(
    name: str,
    request: Request,
    files: Sequence[Mapping[str, Sequence[Place]]],
    size: int,
    framing: Framing,
    layouts: str,
    *,
    pad: int,
) -> Data:
    if len(files[0]) < 2:
        only = printable(next(iter(files[0]), "nothing"))
        raise UserError(f"{name} needs two classes or more, {only} is one: expected {layouts}")
    train, test, classes, content = read_by_class(request, name, files, size, framing)
    return _data(name, train, test, size, content, classes, IMAGENET_STATISTICS, pad=pad)


def _of_tables(name: str, train: Table, test: Table, *others: Any, **options: Any) -> Data:
    """`_data` of images in memory."""
    parts = {split: Samples({"rgb": images}, labels) for split, (images, labels) in
             (("train", train), ("test", test))}  # fmt: skip
    size = train[0].shape[-1]
    return _data(name, parts["train"], parts["test"], size, fingerprint(parts), *others, **options)


def _data(
    name: str,
    train: Samples,
    test: Samples,
    size: int,
    fingerprint: str,
    classes: tuple[str, ...],
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    *,
    pad: int,
    synthetic: bool = False,
) -> Data:
    if empty := [split for split, part in (("training", train), ("test", test)) if not len(part)]:
        raise UserError(f"{name} has no {empty[0]} image that can be used")
    return Data(
        name=name,
        train=train,
        test=test,
        classes=classes,
        modalities={"rgb": Modality((3, size, size), *statistics, scale=255.0)},
        fingerprint=fingerprint,
        synthetic=synthetic,
        pad=pad,
        flip=True,
    )
