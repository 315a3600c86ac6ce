"""What methods that imitate one map of the teacher share: which one, and a regressor that reaches it."""

from __future__ import annotations

from torch import Tensor, nn

from baselines._maps import check_same_axes, pool_match
from baselines._projection import BATCH_NORMS, CONVOLUTIONS
from benchmark import Activations, Context, NotApplicable


class Hint(nn.Module):
    """A map of both networks on the smaller of both grids, the student's brought to the teacher's channels.

    layer   -1 for the last map. Equal channels are left as they are; others pass a 1x1 convolution with batch
            norm. Raises NotApplicable where there is no such map, or the spatial axes differ.
    """

    def __init__(self, context: Context, layer: int):
        super().__init__()
        shortest = min(len(context.student.maps), len(context.teacher.maps))
        if not -shortest <= layer < shortest:
            raise NotApplicable(f"layer {layer} isn't there: the shallower network has {shortest} maps")
        ours, theirs = context.student.maps[layer], context.teacher.maps[layer]
        check_same_axes(ours, theirs)
        axes = len(theirs) - 1
        self.layer = layer
        self.adapt = (
            nn.Identity()
            if ours[0] == theirs[0]
            else nn.Sequential(CONVOLUTIONS[axes](ours[0], theirs[0], 1), BATCH_NORMS[axes](theirs[0]))
        )

    def forward(self, teacher: Activations, student: Activations) -> tuple[Tensor, Tensor]:
        """(student's, teacher's) map [B, C, *space] of one shape, float32."""
        ours, theirs = pool_match(student.maps[self.layer], teacher.maps[self.layer])
        return self.adapt(ours).float(), theirs.float()
