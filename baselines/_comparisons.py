"""The expensive parts that baselines share, beside other code for the same: for `python -m benchmark.speed`.

The engine names no baseline, so what needs names stands here. It asks for `comparisons`, and times them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._contrast import Embedded
from baselines._transport import exact, ipot, sinkhorn
from baselines.crd import CRD
from benchmark import Context, Shapes
from benchmark.contracts import Comparison

WIDTH = 48
"""Of the embeddings that a cost of transport is taken between."""
DIMENSION = 128
"""Of a bank's rows."""
REGULARISATION, STEPS = 0.05, 100
"""Sinkhorn's, ours and POT's."""
NEAR, NEAR_STEPS = 0.01, 200
"""The regularisation and steps with which POT's Sinkhorn is, like IPOT, within 1 % of the optimal cost and of
the marginals."""


def comparisons(
    device: torch.device,
    say: Callable[[str], None],
    *,
    costs: tuple[int, ...] = (64, 256),
    batch: int = 64,
    bank: int = 50_000,
    negatives: int = 16_384,
) -> Iterator[Comparison]:
    """Transport beside POT for costs [n, n], and the loss of a memory bank beside a gather of its negatives.

    say   is told what is left out, in one line
    """
    if find_spec("ot") is None:
        say("transport is not timed beside POT, which is not installed: pip install POT")
    else:
        for n in costs:
            yield from _transport(_cost(n).to(device))
    yield _bank(device, batch, bank, negatives)


def _cost(n: int) -> Tensor:
    """1 - cosine of random unit embeddings, [n, n]."""
    student, teacher = F.normalize(
        torch.randn(2, n, WIDTH, generator=torch.Generator().manual_seed(n)), dim=2
    )
    return 1 - student @ teacher.T


def _transport(cost: Tensor) -> Iterator[Comparison]:
    """Each solver on one cost [n, n]; POT gets the same tensors, in its fastest form for them."""
    import ot

    n = len(cost)
    size = f"cost {n} x {n}"
    even = cost.new_full((n,), 1 / n)

    def entropic(regularisation: float, steps: int) -> Tensor:
        return ot.bregman.sinkhorn_log(
            even, even, cost, regularisation, numItermax=steps, stopThr=0, warn=False
        )

    def optimal() -> Tensor:
        return ot.emd(even, even, cost)

    def costs_apart(ours: Tensor, theirs: Tensor) -> float:
        """Of the transport costs, relative to that of the optimal coupling."""
        return float(((ours - theirs) * cost).sum().abs() / (optimal() * cost).sum())

    def plans_apart(ours: Tensor, theirs: Tensor) -> float:
        return float((ours - theirs).abs().max() / theirs.abs().max())

    yield Comparison(
        f"sinkhorn/{n}", size, "POT, sinkhorn_log", partial(sinkhorn, cost, REGULARISATION, STEPS),
        partial(entropic, REGULARISATION, STEPS), plans_apart, 1e-3,
    )  # fmt: skip
    yield Comparison(
        f"ipot/{n}", size, "POT, sinkhorn_log to 1 %", partial(ipot, cost),
        partial(entropic, NEAR, NEAR_STEPS), costs_apart, 0.01,
    )  # fmt: skip
    yield Comparison(f"ipot-emd/{n}", size, "POT, emd", partial(ipot, cost), optimal, costs_apart, 0.01)
    yield Comparison(f"exact/{n}", size, "POT, emd", partial(exact, cost), optimal, costs_apart, 1e-5)


def _bank(device: torch.device, batch: int, size: int, negatives: int) -> Comparison:
    """What a bank costs in a step (draw, scores, loss and backward, both directions) beside the gather.

    The other way is that of CRD's reference code, without its draw, which happens in the data loader.
    """
    draw = torch.Generator().manual_seed(0)
    embedding = Shapes((10,), (DIMENSION,))
    labels = torch.randint(10, (size,), generator=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        distiller = CRD(Context(embedding, embedding, 10, size, labels), negatives=negatives).to(device)
    embedded = {
        side: F.normalize(torch.randn(batch, DIMENSION, generator=draw), dim=1).to(device).requires_grad_()
        for side in ("student", "teacher")
    }
    index = torch.randperm(size, generator=draw)[:batch].to(device)
    # The first batch of training sets the constants Z; evaluation leaves them and the banks alone.
    distiller.contrast(embedded, distiller.memory.draw(index))
    distiller.eval()

    def drawn() -> Tensor:
        """The same rows at each call."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(1)
            return distiller.memory.draw(index)

    def gradients(losses: dict[str, Tensor]) -> Tensor:
        """The loss of both sides and the gradients of their embeddings, in one row."""
        loss = losses["student"] + losses["teacher"]
        found = torch.autograd.grad(loss, list(embedded.values()))
        return torch.cat([loss.detach().view(1), *(each.flatten() for each in found)])

    rows = drawn()
    return Comparison(
        "bank",
        f"{size} x {DIMENSION}, {distiller.memory.num_negatives} negatives, batch {batch}",
        "gather, then bmm",
        lambda: gradients(distiller.contrast(embedded, drawn())),
        lambda: gradients(_gathered(distiller, embedded, rows)),
        lambda ours, theirs: float((ours[0] - theirs[0]).abs() / theirs[0].abs()),
        1e-5,
    )


def _gathered(distiller: CRD, embedded: Embedded, rows: Tensor) -> dict[str, Tensor]:
    """The losses of both directions as CRD's reference code computes them (ContrastMemory, ContrastLoss).

    rows [B, 1 + M]. The rows of the bank are gathered, [B, 1 + M, d], and multiplied one anchor at a time.
    """
    losses = {}
    for side, other in (("student", "teacher"), ("teacher", "student")):
        bank, constant = distiller.memory.bank(other), distiller.memory.get_buffer(f"{side}_normalizer")
        size, count = len(bank), rows.shape[1] - 1
        gathered = bank.index_select(0, rows.flatten()).view(*rows.shape, -1)
        scores = torch.bmm(gathered, embedded[side][:, :, None]).div(distiller.temperature).exp()
        scores = scores.squeeze(2) / constant
        noise = count / size
        positive, negative = scores[:, 0], scores[:, 1:]
        true = (positive / (positive + (noise + distiller.epsilon))).log()
        false = (torch.full_like(negative, noise) / (negative + (noise + distiller.epsilon))).log()
        losses[side] = -(true.sum() + false.sum()) / len(rows)
    return losses
