"""Couplings of two uniform marginals: inexact proximal point, entropic (Sinkhorn) and exact, batched.

Every solver takes a cost [..., n, m] and returns a coupling [..., n, m] whose rows sum to 1/n and whose
columns sum to 1/m. No gradient flows through a coupling. They work in float32 whatever the autocast state,
and stay finite for every cost in [0, 2].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@torch.no_grad()
def ipot(cost: Tensor, beta: float = 0.1, steps: int = 50) -> Tensor:
    """The optimal coupling by inexact proximal point steps, one scaling each (IPOT, Xie et al. 2018).

    Q = exp(-C / beta) * P; P <- diag(a) Q diag(b), where a fits the rows of Q diag(b) under the last step's
    b, and b then fits the columns. Potentials grow linearly with the steps, so the last b predicts the next
    one; without it the rows end far off. What is left of that error (below 1 %) is repaired at the end. Tight
    clusters of which one side holds more samples than the other need far more steps than 50: use `exact` for
    such costs.
    cost [..., n, m] -> [..., n, m], a constant of the backward pass.
    """
    gain = _full_precision(cost) / -beta
    n, m = cost.shape[-2:]
    log_plan = torch.zeros_like(gain)
    log_b = gain.new_full((*gain.shape[:-2], 1, m), -math.log(m))
    for _ in range(steps):
        log_plan = log_plan + gain
        log_plan = log_plan - (log_plan + log_b).logsumexp(-1, keepdim=True) - math.log(n)
        log_b = -math.log(m) - log_plan.logsumexp(-2, keepdim=True)
        log_plan = log_plan + log_b
    return _with_uniform_marginals(log_plan.exp())


@torch.no_grad()
def sinkhorn(cost: Tensor, regularisation: float = 0.05, steps: int = 100) -> Tensor:
    """The coupling exp((f_i + g_j - C_ij) / regularisation), entropically regularised (Cuturi 2013).

    cost [..., n, m] -> [..., n, m], a constant of the backward pass.
    """
    gain = _full_precision(cost) / -regularisation
    n, m = cost.shape[-2:]
    row = gain.new_zeros(*gain.shape[:-1], 1)
    column = gain.new_zeros(*gain.shape[:-2], 1, m)
    for _ in range(steps):
        column = -math.log(m) - (gain + row).logsumexp(-2, keepdim=True)
        row = -math.log(n) - (gain + column).logsumexp(-1, keepdim=True)
    return (gain + row + column).exp()


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


def _full_precision(cost: Tensor) -> Tensor:
    return cost.detach().to(torch.float32)
