"""How far a network's answers survive images that are worse at test time than those that it learnt from.

Kinds and strengths are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (ICLR 2019), in their form for images of 32 pixels (CIFAR-10-C), severities 1,
3 and 5. torchvision does the work on images; what it draws comes from torch's global state, so noise is added
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from benchmark.contracts import Modality
from benchmark.seeds import generator

NOISE = "gaussian_noise"
STRENGTHS = {
    NOISE: (0.04, 0.08, 0.10),
    "gaussian_blur": (0.4, 0.7, 1.0),
    "brightness": (1.1, 1.3, 1.6),
    "contrast": (0.75, 0.4, 0.15),
    "low_resolution": (0.95, 0.85, 0.65),
}
"""Kind -> its strengths 1, 2, 3, the mildest first.

gaussian_noise   standard deviation, as a share of the range of values
gaussian_blur    standard deviation in pixels where the shorter side has 32; it grows with the image
brightness       factor; the paper adds 0.05, 0.15, 0.3, which is what a value of one half gains by it
contrast         factor on the distance to the image's mean grey (the paper's mean is that of each channel)
low_resolution   share of both sides that is left, before they are scaled up again (the paper: `pixelate`);
                 bilinear with antialiasing, where the paper averages boxes
"""

SIDE = 32
SEED = 0
"""Of the noise: the same for every network and run."""


@dataclass(frozen=True)
class Values:
    """What the raw values of a modality are between; low and span [C], in its own units.

    image   whether its last two axes are rows and columns; signals know noise alone
    holes   whether 0 says that nothing was measured there
    """

    low: Tensor
    span: Tensor
    image: bool
    holes: bool = False

    @classmethod
    def of(cls, modality: Modality, train: Iterable[Tensor]) -> Values:
        """0 to 255 for uint8, else the extremes of each channel over the training samples.

        train   pieces [N, C, *space] of them; of uint8 the first is enough, and no other is asked for

        An image of one channel in other whole numbers whose least one is 0 is a depth map: its holes are
        left out of the extremes.
        """
        lows, highs, measured = [], [], []
        for piece in train:
            channels = piece.shape[1]
            if piece.dtype == torch.uint8:
                return cls(torch.zeros(channels), torch.full((channels,), 255.0), modality.spatial)
            axes = (0, *range(2, piece.ndim))
            lows.append(piece.amin(axes))
            highs.append(piece.amax(axes))
            if channels == 1 and modality.spatial and (piece > 0).any():
                measured.append(piece[piece > 0].min())
        least, high = torch.stack(lows).amin(0), torch.stack(highs).amax(0).float()
        low, whole = least.float(), not least.is_floating_point()
        holes = modality.spatial and len(low) == 1 and whole and not low.any()
        if holes and measured:
            low = torch.stack(measured).min().float()[None]
        span = high - low
        return cls(low, torch.where(span > 0, span, 1.0), modality.spatial, holes)


class Corruption:
    """One kind of one strength (a number of `STRENGTHS`) for one pass over samples in their order.

    The noise is drawn sample by sample, so that no size of batch changes it; all strengths scale one draw.
    """

    def __init__(self, kind: str, strength: float, values: Mapping[str, Values]):
        self._kind, self._strength, self._values = kind, strength, values
        self._draws = {name: generator(SEED, "corruptions", name) for name in values}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """Raw values [B, C, *others, H, W] of an image or a clip, or [B, C, *space] of a signal, corrupted.

        They keep their type and unit. Frames are corrupted alike, and as images of their own; channels of an
        image that has neither one nor three are taken one at a time. Images are clipped to their range,
        signals are not. A signal passes everything but noise as it is. A hole stays a hole under every kind;
        what is computed of its surroundings takes it for the least value.
        """
        known = self._values[name]
        if not known.image and self._kind != NOISE:
            return x
        shape = (1, -1, *[1] * (x.ndim - 2))
        low, span = known.low.to(x.device).view(shape), known.span.to(x.device).view(shape)
        unit = (x.float() - low) / span
        unit = unit.clamp(0, 1) if known.image else unit
        if self._kind == NOISE:
            unit = unit + self._strength * self._noise(name, x)
        else:
            unit = _on_images(IMAGE_KINDS[self._kind], unit, self._strength)
        values = (unit.clamp(0, 1) if known.image else unit) * span + low
        if known.holes:
            values = torch.where(x == 0, 0.0, values)
        if not x.is_floating_point():
            limits = torch.iinfo(x.dtype)
            values = values.round().clamp(limits.min, limits.max)
        return values.to(x.dtype)

    def _noise(self, name: str, x: Tensor) -> Tensor:
        draw = self._draws[name]
        return torch.stack([torch.randn(x.shape[1:], generator=draw) for _ in range(len(x))]).to(x.device)


def _on_images(change: Callable[[Tensor, float], Tensor], x: Tensor, strength: float) -> Tensor:
    """`change` of each image (one or three channels) of x [B, C, *others, H, W] with values in [0, 1]."""
    frames = x.movedim(1, -3)
    apart = x.shape[1] not in (1, 3)
    # Networks may predict in half precision; what they are shown is the same for all of them.
    with torch.autocast(x.device.type, enabled=False):
        changed = change(frames.unsqueeze(-3) if apart else frames, strength)
    return (changed.squeeze(-3) if apart else changed).movedim(-3, 1)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """x [..., C, H, W]; the kernel reaches four deviations, as far as the image allows."""
    side = min(x.shape[-2:])
    sigma *= side / SIDE
    radius = min(math.ceil(4 * sigma), side - 1)
    return functional.gaussian_blur(x, [2 * radius + 1] * 2, [sigma] * 2)


def low_resolution(x: Tensor, share: float) -> Tensor:
    """x [..., C, H, W] scaled down to a share of both sides, and up again."""
    height, width = x.shape[-2:]
    small = functional.resize(x, [max(1, int(share * side)) for side in (height, width)])
    return functional.resize(small, [height, width])


IMAGE_KINDS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "gaussian_blur": gaussian_blur,
    "brightness": functional.adjust_brightness,
    "contrast": functional.adjust_contrast,
    "low_resolution": low_resolution,
}
