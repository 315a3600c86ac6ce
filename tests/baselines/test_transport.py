"""Couplings against POT, on embeddings of several kinds and on costs that are hard to handle."""

import numpy as np
import ot
import pytest
import torch
from torch.nn import functional as F

from baselines._transport import SOLVERS, exact, ipot, sinkhorn


def unit_embeddings(kind: str, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Student and teacher embeddings [n, 48]; clusters hold the same samples, around own centres."""
    draw = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, n, 48, generator=draw)
    if kind == "relu":
        student, teacher = student.relu(), teacher.relu()
    if kind == "clusters":
        label = torch.randint(0, 8, (n,), generator=draw)
        centres = torch.randn(2, 8, 48, generator=draw)
        student, teacher = centres[0, label] + 0.3 * student, centres[1, label] + 0.3 * teacher
    return F.normalize(student, dim=1), F.normalize(teacher, dim=1)


def cost_of(kind: str, n: int, seed: int = 0) -> torch.Tensor:
    student, teacher = unit_embeddings(kind, n, seed)
    return 1 - student @ teacher.T


def uniform(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


KINDS = ("gaussian", "relu", "clusters")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [64, 256])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("solver", [ipot, exact])
def test_the_transport_cost_is_pots_within_one_percent(solver, kind, n, seed):
    cost = cost_of(kind, n, seed)
    coupling = solver(cost)
    reference = ot.emd2(uniform(n), uniform(n), cost.double().numpy())
    tolerance = 1e-3 if reference < 0.01 else 0.01 * reference
    assert abs((coupling * cost).sum().item() - reference) < tolerance
    for axis in (0, 1):
        assert (n * coupling.sum(axis) - 1).abs().max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_sinkhorn_is_pots_sinkhorn_log(kind):
    cost = cost_of(kind, 64)
    reference = ot.bregman.sinkhorn_log(
        uniform(64), uniform(64), cost.double().numpy(), 0.05, numItermax=100, stopThr=0, warn=False
    )
    assert np.abs(sinkhorn(cost).numpy() - reference).max() < 1e-4 * reference.max()


def degenerate_costs() -> dict[str, torch.Tensor]:
    n = 32
    outlier = cost_of("gaussian", n)
    outlier[3], outlier[:, 5] = 2.0, 2.0
    blocks = torch.full((n, n), 2.0)
    blocks[:16, :16], blocks[16:, 16:] = 0.0, 0.0
    return {
        "all zero": torch.zeros(n, n),
        "all two": torch.full((n, n), 2.0),
        "all equal": torch.full((n, n), 0.7),
        "exact matches": 2 - 2 * torch.eye(n),
        "all but matches": 2 * torch.eye(n),
        "one outlier": outlier,
        "blocks": blocks,
        "one sample": torch.ones(1, 1),
    }


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", degenerate_costs())
def test_degenerate_costs_give_finite_couplings_with_uniform_marginals(solver, name):
    cost = degenerate_costs()[name]
    coupling = SOLVERS[solver](cost)
    assert torch.isfinite(coupling).all()
    assert (coupling >= 0).all()
    for axis in (0, 1):
        assert (len(cost) * coupling.sum(axis) - 1).abs().max() < 0.01


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_batch_of_costs_is_solved_like_each_alone(solver):
    costs = torch.stack([cost_of("gaussian", 24, seed) for seed in range(6)]).view(2, 3, 24, 24)
    together = SOLVERS[solver](costs)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(together[i, j], SOLVERS[solver](costs[i, j]))


@pytest.mark.parametrize("solver", [ipot, sinkhorn])
def test_rectangular_costs_have_both_marginals_uniform(solver):
    cost = 1 - F.normalize(torch.randn(12, 9), dim=1) @ F.normalize(torch.randn(30, 9), dim=1).T
    coupling = solver(cost)
    assert (12 * coupling.sum(1) - 1).abs().max() < 0.01
    assert (30 * coupling.sum(0) - 1).abs().max() < 0.05


def test_the_exact_solver_refuses_rectangular_costs():
    with pytest.raises(ValueError, match="12 and 30"):
        exact(torch.zeros(12, 30))


@pytest.mark.parametrize("solver", SOLVERS)
def test_couplings_carry_no_gradient_and_stay_float32_under_autocast(solver):
    cost = cost_of("relu", 16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coupling = SOLVERS[solver](cost)
    assert not coupling.requires_grad
    assert coupling.dtype == torch.float32
    torch.testing.assert_close(coupling, SOLVERS[solver](cost.detach()))


def test_a_cost_of_nan_shows_in_the_loss_instead_of_raising():
    cost = torch.full((8, 8), float("nan"))
    for solver in SOLVERS.values():
        assert (solver(cost) * cost).sum().isnan()
