"""Later methods on embeddings, ITRD, RRD, DCD and CRCD: what their formulas imply."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.crcd import CRCD, relation_scores
from baselines.dcd import DCD, dcd_losses
from baselines.itrd import ITRD, correlation_loss, mutual_loss
from baselines.kd import kd_loss
from baselines.rrd import RRD, Queue, rrd_loss
from benchmark import NotApplicable, Progress
from tests.baselines.shapes import activations, batch_of, context_of
from tests.baselines.tiny import TINY_PAIRS

METHODS = [ITRD, RRD, DCD, CRCD]


def embeddings(batch: int = 9, widths: tuple[int, int] = (6, 6)) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(batch, widths[0]), torch.randn(batch, widths[1])


def unit_rows(count: int, width: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, width), dim=1)


def terms_of(distiller, tiny, **changes) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    given = {"teacher": tiny.teacher(), "student": tiny.student(), "batch": tiny.batch()} | changes
    return distiller(given["teacher"], given["student"], given["batch"], changes.get("at", tiny.progress))


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_may_not_be_used_are_not_read(method, context, tiny):
    values = []
    for hidden in (0, 1, 4):
        torch.manual_seed(0)
        batch = tiny.batch()
        batch["label"] = torch.where(batch["labelled"], batch["label"], hidden)
        terms = terms_of(method(context), tiny, batch=batch)
        values.append({name: value.item() for name, value in terms.items()})
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_or_of_one_embedding_has_finite_terms_and_gradients(method, count):
    shape = ((4, 2, 2),)
    teacher, student = activations(shape, width=5), activations(shape, width=7, seed=1)
    distiller = method(context_of(teacher, student))
    few = {name: value[:count] for name, value in batch_of().items()}
    student = student.map(lambda x: x[:count].requires_grad_())
    collapsed = student.map(lambda x: torch.zeros_like(x, requires_grad=True))
    teacher = teacher.map(lambda x: x[:count])
    for theirs in (teacher, teacher.map(torch.zeros_like)):
        for ours in (student, collapsed):
            total = sum(distiller(theirs, ours, few, Progress(0, 1, 0, 1)).values())
            total.backward()
            assert torch.isfinite(total)
            assert torch.isfinite(ours.embedding.grad).all()
    gradients = [each.grad for each in distiller.parameters() if each.requires_grad]
    assert all(torch.isfinite(each).all() for each in gradients)


# ITRD


@pytest.mark.parametrize("alpha", [1.01, 1.5])
def test_correlation_is_lowest_where_each_dimension_is_the_teachers_on_another_scale(alpha):
    ours, theirs = embeddings(9, (6, 6))
    scale = torch.tensor([0.1, 0.5, 1.0, 2.0, 5.0, 30.0])
    lowest = math.log2(6) - 2 * alpha * math.log2(9)  # c is 8/9 at most
    assert correlation_loss(theirs * scale + 3, theirs, alpha).item() == pytest.approx(lowest, abs=1e-4)
    assert correlation_loss(ours, theirs, alpha).item() > lowest + 1
    highest = math.log2(6) + 2 * alpha * math.log2(1 + 8 / 9)
    assert correlation_loss(-theirs * scale, theirs, alpha).item() == pytest.approx(highest, abs=1e-4)


def test_correlation_pairs_dimensions_and_takes_no_notice_of_the_order_of_the_batch():
    ours, theirs = embeddings()
    order, other = torch.randperm(9), torch.tensor([1, 2, 3, 4, 5, 0])
    value = correlation_loss(ours, theirs, 1.5)
    torch.testing.assert_close(correlation_loss(ours[order], theirs[order], 1.5), value)
    torch.testing.assert_close(correlation_loss(ours[:, other], theirs[:, other], 1.5), value)
    assert not torch.isclose(correlation_loss(ours[:, other], theirs, 1.5), value, rtol=0.01)


def test_a_dead_dimension_of_the_teacher_counts_as_uncorrelated_and_pulls_on_nothing():
    ours, theirs = embeddings()
    ours.requires_grad_()
    theirs[:, 2] = 0
    loss = correlation_loss(ours, theirs, 1.5)
    loss.backward()
    alive = [0, 1, 3, 4, 5]
    without = correlation_loss(ours[:, alive], theirs[:, alive], 1.5)
    assert 2 ** loss.item() == pytest.approx(2 ** without.item() + 1, rel=1e-5)
    assert (ours.grad[:, 2] == 0).all()
    assert (ours.grad[:, alive].abs().sum(0) > 0).all()


def test_the_mutual_term_is_zero_where_the_teacher_tells_no_samples_apart_and_never_negative():
    ours, theirs = embeddings(9, (6, 4))
    same = theirs[:1].expand(9, -1) * torch.rand(9, 1)
    assert mutual_loss(ours, same).item() == pytest.approx(0, abs=1e-6)
    assert mutual_loss(ours, theirs).item() > 0.01


def test_the_mutual_term_survives_lengths_rotations_and_any_two_widths():
    ours, theirs = embeddings(9, (6, 4))
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    value = mutual_loss(ours, theirs)
    torch.testing.assert_close(mutual_loss((torch.rand(9, 1) + 0.1) * ours @ rotation, theirs), value)
    torch.testing.assert_close(mutual_loss(ours, theirs * 7), value)


@pytest.mark.parametrize(("pair", "projected"), [("alike", False), ("unlike", True)])
def test_the_mutual_term_projects_the_student_only_where_the_widths_differ(pair, projected):
    pair = TINY_PAIRS[pair]
    distiller = ITRD(pair.context)
    loss = distiller(pair.teacher(), pair.student(), {}, Progress(0, 1, 0, 1))["mutual"]
    (gradient,) = torch.autograd.grad(loss, distiller.embed.linear.weight, allow_unused=True)
    assert (gradient is not None) == projected


# RRD


def test_the_relational_loss_is_the_teachers_entropy_and_stands_still_where_both_relate_alike():
    scores = torch.randn(5, 11)
    student = (scores * 5).requires_grad_()  # temperatures 0.1 and 0.02 make them equal
    loss = rrd_loss(student, scores, 0.1, 0.02)
    p = F.softmax(scores / 0.02, 1)
    assert loss.item() == pytest.approx(-(p * p.clamp(min=1e-30).log()).sum(1).mean().item(), abs=1e-5)
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.abs().max() < 1e-6
    assert rrd_loss(student + torch.randn(5, 11), scores, 0.1, 0.02) > loss


def test_a_cold_teacher_asks_for_the_nearest_row_alone():
    scores = torch.randn(5, 11)
    student = torch.randn(5, 11)
    torch.testing.assert_close(
        rrd_loss(student, scores, 0.1, 1e-4), F.cross_entropy(student / 0.1, scores.argmax(1))
    )


@pytest.mark.parametrize("sizes", [(3, 3, 3), (4, 4, 4), (7, 1, 7), (9, 2), (23, 5), (10, 10)])
def test_the_queue_is_a_ring_for_batches_of_any_size(sizes):
    queue = Queue(7, 3)
    rows = queue.rows.tolist()
    position = 0
    for size in sizes:
        vectors = torch.randn(size, 3)
        entered = queue.enter(vectors)
        for vector in vectors.tolist():
            rows[position % 7] = vector
            position += 1
        assert entered.tolist() == rows
        assert queue.rows.tolist() == rows
        assert queue.position.item() == position % 7


def test_the_queue_starts_as_noise_whose_columns_have_unit_length():
    queue = Queue(500, 8)
    torch.testing.assert_close(queue.rows.norm(dim=0), torch.ones(8))
    assert queue.rows.norm(dim=1).max() < 0.5


def test_the_batchs_teacher_vectors_enter_before_it_is_scored_and_only_in_training(context, tiny):
    distiller = RRD(context, teacher_temperature=0.005)
    before = distiller.queue.rows.clone()
    terms_of(distiller.eval(), tiny)
    assert torch.equal(distiller.queue.rows, before)
    assert distiller.queue.position == 0
    vectors = distiller.embed_teacher(tiny.teacher().embedding)
    entered = distiller.queue.enter(vectors)
    # The own vector is the nearest of all, so that a cold teacher asks for it.
    assert torch.equal((vectors @ entered.T).argmax(1), torch.arange(8))
    terms_of(distiller.train(), tiny)
    assert torch.equal(distiller.queue.rows[:8], vectors)
    assert torch.equal(distiller.queue.rows[8:], before[8:])


def test_the_queue_has_no_more_places_than_there_are_training_samples(context):
    assert len(RRD(context).queue.rows) == context.num_samples == 40
    assert len(RRD(context, queue=16).queue.rows) == 16


def test_only_the_students_projection_is_trained(context, tiny):
    distiller = RRD(context)
    (loss,) = terms_of(distiller, tiny).values()
    loss.backward()
    assert distiller.embed_student.linear.weight.grad.abs().max() > 0
    assert all(not each.requires_grad for each in distiller.embed_teacher.parameters())


def test_backward_passes_may_come_after_the_next_batch_has_entered(context, tiny):
    distiller = RRD(context)
    first = terms_of(distiller, tiny)["rrd"]
    (expected,) = torch.autograd.grad(first, distiller.embed_student.linear.weight, retain_graph=True)
    terms_of(distiller, tiny, teacher=tiny.teacher(seed=9))
    (later,) = torch.autograd.grad(first, distiller.embed_student.linear.weight)
    assert torch.equal(later, expected)


# DCD


def test_pairs_that_are_alike_and_apart_from_others_have_the_lowest_contrast():
    unit, scale = torch.eye(5), torch.tensor(4.0)
    aligned, _ = dcd_losses(unit, unit, scale)
    swapped, _ = dcd_losses(unit, unit.roll(1, 0), scale)
    assert aligned.item() == pytest.approx(math.log(1 + 4 * math.exp(-4)), rel=1e-5)
    assert swapped.item() == pytest.approx(4 + aligned.item(), rel=1e-5)


def test_the_consistency_term_is_zero_for_symmetric_similarities_and_positive_otherwise():
    ours, theirs = unit_rows(6, 4), unit_rows(6, 4)
    scale = torch.tensor(3.0)
    assert dcd_losses(ours, ours, scale)[1].item() == pytest.approx(0, abs=1e-6)
    assert dcd_losses(ours, theirs, scale)[1].item() > 0.01


def test_a_sample_that_stands_in_a_batch_twice_is_no_negative_of_itself_in_dcd(context, tiny):
    distiller = DCD(context, weight=1.0, consistency_weight=1.0)
    given = {
        "teacher": tiny.teacher().map(lambda x: torch.cat([x, x])),
        "student": tiny.student().map(lambda x: torch.cat([x, x])),
        "batch": {name: torch.cat([each, each]) for name, each in tiny.batch().items()},
    }
    found = terms_of(distiller, tiny, **given)
    ours, theirs = (
        embed(given[side].embedding)[:8]
        for embed, side in ((distiller.embed_student, "student"), (distiller.embed_teacher, "teacher"))
    )
    powers = (distiller.scale * ours @ theirs.T).exp()
    powers = 2 * powers - powers.diag().diag()  # each other one stands there twice
    rows, columns = powers / powers.sum(1, keepdim=True), powers.T / powers.sum(0)[:, None]
    torch.testing.assert_close(found["contrast"], -rows.diag().log().mean())
    torch.testing.assert_close(found["consistency"], (columns * (columns / rows).log()).sum() / 8)
    gradients = torch.autograd.grad(sum(found.values()), list(distiller.parameters()))
    assert all(torch.isfinite(each).all() for each in gradients)


def test_both_terms_are_blind_to_a_bias_of_all_similarities():
    """The bias that the authors' code trains: one more coordinate of both networks, equal for all."""
    ours, theirs = unit_rows(6, 4), unit_rows(6, 4)
    bias = torch.full((6, 1), 1.7)
    plain = dcd_losses(ours, theirs, torch.tensor(2.0))
    biased = dcd_losses(*(torch.cat([each, bias], 1) for each in (ours, theirs)), torch.tensor(2.0))
    torch.testing.assert_close(plain, biased)


def test_the_scale_is_held_at_its_largest_and_then_has_no_gradient(context):
    distiller = DCD(context)
    assert distiller.scale.item() == pytest.approx(math.e)
    for log_scale, expected, moves in ((2.0, math.exp(2), True), (5.0, 10.0, False)):
        with torch.no_grad():
            distiller.log_scale.fill_(log_scale)
        assert distiller.scale.item() == pytest.approx(expected)
        (gradient,) = torch.autograd.grad(distiller.scale, distiller.log_scale)
        assert (gradient != 0) == moves


def test_dcd_trains_both_projections_and_its_scale(context, tiny):
    distiller = DCD(context)
    sum(terms_of(distiller, tiny).values()).backward()
    assert all(each.grad.abs().max() > 0 for each in distiller.parameters())


# CRCD


def explicit_scores(vectors: torch.Tensor, bank: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """With every difference written out, [B, A, 1 + M, d]."""
    anchors = bank[rows[:, 0]]
    towards = F.normalize(vectors[:, None] - anchors + 1e-6, dim=2)
    candidates = F.normalize(bank[rows][:, None] - anchors[None, :, None] + 1e-6, dim=3)
    return (towards[:, :, None] * candidates).sum(3)


def relation_case(samples: int = 20, batch: int = 7, columns: int = 12) -> tuple[torch.Tensor, ...]:
    """Vectors, bank and rows; samples 0 and 1 of the batch are the same one, anchors are among negatives."""
    torch.manual_seed(0)
    vectors, bank = unit_rows(batch, 5), unit_rows(samples, 5)
    rows = torch.stack([torch.randperm(samples)[:columns] for _ in range(batch)])
    rows[:, 0] = torch.tensor([0, 0, *range(1, batch - 1)])
    rows[2, 3] = rows[4, 0]
    return vectors.requires_grad_(), bank, rows


def test_scores_are_the_cosines_of_differences_in_value_and_gradient():
    vectors, bank, rows = relation_case()
    ours, theirs = relation_scores(vectors, bank, rows), explicit_scores(vectors, bank, rows)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    gradients = [
        torch.autograd.grad((each.sin() * 3).exp().sum(), vectors, retain_graph=True)[0]
        for each in (ours, theirs)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_candidates_very_near_to_an_anchor_have_the_right_direction():
    vectors, bank, rows = relation_case()
    bank[3] = F.normalize(bank[2] + 1e-3 * torch.randn(5), dim=0)
    rows[1, 5], rows[0, 0], rows[2, 4] = 3, 2, 2
    exact = explicit_scores(vectors.double(), bank.double(), rows)
    near = (bank[rows][:, None] - bank[rows[:, 0]][None, :, None]).norm(dim=3)
    assert (near[near > 0] < 5e-3).any()
    torch.testing.assert_close(relation_scores(vectors, bank, rows).double(), exact, rtol=0, atol=5e-4)


def test_an_anchor_seen_from_itself_lies_along_the_diagonal_of_all_axes():
    vectors, bank, rows = relation_case()
    scores = relation_scores(vectors, bank, rows)
    for b, a in ((3, 3), (0, 1), (1, 0)):  # the own row, and the same sample twice in a batch
        towards = F.normalize(vectors[b] - bank[rows[a, 0]], dim=0)
        assert scores[b, a, 0].item() == pytest.approx(towards.sum().item() / math.sqrt(5), abs=1e-4)


def test_scores_are_cosines_even_for_a_bank_of_one_point():
    _, bank, rows = relation_case()
    one = bank[:1].expand(20, -1).contiguous()
    scores = relation_scores(one[:7].clone().requires_grad_(), one, rows)
    assert scores.abs().max() <= 1 + 1e-5
    assert torch.isfinite(scores).all()


class Largest(TorchDispatchMode):
    """Remembers the numbers in the largest tensor that anything made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made


def test_no_differences_of_candidates_and_anchors_are_held():
    batch, columns, width = 16, 33, 64
    torch.manual_seed(0)
    vectors, bank = unit_rows(batch, width).requires_grad_(), unit_rows(400, width)
    rows = torch.stack([torch.randperm(400)[:columns] for _ in range(batch)])
    with Largest() as seen:
        relation_scores(vectors, bank, rows).square().sum().backward()
        allowed = batch * max(batch * columns, columns * width, batch * width)
        assert batch * batch <= seen.numbers <= allowed
    with Largest() as seen:
        explicit_scores(vectors, bank, rows)
        assert seen.numbers == batch * batch * columns * width


def test_crcds_banks_start_and_stay_at_unit_length(context, tiny):
    distiller = CRCD(context)
    for _ in range(2):
        for bank in (distiller.memory.student, distiller.memory.teacher):
            torch.testing.assert_close(bank.norm(dim=1), torch.ones(40))
        before = distiller.memory.student.clone()
        terms_of(distiller, tiny)
        moved = (distiller.memory.student != before).any(1).nonzero()[:, 0]
        assert torch.equal(moved, tiny.batch()["index"])


def test_crcds_own_terms_end_before_training_does(context, tiny):
    torch.manual_seed(0)
    distiller = CRCD(context)
    for step, on in ((0, True), (959, True), (960, False), (999, False)):
        student = tiny.student()
        terms = terms_of(distiller, tiny, student=student, at=Progress(0, 1, step, 1000))
        sum(terms.values()).backward()
        assert [bool(value != 0) for value in terms.values()] == [on, on]
        assert [bool((each.grad != 0).any()) for each in (student.logits, student.embedding)] == [on, on]
    constant = CRCD(context, distils_until=1.0)
    assert all(value != 0 for value in terms_of(constant, tiny, at=Progress(0, 1, 999, 1000)).values())


def test_crcd_has_kd_beside_it(context, tiny):
    distiller, student, teacher = CRCD(context), tiny.student(), tiny.teacher()
    terms = terms_of(distiller, tiny, student=student, teacher=teacher)
    torch.testing.assert_close(terms["kd"], 0.9 * kd_loss(student.logits, teacher.logits, 4.0))


def test_crcd_needs_a_negative(context):
    fields = {name: getattr(context, name) for name in context.__dataclass_fields__}
    one_class = type(context)(**fields | {"train_labels": torch.zeros(40, dtype=torch.int64)})
    with pytest.raises(NotApplicable, match="one class"):
        CRCD(one_class)


def test_relations_of_agreeing_networks_cost_less_than_those_of_strangers():
    """Banks hold the teacher's and the student's rows: a student like its teacher finds its own candidate."""
    teacher, student = activations(((4, 2, 2),), width=6), activations(((4, 2, 2),), width=6, seed=5)
    losses = []
    for ours in (teacher, student):
        torch.manual_seed(0)
        distiller = CRCD(context_of(teacher, ours), dimension=16)
        distiller.embed_student.load_state_dict(distiller.embed_teacher.state_dict())
        batch = batch_of()
        with torch.no_grad():
            for _ in range(12):  # the banks come to hold what the networks show
                distiller(teacher, ours, batch, Progress(0, 1, 0, 1))
            losses.append(distiller(teacher, ours, batch, Progress(0, 1, 0, 1))["crcd"].item())
    assert losses[0] < losses[1]
