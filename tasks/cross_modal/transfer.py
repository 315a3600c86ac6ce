"""What features are probed with beyond their own data: other scenes and images with the same modalities."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Data, DatasetCard, Request, Samples, Target
from benchmark.data.feed import read_all

Cards = dict[str, DatasetCard]

DENSE = {"rooms_segmentation": "rooms", "nyuv2_segmentation_13": "nyuv2", "nyuv2_segmentation_40": "nyuv2"}
"""Dense datasets and the one with a label for each of the same images."""


def targets(data: Data, request: Request, cards: Cards) -> dict[str, Callable[[], Target]]:
    """Target name -> loader.

    The scenes of the same images for dense data; where the data folder has them, NYU Depth v2's scenes for
    networks of colour and depth, and other image sets for those of luminance and chrominance.
    """
    names = [DENSE[data.name]] if data.name in DENSE else []
    names += [name for name in _real(data, cards) if _is_there(name, request)]
    return {name: partial(_target, cards[name], request, data) for name in dict.fromkeys(names)}


def _real(data: Data, cards: Cards) -> list[str]:
    """Datasets with a label per sample that have what `data` has, other than itself."""
    prefix = "luma_chroma_" if "luma" in data.modalities else "nyuv2"
    return [name for name in cards if name.startswith(prefix) and name not in DENSE and name != data.name]


def _is_there(name: str, request: Request) -> bool:
    base = request.data_dir
    return base is not None and (base / name.removeprefix("luma_chroma_")).is_dir()


def _target(card: DatasetCard, request: Request, data: Data) -> Target:
    other = card.load(request)
    return Target(*(_like(data, part) for part in (other.train, other.test)))


def _like(data: Data, samples: Samples) -> Samples:
    """The modalities that `data` has too, at its resolution."""
    resized = {
        name: _resized(x, data.modalities[name].shape, averaged=name != "depth")
        for name, x in read_all(samples, samples.names & data.modalities.keys()).items()
    }
    return Samples(resized, samples.labels)


def _resized(x: Tensor, shape: tuple[int, ...], *, averaged: bool) -> Tensor:
    """x [N, C, H, W] at the rows and columns of `shape`; depth is picked, so that no hole is mixed in."""
    if x.shape[1:] == shape:
        return x
    if not averaged:
        return F.interpolate(x.float(), size=shape[1:], mode="nearest-exact").to(x.dtype)
    resized = F.interpolate(x.float(), size=shape[1:], mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
