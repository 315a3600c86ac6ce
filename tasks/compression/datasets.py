"""The datasets of the compression task: embedded shapes, CIFAR in either layout, any folder of classes."""

from __future__ import annotations

from functools import partial

import torch
from torchvision.datasets import CIFAR10, CIFAR100

from benchmark import Data, DatasetCard, Modality, Request, Samples
from benchmark.data.readers import (
    Table,
    candidate_folders,
    fingerprint,
    not_found,
    parquet_files,
    read_class_folders,
    read_parquet,
    read_pickled_cifar,
)

CIFAR_STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SHAPES_TRAIN, SHAPES_TEST = 4000, 2000
SIZES = {"image_folder": 32, "image_folder_64": 64, "image_folder_224": 224}


def cards() -> dict[str, DatasetCard]:
    """Dataset name -> card."""
    small = {"rgb": (3, 32, 32)}
    found = {"shapes": DatasetCard("Shapes, 12 figures", load_shapes, synthetic=True, shapes=small)}
    for name, dataset in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        title = f"CIFAR-{name.removeprefix('cifar')}"
        found[name] = DatasetCard(
            title,
            partial(load_cifar, name),
            synthetic=False,
            requires=_cifar_layouts(name, dataset),
            shapes=small,
        )
    for name, size in SIZES.items():
        title = f"Images of a folder, {size} x {size}"
        found[name] = DatasetCard(
            title,
            partial(load_folder, name),
            synthetic=False,
            requires=FOLDER_LAYOUTS,
            shapes={"rgb": (3, size, size)},
        )
    return found


def load_shapes(request: Request) -> Data:
    """The embedded dataset, drawn anew (about a second)."""
    # Imported here, so that the generator can be run as a program of its own.
    from tasks.compression.synthetic import CLASSES, shapes

    images, labels = (torch.from_numpy(each) for each in shapes(SHAPES_TRAIN + SHAPES_TEST, seed=7))
    train, test = (
        (images[:SHAPES_TRAIN], labels[:SHAPES_TRAIN]),
        (images[SHAPES_TRAIN:], labels[SHAPES_TRAIN:]),
    )
    return _data("shapes", train, test, CLASSES, ((0.5,) * 3, (0.25,) * 3), pad=2, synthetic=True)


def load_cifar(name: str, request: Request) -> Data:
    """CIFAR-10 or CIFAR-100, as parquet or as torchvision's pickles. Raises UserError where it is not
    there."""
    dataset = CIFAR10 if name == "cifar10" else CIFAR100
    layouts = _cifar_layouts(name, dataset)
    if request.download and request.data_dir is not None:
        (request.data_dir / name).mkdir(parents=True, exist_ok=True)
    for folder in candidate_folders(request.data_dir, name, layouts):
        files = [parquet_files(folder, split) for split in ("train", "test")]
        if all(files):
            train, test = (read_parquet(each, ("label", "fine_label")) for each in files)
            break
        if (found := read_pickled_cifar(folder, dataset, request.download)) is not None:
            train, test = found
            break
    else:
        raise not_found(request.data_dir, name, layouts)
    classes = CIFAR10_CLASSES if name == "cifar10" else tuple(f"class {number}" for number in range(100))
    return _data(name, train, test, classes, CIFAR_STATISTICS[name], pad=4)


def load_folder(name: str, request: Request) -> Data:
    """Any tree with a folder per class. Raises UserError where there is none."""
    for folder in candidate_folders(request.data_dir, "image_folder", FOLDER_LAYOUTS):
        if (found := read_class_folders(folder, SIZES[name])) is not None:
            train, test, classes = found
            return _data(name, train, test, classes, IMAGENET_STATISTICS, pad=SIZES[name] // 8)
    raise not_found(request.data_dir, name, FOLDER_LAYOUTS)


FOLDER_LAYOUTS = (
    "train/<class>/*.png with test/<class>/*.png (or val/), or <class>/*.png alone (jpg, webp, ... too)"
)


def _cifar_layouts(name: str, dataset: type[CIFAR10]) -> str:
    return (
        f"{name}/train.parquet and test.parquet (or shards train-*.parquet), "
        f"or {name}/{dataset.base_folder}/ as torchvision keeps it (--download fetches it)"
    )


def _data(
    name: str,
    train: Table,
    test: Table,
    classes: tuple[str, ...],
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    *,
    pad: int,
    synthetic: bool = False,
) -> Data:
    parts = {
        split: Samples({"rgb": images}, labels)
        for split, (images, labels) in (("train", train), ("test", test))
    }
    return Data(
        name=name,
        train=parts["train"],
        test=parts["test"],
        classes=classes,
        modalities={"rgb": Modality(tuple(train[0].shape[1:]), *statistics, scale=255.0)},
        fingerprint=fingerprint(parts),
        synthetic=synthetic,
        pad=pad,
        flip=True,
    )
