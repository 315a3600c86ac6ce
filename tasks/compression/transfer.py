"""What the features of a compression student are probed with beyond its own data: other image datasets."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional as F
from torchvision.datasets import STL10

from benchmark import Data, Request, Samples, Target, UserError
from benchmark.data.feed import read_all, some_of
from benchmark.data.locating import irregular
from tasks.compression import cards

DIGITS_TEST = 0.4
"""Share of scikit-learn's 1,797 digits that is the test split."""

MOST_READ = 10_000
"""Images of a dataset on disk that are asked for."""

IMAGES = ("cifar10", "cifar100", "image_folder")


def targets(data: Data, request: Request) -> dict[str, Callable[[], Target]]:
    """Target name -> loader: scikit-learn's digits, and other image datasets where they are found."""
    shape = data.modalities["rgb"].shape
    found: dict[str, Callable[[], Target]] = {"digits": partial(digits, shape)}
    for name in IMAGES:
        if name != data.name.removesuffix(f"_{shape[-1]}") and _is_there(name, request):
            found[name] = partial(_images, name, request, shape)
    if (stl10 := _stl10(request)) is not None:
        found["stl10"] = partial(_target, *stl10, shape)
    return found


def digits(shape: tuple[int, ...]) -> Target:
    """The 8 x 8 handwritten digits of scikit-learn as RGB images of `shape` (3, H, W), 60 % to fit on."""
    images, labels = load_digits(return_X_y=True)
    gray = torch.from_numpy(images.reshape(-1, 1, 8, 8) * 255 / 16).expand(-1, 3, -1, -1)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=DIGITS_TEST, random_state=0, stratify=labels
    )
    fitted, tested = ((gray[index], torch.from_numpy(labels[index]).long()) for index in (train, test))
    return _target(fitted, tested, shape)


def _images(name: str, request: Request, shape: tuple[int, ...]) -> Target:
    data = cards.cards()[name].load(request)
    parts = [some_of(part, MOST_READ) for part in (data.train, data.test)]
    train, test = ((read_all(part)["rgb"], part.labels) for part in parts)
    return _target(train, test, shape)


def _is_there(name: str, request: Request) -> bool:
    """Whether the folder of a dataset is there; a damaged one raises UserError when it is loaded."""
    if request.data_dir is None:
        return False
    return (request.data_dir / name).is_dir()


def _stl10(request: Request) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Train and test of STL-10 as torchvision keeps it, under DATA_DIR/stl10 or DATA_DIR; None without it."""
    for folder in () if request.data_dir is None else (request.data_dir / "stl10", request.data_dir):
        base = folder / STL10.base_folder
        if base.is_dir():
            for name, _ in (*STL10.train_list, *STL10.test_list):
                if os.path.lexists(base / name) and (problem := irregular(base / name)):
                    raise UserError(f"{base / name} {problem}: it must be a file of STL-10")
            try:
                parts = [STL10(str(folder), split) for split in ("train", "test")]
            except (RuntimeError, OSError, ValueError) as error:
                raise UserError(f"{base} is no intact STL-10: fetch it again, or move it away") from error
            train, test = ((torch.from_numpy(p.data), torch.from_numpy(p.labels).long()) for p in parts)
            return train, test
    return None


def _target(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> Target:
    """Images [N, 3, h, w] with values in 0..255, resized to `shape`, and labels."""
    return Target(*(Samples({"rgb": _resized(images, shape)}, labels) for images, labels in (train, test)))


def _resized(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    if images.shape[1:] == shape:
        return images.to(torch.uint8)
    resized = F.interpolate(images.float(), size=shape[1:], mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
