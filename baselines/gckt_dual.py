"""GCKT with the plain Kantorovich-Rubinstein objective in place of noise-contrastive estimation."""

from __future__ import annotations

from typing import Annotated

from baselines.gckt import GCKT
from benchmark import Choice, Context, baseline


@baseline("gckt_dual", title="GCKT (dual)", paper="Chen et al., CVPR 2021 (global term)", arxiv="2012.08674")
class GCKTDual(GCKT):
    """loss = cross-entropy + 0.8 / 0.07 * (mean score of independent pairs - that of joint ones, both ways).

    The factor 1 / 0.07 is what the gradient of NCE has by its temperature. That is not searched: a weight in
    proportion to it and scores divided by it cancel out.
    """

    def __init__(
        self,
        context: Context,
        *,
        objective: Annotated[str, Choice(("dual", "nce"), source="what sets it apart from GCKT")] = "dual",
        temperature: Annotated[float, Choice((0.07,), source="cancels out")] = 0.07,
        **options: float,
    ):
        super().__init__(context, objective=objective, temperature=temperature, **options)
