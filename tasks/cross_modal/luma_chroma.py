"""Luminance and chrominance of any image dataset: two modalities of every picture, apart from each other."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from benchmark import Data, Modality, Request, Samples
from benchmark.data.feed import read_all
from benchmark.data.readers import fingerprint
from tasks.compression import cards as images

LUMA_STATISTICS = ((0.4808,), (0.2389,))
CHROMA_STATISTICS = ((0.4826, 0.5094), (0.0587, 0.0514))
"""Mean and standard deviation, measured on the training images of CIFAR-10 and used for every source: what
they are needed for is the networks' scale, and natural images differ little in it."""

LUMA_WEIGHTS = (19595, 38470, 7471)
CHROMA_WEIGHTS = ((-11059, -21709, 32768), (32768, -27439, -5329))
"""The matrix of `luma_and_chroma` in units of 2^-16; rows Cb and Cr sum to 0, so that grey has no colour."""

FRACTION_BITS = 16
CHUNK = 4096


def load(source: str, request: Request) -> Data:
    """The images of `source`, as modalities `luma` [N, 1, H, W] and `chroma` [N, 2, H, W], both uint8.

    Raises UserError where they are not there.
    """
    # Colours are turned in memory, however large the source is.
    data = images.cards()[source].load(replace(request, memory_gb=math.inf))
    parts = {"train": _split(data.train), "test": _split(data.test)}
    shapes = {name: tuple(x.shape[1:]) for name, x in read_all(parts["train"]).items()}
    return replace(
        data,
        name=f"luma_chroma_{source}",
        train=parts["train"],
        test=parts["test"],
        modalities={
            "luma": Modality(shapes["luma"], *LUMA_STATISTICS, scale=255.0),
            "chroma": Modality(shapes["chroma"], *CHROMA_STATISTICS, scale=255.0),
        },
        fingerprint=fingerprint(parts),
    )


def luma_and_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Y [N, 1, H, W] and (Cb, Cr) [N, 2, H, W], uint8, of RGB [N, 3, H, W] uint8.

    Full range, as JPEG has them (ITU-R BT.601, JFIF 1.02):

        Y  = 0.299 R + 0.587 G + 0.114 B
        Cb = 128 - 0.168736 R - 0.331264 G + 0.5 B
        Cr = 128 + 0.5 R - 0.418688 G - 0.081312 B

    rounded to the nearest integer in fixed point, hence the same everywhere.
    """
    weights = torch.tensor((LUMA_WEIGHTS, *CHROMA_WEIGHTS), dtype=torch.int32)
    half, middle = 1 << (FRACTION_BITS - 1), 128 << FRACTION_BITS
    # One less than a half for chrominance: a saturated primary must stay at 255.
    offset = torch.tensor((half, middle + half - 1, middle + half - 1), dtype=torch.int32)
    found = torch.empty_like(rgb)
    for start in range(0, len(rgb), CHUNK):
        part = rgb[start : start + CHUNK].to(torch.int32)
        for channel in range(3):
            red, green, blue = weights[channel].tolist()
            total = red * part[:, 0] + green * part[:, 1] + blue * part[:, 2] + offset[channel]
            found[start : start + CHUNK, channel] = (total >> FRACTION_BITS).to(torch.uint8)
    return found[:, :1].contiguous(), found[:, 1:].contiguous()


def _split(samples: Samples) -> Samples:
    luma, chroma = luma_and_chroma(read_all(samples)["rgb"])
    return Samples({"luma": luma, "chroma": chroma}, samples.labels, samples.groups)
