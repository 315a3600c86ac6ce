"""Methods on embeddings: what their formulas imply."""

from __future__ import annotations

import math

import pytest
import torch

from baselines._contrast import same_class
from baselines.cc import cc_loss
from baselines.infonce import InfoNCE, infonce_loss
from baselines.mad import MAD, mad_loss
from baselines.mars import mars_loss
from baselines.pkt import pkt_loss
from baselines.rkd import angle_loss, angles, distance_loss, distances
from baselines.sp import similarity, sp_loss
from benchmark import Progress


def embeddings(width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(7, width), torch.randn(7, width)


RELATIONS = pytest.mark.parametrize("loss", [distance_loss, angle_loss, pkt_loss])


@pytest.mark.parametrize("loss", [distance_loss, angle_loss, pkt_loss, cc_loss, mars_loss])
def test_the_loss_is_zero_for_equal_embeddings_and_positive_for_others(loss):
    ours, theirs = embeddings()
    assert loss(theirs, theirs).item() == pytest.approx(0, abs=1e-6)
    assert loss(ours, theirs).item() > 1e-5


@RELATIONS
def test_relations_survive_scale_and_rotation(loss):
    ours, theirs = embeddings()
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    torch.testing.assert_close(loss(3 * ours @ rotation, theirs), loss(ours, theirs), rtol=1e-3, atol=1e-5)


@RELATIONS
def test_relations_do_not_depend_on_the_order_of_the_batch(loss):
    ours, theirs = embeddings()
    order = torch.randperm(7)
    torch.testing.assert_close(loss(ours[order], theirs[order]), loss(ours, theirs))


@RELATIONS
def test_relations_join_embeddings_of_any_two_widths(loss):
    assert math.isfinite(loss(torch.randn(7, 3), torch.randn(7, 9)).item())


@pytest.mark.parametrize("loss", [distance_loss, angle_loss])
def test_distances_and_angles_survive_a_shift(loss):
    ours, theirs = embeddings()
    torch.testing.assert_close(loss(ours + 5, theirs), loss(ours, theirs), rtol=1e-3, atol=1e-5)


def test_a_shift_changes_whose_neighbours_samples_are():
    ours, theirs = embeddings()
    assert pkt_loss(ours + 5, theirs).item() != pytest.approx(pkt_loss(ours, theirs).item(), rel=0.01)


def test_a_collapsed_batch_has_finite_relations_and_gradients():
    collapsed, theirs = torch.ones(7, 8, requires_grad=True), torch.randn(7, 8)
    loss = distance_loss(collapsed, theirs) + angle_loss(collapsed, theirs) + pkt_loss(collapsed, theirs)
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(collapsed.grad).all()


def test_a_right_angle_and_equal_distances_are_read_off_a_square():
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert angles(square)[0, 1, 3].item() == pytest.approx(0, abs=1e-6)
    assert angles(square)[0, 1, 2].item() == pytest.approx(math.sqrt(0.5))
    matrix = distances(square)
    assert matrix[0, 2].item() / matrix[0, 1].item() == pytest.approx(math.sqrt(2))
    assert matrix.sum().item() / 12 == pytest.approx(1)


@pytest.mark.parametrize("loss", [distance_loss, angle_loss, cc_loss])
def test_a_batch_of_one_has_no_relations(loss):
    ours, theirs = torch.randn(1, 8).requires_grad_(), torch.randn(1, 8)
    value = loss(ours, theirs)
    assert value == 0
    assert not torch.autograd.grad(value, ours)[0].any()


def test_congruence_couples_neighbours_of_the_batch_only():
    theirs = torch.zeros(4, 3)
    ours = torch.zeros(4, 3)
    ours[0], ours[2] = 1.0, -1.0
    assert cc_loss(ours, theirs) == 0
    ours[1] = 2.0
    assert cc_loss(ours, theirs).item() == pytest.approx((6 + 6) / 3)


def test_contrast_is_lowest_when_pairs_are_alike_and_apart_from_others():
    unit = torch.eye(5)
    nobody = torch.zeros(5, 5, dtype=torch.bool)
    aligned, swapped = infonce_loss(unit, unit, nobody, 0.1), infonce_loss(unit, unit.roll(1, 0), nobody, 0.1)
    assert aligned.item() == pytest.approx(math.log(1 + 4 * math.exp(-10)), rel=1e-3)
    assert swapped.item() == pytest.approx(10 + aligned.item(), rel=1e-3)


def test_known_members_of_a_class_are_no_negatives():
    ours, theirs = (torch.nn.functional.normalize(each, dim=1) for each in embeddings())
    batch = {
        "label": torch.tensor([0, 0, 1, 1, 0, 2, 2]),
        "labelled": torch.tensor([True, True, True, False, False, False, False]),
    }
    excluded = same_class(batch)
    assert excluded[0, 1]
    assert excluded[1, 0]
    assert not excluded[2, 3]  # the second one's label may not be used
    assert not excluded[5, 6]
    changed = theirs.clone()
    changed[1] = theirs[6]

    def pull_on_the_first(others: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
        anchors = ours.clone().requires_grad_()
        return torch.autograd.grad(infonce_loss(anchors, others, excluded, 0.1), anchors)[0][0]

    torch.testing.assert_close(pull_on_the_first(changed, excluded), pull_on_the_first(theirs, excluded))
    nobody = torch.zeros_like(excluded)
    assert not torch.allclose(pull_on_the_first(changed, nobody), pull_on_the_first(theirs, nobody))


def test_infonce_of_other_samples_takes_no_notice_of_classes(context, tiny):
    given = tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress
    values = []
    for kind in ("other_classes", "other_samples"):
        torch.manual_seed(0)
        values.append(InfoNCE(context, negatives_from=kind)(*given)["infonce"].item())
    torch.manual_seed(0)
    unlabelled = given[2] | {"labelled": torch.zeros(8, dtype=torch.bool)}
    blind = InfoNCE(context)(given[0], given[1], unlabelled, given[3])["infonce"].item()
    assert values[1] == pytest.approx(blind)
    assert values[1] > values[0]


@pytest.mark.parametrize("kind", ["other_classes", "other_samples"])
def test_a_sample_that_stands_in_a_batch_twice_is_no_negative_of_itself_in_infonce(kind, context, tiny):
    distiller = InfoNCE(context, negatives_from=kind, weight=1.0)
    teacher, student = (each.map(lambda x: torch.cat([x, x])) for each in (tiny.teacher(), tiny.student()))
    batch = {name: torch.cat([each, each]) for name, each in tiny.batch().items()}
    batch["labelled"] = torch.zeros(16, dtype=torch.bool)
    found = distiller(teacher, student, batch, tiny.progress)["infonce"]
    ours, theirs = distiller.embed_student(student.embedding), distiller.embed_teacher(teacher.embedding)
    powers = (ours @ theirs.T / distiller.temperature)[:8, :8].exp()
    others = powers - powers.diag().diag()  # each of them stands there twice
    expected = [(1 + 2 * others.sum(side) / powers.diag()).log().mean() for side in (0, 1)]
    torch.testing.assert_close(found, expected[0] + expected[1])


def test_mad_is_sp_where_the_teacher_is_equally_unsure_and_minds_only_whom_it_is_unsure_of():
    student, teacher = torch.randn(6, 4, 3, 3), torch.randn(6, 7, 3, 3)
    even = mad_loss(student, teacher, torch.zeros(6, 5))
    torch.testing.assert_close(even, 6 * sp_loss(student, teacher))
    sure = 100 * torch.eye(6, 6)
    sure[2] = 0
    columns = (similarity(student) - similarity(teacher)).square().sum(0)
    torch.testing.assert_close(mad_loss(student, teacher, sure), columns[2])
    assert mad_loss(teacher, teacher, torch.randn(6, 5)) == 0
    assert mad_loss(student, teacher, 1000 * torch.eye(6)).isfinite()


def test_mad_waits_for_its_share_of_the_training(context, tiny):
    arguments = tiny.teacher(), tiny.student(), tiny.batch()
    early, late = (MAD(context, start=0.5)(*arguments, Progress(0, 1, step, 10))["mad"] for step in (4, 5))
    assert early == 0 < late
