"""One computation in two ways, to be timed side by side: what shared parts of baselines are measured by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Comparison:
    """What a plugin computes beside somebody else's way, on the same tensors.

    name             a word of its own, as bounds name it
    size             what it is computed on, in words
    rival            whose way the other one is, in words
    ours, theirs     compute it once, nothing kept between calls
    difference       (what ours gives, what theirs gives) -> how far apart they are
    tolerance        the largest difference that counts as the same
    """

    name: str
    size: str
    rival: str
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    difference: Callable[[Tensor, Tensor], float]
    tolerance: float
