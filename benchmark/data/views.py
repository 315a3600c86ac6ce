"""Second views of a batch: strong changes of images, and rotations; which of them data allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from benchmark.contracts import Batch, Data, Modality
from benchmark.contracts.distiller import SecondView
from benchmark.data.feed import sent

REQUIREMENTS: Mapping[SecondView, str] = {
    "strong": "RGB images in 0..255 as all that teacher and student see, and one label per image",
    "rotated": "square images or clips as all that teacher and student see, and one label per sample",
}
"""What a view takes, in words."""

Operation = Callable[[Tensor, Tensor], Tensor]

OPERATIONS = 2
"""How many operations a strong view has, one after the other."""

LARGEST_CUT = 0.5
"""The side of the square that is cut out of a strong view is at most this share of its width."""

FILLING = (125, 123, 114)
"""The colour of the cut."""


def views_of(data: Data, seen: Iterable[str]) -> frozenset[SecondView]:
    """The second views that can be made where networks see the modalities `seen`."""
    modalities = [data.modalities[name] for name in seen]
    found: set[SecondView] = set()
    if not data.dense and modalities:
        if all(_is_rgb(each) for each in modalities):
            found.add("strong")
        if all(_is_square(each) for each in modalities):
            found.add("rotated")
    return frozenset(found)


def _is_rgb(modality: Modality) -> bool:
    return modality.spatial and modality.scale == 255 and len(modality.shape) == 3 and modality.shape[0] == 3


def _is_square(modality: Modality) -> bool:
    return modality.spatial and modality.shape[-1] == modality.shape[-2]


def rotated(batch: Batch, modalities: Iterable[str]) -> Batch:
    """Three copies of every sample's modalities, by 90, 180 and 270 degrees counter-clockwise.

    [B, C, *space] -> [3B, C, *space], sample i in rows 3i, 3i + 1, 3i + 2.
    """
    return {
        name: torch.stack([batch[name].rot90(turns, (-2, -1)) for turns in (1, 2, 3)], dim=1).flatten(0, 1)
        for name in modalities
    }


@dataclass(frozen=True)
class StrongDraws:
    """What is drawn for the strong view of B samples, on the CPU.

    operation   [2, B] int64, a row of `STRONG_OPERATIONS`
    strength    [2, B] in [0, 1), within the operation's range
    size        [B] in [0, 1), the side of the cut within 0..LARGEST_CUT widths
    place       [2, B] in [0, 1), row and column of its middle, in heights and widths
    """

    operation: Tensor
    strength: Tensor
    size: Tensor
    place: Tensor

    @classmethod
    def draw(cls, count: int, generator: torch.Generator) -> StrongDraws:
        return cls(
            torch.randint(len(STRONG_OPERATIONS), (OPERATIONS, count), generator=generator),
            torch.rand(OPERATIONS, count, generator=generator),
            torch.rand(count, generator=generator),
            torch.rand(2, count, generator=generator),
        )

    def of(self, rows: slice) -> StrongDraws:
        """Those of some of the samples."""
        return StrongDraws(*(x[..., rows] for x in (self.operation, self.strength, self.size, self.place)))


def strong(images: Tensor, draws: StrongDraws) -> Tensor:
    """Two random operations on each image and then a cut, [B, 3, H, W] in 0..255 -> uint8.

    The strong view of MLKD's and CRLD's code, its RandAugment(2, 10) (which never uses the 10): operations
    are drawn with replacement, strengths evenly in the operation's range. There the crop and the flip before
    it are drawn anew, here they are those of the batch.
    """
    images = images if images.dtype == torch.uint8 else images.round().clamp(0, 255).to(torch.uint8)
    for operation, strength in zip(draws.operation, draws.strength, strict=True):
        images = _each_its_own(images, operation, strength)
    return cut(images, draws.size, draws.place)


def _each_its_own(images: Tensor, operation: Tensor, strength: Tensor) -> Tensor:
    """Every image through its operation: [B, 3, H, W], [B], [B]; those of one operation go together."""
    order = operation.argsort(stable=True)
    counts = operation.bincount(minlength=len(STRONG_OPERATIONS)).tolist()
    where, amount = sent(order, images.device), sent(strength[order], images.device)
    parts = zip(STRONG_OPERATIONS.values(), images[where].split(counts), amount.split(counts), strict=True)
    changed = [operation(some, share) for operation, some, share in parts if len(some)]
    return torch.empty_like(images).index_copy_(0, where, torch.cat(changed))


def cut(images: Tensor, size: Tensor, place: Tensor) -> Tensor:
    """Fills a square of each image: [B, 3, H, W]; `size` and `place` as in `StrongDraws`.

    The square begins half its side before the middle, but not outside, and ends with the pixel that is its
    side farther.
    """
    height, width = images.shape[-2:]
    side = LARGEST_CUT * width * size
    begin = [
        (share * edge - side / 2).clamp(min=0).floor()
        for share, edge in zip(place, (height, width), strict=True)
    ]
    bounds = sent(torch.stack([*begin, *(each + side for each in begin)]), images.device)
    top, left, bottom, right = bounds[:, :, None]
    rows, columns = (torch.arange(edge, device=images.device) for edge in (height, width))
    inside = ((rows >= top) & (rows <= bottom))[:, None, :, None]
    inside = inside & ((columns >= left) & (columns <= right))[:, None, None, :]
    filling = sent(torch.tensor(FILLING, dtype=torch.uint8), images.device).view(1, 3, 1, 1)
    return torch.where(inside, filling, images)


def _plain(images: Tensor, share: Tensor) -> Tensor:
    return images


def _autocontrast(images: Tensor, share: Tensor) -> Tensor:
    return transforms.autocontrast(images)


def _equalize(images: Tensor, share: Tensor) -> Tensor:
    return transforms.equalize(images)


def _towards(dull: Callable[[Tensor], Tensor]) -> Operation:
    """Images that keep 0.05 to 0.95 of their difference from their `dull` form."""

    def apply(images: Tensor, share: Tensor) -> Tensor:
        end = dull(images).float()
        return (end + (images - end) * _spread(share, 0.05, 0.95)).to(torch.uint8)

    return apply


def _posterize(images: Tensor, share: Tensor) -> Tensor:
    """The upper 4 to 7 of 8 bits."""
    levels = (2 ** (8 - _spread(share, 4, 8).floor())).to(torch.uint8)
    return images // levels * levels


def _solarize(images: Tensor, share: Tensor) -> Tensor:
    """Values from a threshold in 0..256 on, inverted."""
    return torch.where(images < _spread(share, 0, 256), images, 255 - images)


def _moved(matrix: Callable[[Tensor, int, int], tuple[Tensor | float, ...]]) -> Operation:
    """Images resampled at the nearest place of an affine map, black outside.

    `matrix` takes the share of each image, the height and the width, and gives (a, b, c, d, e, f): the pixel
    at (x, y) shows what is at (a x + b y + c, d x + e y + f), both from the upper left corner.
    """

    def apply(images: Tensor, share: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        y = (torch.arange(height, device=images.device) + 0.5).view(1, -1, 1)
        x = (torch.arange(width, device=images.device) + 0.5).view(1, 1, -1)
        a, b, c, d, e, f = matrix(share.view(-1, 1, 1), height, width)
        columns = (a * x + b * y + c).floor().long().expand(count, height, width)
        rows = (d * x + e * y + f).floor().long().expand(count, height, width)
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        place = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten(1)
        found = images.flatten(2).gather(2, place[:, None].expand(-1, channels, -1)).view_as(images)
        return torch.where(inside[:, None], found, 0)

    return apply


def _rotation(share: Tensor, height: int, width: int) -> tuple[Tensor | float, ...]:
    """By up to 30 degrees, around the middle."""
    angle = (60 * share - 30) * (math.pi / 180)
    cosine, sine = angle.cos(), angle.sin()
    across = width / 2 - cosine * (width / 2) + sine * (height / 2)
    down = height / 2 - sine * (width / 2) - cosine * (height / 2)
    return cosine, -sine, across, sine, cosine, down


def _lean(share: Tensor) -> Tensor:
    """-0.3 to 0.3: of a shear, or of a side that an image is moved by."""
    return 0.6 * share - 0.3


def _spread(share: Tensor, low: float, high: float) -> Tensor:
    """[B] in 0..1 -> [B, 1, 1, 1] in low..high."""
    return (low + (high - low) * share).view(-1, 1, 1, 1)


STRONG_OPERATIONS: Mapping[str, Operation] = {
    "autocontrast": _autocontrast,
    "brightness": _towards(torch.zeros_like),
    "color": _towards(lambda images: transforms.rgb_to_grayscale(images, 3)),
    "contrast": _towards(lambda images: transforms.adjust_contrast(images, 0.0)),
    "equalize": _equalize,
    "identity": _plain,
    "posterize": _posterize,
    "rotate": _moved(_rotation),
    "sharpness": _towards(lambda images: transforms.adjust_sharpness(images, 0.0)),
    "shear_x": _moved(lambda share, height, width: (1, _lean(share), 0, 0, 1, 0)),
    "shear_y": _moved(lambda share, height, width: (1, 0, 0, _lean(share), 1, 0)),
    "solarize": _solarize,
    "translate_x": _moved(lambda share, height, width: (1, 0, _lean(share) * width, 0, 1, 0)),
    "translate_y": _moved(lambda share, height, width: (1, 0, 0, 0, 1, _lean(share) * height)),
}
"""uint8 images [B, 3, H, W] and the share [B] in 0..1 of the operation's range -> uint8."""
