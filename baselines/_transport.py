"""Couplings of two uniform marginals: inexact proximal point, entropic (Sinkhorn) and exact, batched.

Every solver takes a cost [..., n, m] and returns a coupling [..., n, m] whose rows sum to 1/n and whose
columns sum to 1/m. No gradient flows through a coupling. They work in float32 whatever the autocast state,
and stay finite for every cost in [0, 2].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmark.graphs import in_one_launch

LEAST = -87.0
"""Exponent of the smallest entry of a plan, 2e-38: what is below is no normal float32, and its exponential
takes a CPU a hundred times as long."""


@in_one_launch
@torch.no_grad()
def ipot(cost: Tensor, beta: float = 0.1, steps: int = 50) -> Tensor:
    """The optimal coupling by inexact proximal point steps, one scaling each (IPOT, Xie et al. 2018).

    Q = exp(-C / beta) * P; P <- diag(a) Q diag(b), where a fits the rows of Q diag(b) under the last step's
    b, and b then fits the columns. Potentials grow linearly with the steps, so the last b predicts the next
    one; without it the rows end far off. What is left of that error (below 1 %) is repaired at the end. Tight
    clusters of which one side holds more samples than the other need far more steps than 50: use `exact` for
    such costs.
    The k-th Q is exp(-k C / beta) under the product of all scalings, of which the logarithms are kept: no
    entry is lost to an underflow, and a step has one exponential per entry.
    cost [..., n, m] -> [..., n, m], a constant of the backward pass.
    """
    gain, row, column = _start(cost, beta)
    n, m = cost.shape[-2:]
    with torch.autocast(cost.device.type, enabled=False):
        b = gain.new_full((*gain.shape[:-2], m, 1), 1 / m)
        for step in range(1, steps + 1):
            plan = torch.add(row + column, gain, alpha=step).clamp_(min=LEAST).exp_()
            a = (n * (plan @ b)).reciprocal_()
            b = (m * (plan.mT @ a)).reciprocal_()
            row, column = row + a.log(), column + b.mT.log()
        return _with_uniform_marginals(a * plan * b.mT)


@in_one_launch
@torch.no_grad()
def sinkhorn(cost: Tensor, regularisation: float = 0.05, steps: int = 100) -> Tensor:
    """The coupling exp((f_i + g_j - C_ij) / regularisation), entropically regularised (Cuturi 2013).

    The potentials f and g are kept beside the plan, as in `ipot`.
    cost [..., n, m] -> [..., n, m], a constant of the backward pass.
    """
    gain, row, column = _start(cost, regularisation)
    n, m = cost.shape[-2:]
    with torch.autocast(cost.device.type, enabled=False):
        for _ in range(steps):
            plan = (gain + row + column).clamp_(min=LEAST).exp_()
            b = (m * plan.sum(-2, keepdim=True)).reciprocal_()
            a = (n * (plan @ b.mT)).reciprocal_()
            row, column = row + a.log(), column + b.log()
        return a * plan * b


@torch.no_grad()
def exact(cost: Tensor) -> Tensor:
    """An optimal coupling for n = m: a permutation matrix / n (Birkhoff), by linear assignment on the CPU.

    Raises ValueError where n != m. A cost that isn't finite counts as 0, so that a diverged network shows in
    its loss.
    cost [..., n, n] -> [..., n, n]; source: Birkhoff's theorem, scipy's linear_sum_assignment.
    """
    n, m = cost.shape[-2:]
    if n != m:
        raise ValueError(f"the exact solver couples as many rows as columns, got {n} and {m}")
    coupling = torch.zeros(cost.shape, dtype=torch.float32)
    finite = torch.nan_to_num(cost.detach().float(), nan=0.0, posinf=0.0, neginf=0.0).cpu().numpy()
    for matrix, plan in zip(finite.reshape(-1, n, n), coupling.view(-1, n, n), strict=True):
        rows, columns = linear_sum_assignment(matrix)
        plan[torch.from_numpy(rows), torch.from_numpy(columns)] = 1 / n
    return coupling.to(cost.device)


SOLVERS: dict[str, Callable[[Tensor], Tensor]] = {"ipot": ipot, "sinkhorn": sinkhorn, "exact": exact}
"""Solver name -> coupling of a cost, with the defaults above."""


def _with_uniform_marginals(plan: Tensor) -> Tensor:
    """A nearly uniform plan made exactly uniform (Altschuler et al., NeurIPS 2017, algorithm 2)."""
    n, m = plan.shape[-2:]
    plan = plan * (1 / n / plan.sum(-1, keepdim=True)).clamp(max=1)
    plan = plan * (1 / m / plan.sum(-2, keepdim=True)).clamp(max=1)
    missing_rows = (1 / n - plan.sum(-1, keepdim=True)).clamp(min=0)
    missing_columns = (1 / m - plan.sum(-2, keepdim=True)).clamp(min=0)
    return plan + missing_rows * missing_columns / missing_rows.sum(-2, keepdim=True).clamp(min=1e-12)


def _start(cost: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """-C / scale in float32, and the logarithms of the scalings of its rows and columns, all 0."""
    gain = cost.detach().to(torch.float32) / -scale
    return gain, gain.new_zeros(*gain.shape[:-1], 1), gain.new_zeros(*gain.shape[:-2], 1, gain.shape[-1])
