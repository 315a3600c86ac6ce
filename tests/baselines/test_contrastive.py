"""The banks of CRD and GCKT, the critic's Lipschitz claim, and each WCoRD term in training."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from baselines._projection import LipschitzEmbed
from baselines.crd import CRD
from baselines.gckt import GCKT
from baselines.lckt import LCKT, cosine_cost, transport_loss
from baselines.wcord import WCoRD


def test_gckt_moves_its_rows_by_momentum_without_normalising_them(context, tiny):
    distiller = GCKT(context, dimension=10)
    teacher, student, batch = tiny.teacher(), tiny.student(), tiny.batch()
    before = distiller.memory.student.clone()
    value = distiller.embed_student(student.embedding).detach()
    distiller(teacher, student, batch, tiny.progress)
    expected = before.clone()
    expected[batch["index"]] = 0.5 * before[batch["index"]] + 0.5 * value
    torch.testing.assert_close(distiller.memory.student, expected)


def test_crd_keeps_its_rows_of_the_batch_on_the_sphere(context, tiny):
    distiller = CRD(context)
    distiller(tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress)
    lengths = distiller.memory.teacher[tiny.batch()["index"]].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def trained_critic(context, tiny, steps: int, on_step=lambda distiller: None) -> GCKT:
    """A GCKT trained with a fast-moving weight on changing batches."""
    torch.manual_seed(0)
    distiller = GCKT(context, dimension=10)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.5, momentum=0.9, weight_decay=5e-4)
    for step in range(steps):
        teacher, student = tiny.teacher(seed=10 + step % 7), tiny.student(seed=50 + step % 7)
        (loss,) = distiller(teacher, student, tiny.batch(), tiny.progress).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step(distiller)
    return distiller


def test_the_largest_singular_value_is_one_through_training(context, tiny):
    largest = []

    def record(distiller):
        for embed in (distiller.embed_student, distiller.embed_teacher):
            largest.append(torch.linalg.matrix_norm(embed.normalized_weight(), 2).item())

    distiller = trained_critic(context, tiny, 300, record)
    assert len(largest) == 600
    assert max(largest) <= 1 + 1e-3
    assert min(largest) >= 1 - 1e-3
    untrained = trained_critic(context, tiny, 0)
    assert not torch.allclose(distiller.embed_student.weight, untrained.embed_student.weight, atol=0.1)


def steepest_ratio(embed_teacher, embed_student, widths: tuple[int, int]) -> float:
    """The largest |s - s'| / (|u_T - u_T'| + |u_S - u_S'|) that gradient ascent over inputs finds."""
    torch.manual_seed(1)
    pairs = [torch.randn(2, 64, width, requires_grad=True) for width in widths]
    optimizer = torch.optim.Adam(pairs, lr=0.05)
    best = 0.0
    for _ in range(200):
        directions = [F.normalize(pair, dim=2) for pair in pairs]
        teacher, student = (
            embed(pair.flatten(0, 1)).view(2, 64, -1)
            for embed, pair in zip((embed_teacher, embed_student), pairs, strict=True)
        )
        scores = (teacher * student).sum(2)
        distance = sum((direction[0] - direction[1]).norm(dim=1) for direction in directions)
        ratio = (scores[0] - scores[1]).abs() / distance.clamp(min=1e-3)
        best = max(best, ratio.max().item())
        optimizer.zero_grad()
        (-ratio.sum()).backward()
        optimizer.step()
    return best


def test_gradient_ascent_finds_no_violation_of_the_lipschitz_claim(context, tiny):
    distiller = trained_critic(context, tiny, 40)
    widths = context.teacher.embedding[0], context.student.embedding[0]
    found = steepest_ratio(distiller.embed_teacher, distiller.embed_student, widths)
    assert 0.7 < found <= 1 + 1e-3  # the search comes close to the bound, so it would see a violation


def test_without_the_constraint_a_threefold_weight_violates_it(context, tiny):
    distiller = trained_critic(context, tiny, 40)
    widths = context.teacher.embedding[0], context.student.embedding[0]

    def unconstrained(embedding):
        return F.normalize(embedding, dim=1) @ (3 * distiller.embed_teacher.normalized_weight()).T

    assert steepest_ratio(unconstrained, distiller.embed_student, widths) > 1.5


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (7, 7)])
def test_the_normalised_weight_has_the_gradient_of_an_exact_norm(shape):
    torch.manual_seed(0)
    embed = LipschitzEmbed(shape[1], shape[0]).double()
    torch.nn.init.normal_(embed.weight)
    probe = torch.randn(shape, dtype=torch.float64)
    (ours,) = torch.autograd.grad((embed.normalized_weight() * probe).sum(), embed.weight)
    exact = embed.weight / torch.linalg.matrix_norm(embed.weight, 2)
    (reference,) = torch.autograd.grad((exact * probe).sum(), embed.weight)
    torch.testing.assert_close(ours, reference)


def test_a_diverged_weight_gives_nan_instead_of_an_exception():
    embed = LipschitzEmbed(6, 4)
    with torch.no_grad():
        embed.weight.fill_(float("nan"))
    assert embed(torch.randn(2, 6)).isnan().all()


@pytest.mark.parametrize(
    ("build", "term"),
    [
        (lambda context: GCKT(context), "gckt"),
        (lambda context: GCKT(context, objective="dual"), "gckt"),
        (lambda context: LCKT(context), "lckt"),
        (lambda context: LCKT(context, solver="sinkhorn"), "lckt"),
        (lambda context: LCKT(context, solver="exact"), "lckt"),
        (lambda context: WCoRD(context), "gckt"),
        (lambda context: WCoRD(context, lckt_weight=3.0), "lckt"),
    ],
    ids=["gckt", "gckt-dual", "lckt-ipot", "lckt-sinkhorn", "lckt-exact", "wcord-gckt", "wcord-lckt"],
)
def test_each_term_lowers_itself_over_fifty_steps_on_a_batch(build, term, context, tiny):
    torch.manual_seed(0)
    distiller = build(context)
    teacher, student, batch = tiny.teacher(), tiny.student(), tiny.batch()
    optimizer = torch.optim.SGD([student.embedding, *distiller.parameters()], lr=0.1)
    history = []
    for _ in range(50):
        loss = distiller(teacher, student, batch, tiny.progress)[term]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-5:]) < 0.95 * history[0] if history[0] > 0 else np.mean(history[-5:]) < history[0]
    assert teacher.embedding.grad is None


def test_wcord_is_its_two_parts_with_their_weights(context, tiny):
    torch.manual_seed(0)
    both = WCoRD(context, gckt_weight=0.8, lckt_weight=0.05)
    parts = copy.deepcopy(both)
    arguments = tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress
    torch.manual_seed(1)
    terms = both(*arguments)
    assert set(terms) == {"gckt", "lckt"}
    torch.manual_seed(1)
    torch.testing.assert_close(terms["gckt"], parts.gckt(*arguments)["gckt"])
    unweighted = transport_loss(parts.lckt.cost(arguments[0], arguments[1]), "ipot")
    torch.testing.assert_close(terms["lckt"], 0.05 * unweighted)


def test_lckt_compares_distributions_and_not_samples():
    teacher = torch.randn(12, 5)
    shuffled = teacher[torch.randperm(12)]
    assert transport_loss(cosine_cost(shuffled, teacher), "exact").item() == pytest.approx(0, abs=1e-6)


def test_lckts_gradient_is_that_of_the_cost_under_the_coupling_held_fixed():
    student, teacher = torch.randn(10, 6, requires_grad=True), torch.randn(10, 6)
    (ours,) = torch.autograd.grad(transport_loss(cosine_cost(student, teacher), "exact"), student)
    step = 1e-2 * ours
    lower, upper = (
        transport_loss(cosine_cost((student + sign * step).detach(), teacher), "exact") for sign in (-1, 1)
    )
    assert (upper - lower).item() / 2 == pytest.approx((ours * step).sum().item(), rel=0.02)


def test_the_diagnostics_of_a_batch_are_its_coupling_and_cost(context, tiny):
    for distiller in (LCKT(context), WCoRD(context)):
        arrays = distiller.diagnostics(tiny.teacher(), tiny.student(), tiny.batch())
        assert set(arrays) == {"lckt_coupling", "lckt_cost"}
        assert arrays["lckt_coupling"].shape == arrays["lckt_cost"].shape == (8, 8)
        assert arrays["lckt_coupling"].sum() == pytest.approx(1, rel=1e-4)
