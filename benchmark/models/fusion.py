"""Encoders of several inputs of any rank: a branch for each, joined behind the mean over space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.contracts import Activations
from benchmark.errors import UserError
from benchmark.models import architecture
from benchmark.models.encoders import CONVOLUTIONS, ConvTrunk
from benchmark.models.network import Network


class FusionEncoder(Network):
    """A ConvTrunk per input; their means over space go through a linear layer into one embedding.

    By name: `fusion_{width}`, and with `_deep` behind it for two convolutions per stage. Inputs
    [B, C, *space] of one, two or three spatial axes, in the pair's order. The embedding is as wide as one
    branch's last stage. The maps are those of the branches that share the last input's grid, side by side on
    the channel axis: a grid that the others don't have can't be shown with theirs.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], num_classes: int, *, width: int, depth: int = 1):
        super().__init__()
        branches = [
            ConvTrunk(shape[0], dimensions=len(shape) - 1, width=width, depth=depth) for shape in shapes
        ]
        self.branches = nn.ModuleList(branches)
        self._shown = [number for number, shape in enumerate(shapes) if shape[1:] == shapes[-1][1:]]
        features = branches[0].widths[-1]
        self.mix = nn.Linear(features * len(shapes), features, bias=False)
        self.norm = nn.BatchNorm1d(features)
        self.classifier = nn.Linear(features, num_classes)
        # Weights of both 2-D and 3-D convolutions have no channels-last format in common.
        formats = {len(shape): branch.memory_format for shape, branch in zip(shapes, branches, strict=True)}
        if not {3, 4} <= formats.keys():
            self.memory_format = formats[max(formats)]

    @property
    def _trunks(self) -> list[ConvTrunk]:
        return [branch for branch in self.branches if isinstance(branch, ConvTrunk)]

    @property
    def head(self) -> nn.Module:
        return self.classifier

    def norms(self) -> tuple[nn.Module | None, ...]:
        """Those of the branch that is shown; None where several stand side by side."""
        shown = self._trunks[self._shown[0]]
        return shown.norms() if len(self._shown) == 1 else (None,) * len(shown.norms())

    def show(self, *inputs: Tensor) -> Activations:
        """inputs [B, C, *space], one per branch -> Activations with 1 + stages maps."""
        seen = [branch.features(x) for branch, x in zip(self._trunks, inputs, strict=True)]
        joined = torch.cat([maps[-1].flatten(2).mean(2) for maps, _ in seen], dim=1)
        embedding = F.relu(self.norm(self.mix(joined)))
        shown = [seen[number] for number in self._shown]
        maps, preactivations = (
            tuple(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
            for levels in zip(*shown, strict=True)
        )
        return Activations(self.classifier(embedding), embedding, maps, preactivations)


def _register(name: str, width: int, depth: int) -> None:
    @architecture(name)
    def build(shapes: Sequence[tuple[int, ...]], num_classes: int) -> Network:
        if not shapes or any(len(shape) - 1 not in CONVOLUTIONS for shape in shapes):
            seen = ", ".join(str(tuple(shape)) for shape in shapes) or "none"
            raise UserError(f"{name} takes inputs of shape (channels, *space) with 1 to 3 axes, got {seen}")
        return FusionEncoder(shapes, num_classes, width=width, depth=depth)


for _width in (4, 8, 16, 32, 64):
    _register(f"fusion_{_width}", _width, depth=1)
    _register(f"fusion_{_width}_deep", _width, depth=2)
