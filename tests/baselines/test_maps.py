"""Methods on maps: what their formulas imply, on one, two and three spatial axes."""

from __future__ import annotations

import math

import pytest
import torch

from baselines._singular_vectors import first_direction, nearest_direction
from baselines.ab import AB, boundary_loss
from baselines.at import at_loss
from baselines.fitnet import FitNet
from baselines.fsp import FSP, fsp_loss
from baselines.ft import FT, ft_loss
from baselines.kdsvd import KDSVD, as_matrix
from baselines.modality_hallucination import hallucination_loss
from baselines.nst import mmd, nst_loss
from baselines.ofd import OFD, margins, ofd_loss
from baselines.reviewkd import ReviewKD, hcl_loss
from baselines.simkd import SimKD
from baselines.sp import sp_loss
from baselines.supervision_transfer import SupervisionTransfer
from baselines.vid import VID, vid_loss
from baselines.wkd_f import WKDF, moments, wkd_f_losses
from benchmark import NotApplicable, Progress
from tests.baselines.shapes import activations, batch_of, context_of, drawn
from tests.baselines.tiny import PROGRESS, REGISTRY

GRIDS = {
    "1-D": ((9,), (9,), (5,)),
    "2-D, not square": ((6, 9), (6, 9), (3, 5)),
    "3-D": ((4, 5, 6), (4, 5, 6), (2, 3, 3)),
}
EVERY_GRID = pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
ON_MAPS = sorted(
    name for name, each in REGISTRY.baselines.items() if {"maps", "preactivations"} & each.distiller.needs
)


@EVERY_GRID
@pytest.mark.parametrize("name", ON_MAPS)
def test_every_method_on_maps_takes_all_numbers_of_axes(name, grids):
    shapes = tuple((4 + 2 * i, *grid) for i, grid in enumerate(grids))
    teacher, student = activations(shapes, shapes[-1][0], seed=1), activations(shapes, shapes[-1][0], seed=2)
    distiller = REGISTRY.baseline(name).distiller(context_of(teacher, student))
    stages = [distiller, *(stage.loss for stage in distiller.first_stages())]
    terms = [term for stage in stages for term in stage(teacher, student, batch_of(), PROGRESS).values()]
    assert terms
    assert all(math.isfinite(term.item()) for term in terms)


@EVERY_GRID
@pytest.mark.parametrize("kind", [at_loss, nst_loss])
def test_the_larger_grid_is_averaged_down_to_the_smaller(kind, grids):
    large, small = drawn((3, *(2 * size for size in grids[0])), (5, *grids[0]))
    pooled = large.clone()
    for axis in range(2, pooled.ndim):
        pooled = pooled.unflatten(axis, (-1, 2)).mean(axis + 1)
    torch.testing.assert_close(kind([large], [small]), kind([pooled], [small]))
    torch.testing.assert_close(kind([small], [large]), kind([small], [pooled]))


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, t: at_loss([s], [t]),
        ft_loss,
        mmd,
        sp_loss,
        hcl_loss,
        hallucination_loss,
        lambda s, t: fsp_loss([s, s + 1], [t, t + 1]),
        lambda s, t: sum(wkd_f_losses(s, t, 2)),
    ],
    ids=["at", "ft", "nst", "sp", "reviewkd", "hallucination", "fsp", "wkd_f"],
)
def test_the_loss_is_zero_for_equal_maps_and_positive_for_others(loss):
    ours, theirs = drawn((4, 6, 6), (4, 6, 6))
    assert loss(theirs, theirs).item() == pytest.approx(0, abs=1e-6)
    assert loss(ours, theirs).item() > 1e-5


@pytest.mark.parametrize(
    "loss", [lambda s, t: at_loss([s], [t]), ft_loss, mmd, sp_loss], ids=["at", "ft", "nst", "sp"]
)
def test_the_maps_scale_does_not_matter(loss):
    ours, theirs = drawn((4, 6, 6), (5, 6, 6))
    torch.testing.assert_close(loss(3 * ours, 0.5 * theirs), loss(ours, theirs))


@pytest.mark.parametrize(
    "loss", [lambda s, t: at_loss([s], [t]), ft_loss, mmd, sp_loss], ids=["at", "ft", "nst", "sp"]
)
def test_the_order_of_channels_does_not_matter(loss):
    ours, theirs = drawn((4, 6, 6), (5, 6, 6))
    torch.testing.assert_close(loss(ours[:, [2, 0, 3, 1]], theirs), loss(ours, theirs))


def test_attention_is_about_places_and_selectivity_about_patterns():
    ours, theirs = drawn((4, 6, 6), (4, 6, 6))
    assert at_loss([ours.flip(2)], [theirs]).item() != pytest.approx(at_loss([ours], [theirs]).item())
    both = mmd(ours.flip(2), theirs.flip(2))  # the same change of places in both is no change
    torch.testing.assert_close(both, mmd(ours, theirs))


def test_similarity_survives_a_rotation_of_the_features():
    ours, theirs = drawn((4, 3, 3), (5, 2, 2))
    rotation = torch.linalg.qr(torch.randn(36, 36)).Q
    torch.testing.assert_close(sp_loss((ours.flatten(1) @ rotation), theirs), sp_loss(ours, theirs))


def test_flow_needs_equal_channels():
    teacher, student = activations(((4, 8), (6, 4))), activations(((4, 8), (5, 4)))
    with pytest.raises(NotApplicable, match=r"channels \[4, 5\] in the student, \[4, 6\] in the teacher"):
        FSP(context_of(teacher, student))


@pytest.mark.parametrize("kind", [AB, FT, OFD, ReviewKD, SupervisionTransfer, VID, WKDF])
def test_maps_of_other_axes_are_refused_with_their_numbers(kind):
    teacher, student = activations(((4, 8, 8), (6, 4, 4))), activations(((4, 8), (6, 4)))
    with pytest.raises(NotApplicable, match="1 spatial axes in the student, of 2 in the teacher"):
        kind(context_of(teacher, student))


def test_another_number_of_stages_is_refused():
    teacher, student = activations(((4, 8), (6, 4), (6, 2))), activations(((4, 8), (6, 4)))
    with pytest.raises(NotApplicable, match="the student shows 2 maps, the teacher 3"):
        VID(context_of(teacher, student))


def test_a_boundary_costs_nothing_beyond_the_margin_on_the_teachers_side():
    teacher = torch.tensor([[2.0, -0.5, 0.1, -3.0]])
    assert boundary_loss(torch.tensor([[1.5, -1.0, 1.01, -7.0]]), teacher, 1.0) == 0
    assert boundary_loss(torch.tensor([[0.0, 0.0, 1.01, -7.0]]), teacher, 1.0) == 2.0


def test_boundaries_see_the_teachers_sign_only():
    ours, theirs = torch.randn(2, 3, 4, 5, 5)
    torch.testing.assert_close(boundary_loss(ours, 9 * theirs, 1.0), boundary_loss(ours, theirs, 1.0))


def test_an_equal_shape_needs_no_connector():
    shapes = ((4, 8, 8), (6, 4, 4), (7, 4, 4))
    teacher, student = activations(shapes), activations((shapes[0], (5, 4, 4), shapes[2]))
    connectors = AB(context_of(teacher, student)).connectors
    assert [sum(p.numel() for p in each.parameters()) for each in connectors] == [5 * 6 + 6 + 12, 0]


def test_the_margin_is_the_mean_of_a_channels_negative_values():
    weight, bias = torch.tensor([1.5, 0.7, 1.0]), torch.tensor([0.3, -1.0, 5.0])
    values = bias + weight * torch.randn(2_000_000, 3)
    expected = [values[:, c][values[:, c] < 0].mean().item() for c in range(2)]
    found = margins(weight, bias)
    assert found[:2].tolist() == pytest.approx(expected, abs=0.01)
    assert found[2] == -3.0  # hardly ever negative
    torch.testing.assert_close(margins(-weight, bias), found)


def test_a_student_further_below_the_margin_costs_nothing():
    teacher, margin = torch.tensor([[[-2.0], [1.0]]]).transpose(1, 2), torch.tensor([-0.5])
    student = torch.tensor([[[-3.0, 1.0]]])
    assert ofd_loss(student, teacher, margin) == 0
    assert ofd_loss(student + 1, teacher, margin) == 1.0  # the positive one is off by 1, the other still low


def test_a_stage_without_a_norm_of_its_own_is_named():
    teacher, student = activations(((4, 8), (6, 4))), activations(((4, 8), (6, 4)))
    with pytest.raises(NotApplicable, match="teacher's stage 1"):
        OFD(context_of(teacher, student, teacher_norms=(None, None)))


def test_the_likelihood_is_highest_at_the_teacher_with_the_variance_of_the_error():
    ours, theirs = torch.randn(2, 6, 3, 50)
    spread = (ours - theirs).square().mean((0, 2))
    best = vid_loss(ours, theirs, spread)
    for factor in (0.8, 1.25):
        assert vid_loss(ours, theirs, factor * spread) > best
    assert vid_loss(theirs, theirs, spread) < best


def test_moments_on_one_cell_are_mean_and_deviation_of_the_map():
    (feature,) = drawn((3, 5, 7))
    mean, deviation = moments(feature, 1)
    torch.testing.assert_close(mean[..., 0], feature.mean((2, 3)))
    torch.testing.assert_close(deviation[..., 0], (feature.var((2, 3)) + 1e-5).sqrt())


def test_moments_on_a_grid_are_those_of_its_cells():
    (feature,) = drawn((3, 5, 6))
    mean, deviation = moments(feature, 2)
    cell = feature[:, :, 2:5, 0:3]  # an adaptive grid of two cells over five rows shares the third row
    torch.testing.assert_close(mean[..., 2], cell.mean((2, 3)))
    torch.testing.assert_close(deviation[..., 2], (cell.var((2, 3)) + 1e-5).sqrt())


def test_moments_ignore_where_in_a_cell_a_value_is():
    ours, theirs = drawn((4, 6, 6), (4, 6, 6))
    shuffled = ours.flatten(2)[..., torch.randperm(36)].view_as(ours)
    torch.testing.assert_close(wkd_f_losses(shuffled, theirs, 1), wkd_f_losses(ours, theirs, 1))


def test_a_map_of_one_place_has_no_deviation():
    teacher, student = activations(((4, 8), (6, 1))), activations(((4, 8), (6, 1)))
    with pytest.raises(NotApplicable, match="one place"):
        WKDF(context_of(teacher, student))


def test_the_warm_up_of_reviewkd_rises_from_zero_to_one_over_a_twelfth_of_training():
    shapes = ((4, 8, 8), (6, 4, 4))
    teacher, student = activations(shapes, seed=1), activations(shapes, seed=2)
    distiller = ReviewKD(context_of(teacher, student))
    values = [
        distiller(teacher, student, batch_of(), Progress(0, 24, step, 240))["reviewkd"].item()
        for step in (0, 10, 20, 120)
    ]
    assert values[0] == 0
    assert values[1] == pytest.approx(values[2] / 2)
    assert values[2] == pytest.approx(values[3])


def test_the_first_singular_vector_of_a_map_without_negative_values_is_without_them_too():
    (feature,) = drawn((6, 5, 5))
    assert (first_direction(as_matrix(feature, "channels")) >= -1e-6).all()


@pytest.mark.parametrize("axis", ["channels", "width"])
def test_the_gradient_of_a_direction_is_that_of_the_decomposition(axis):
    torch.manual_seed(1)
    feature = torch.randn(3, 5, 4, 5).double()
    matrix = as_matrix(feature, axis).requires_grad_()
    target = first_direction(as_matrix(torch.randn(3, 5, 4, 5), axis))
    ours = nearest_direction(matrix, target, 4)
    weight = torch.randn_like(ours)
    (ours * weight).sum().backward()
    step, direction = 1e-2, torch.randn_like(matrix)
    ahead, behind = (
        (nearest_direction(matrix.detach() + sign * step * direction, target, 4) * weight).sum()
        for sign in (1, -1)
    )
    expected = ((ahead - behind) / (2 * step)).item()
    assert (matrix.grad * direction).sum().item() == pytest.approx(expected, rel=2e-2)


def test_equal_singular_values_and_dead_maps_give_finite_gradients():
    for feature in (torch.zeros(3, 4, 3, 3), torch.eye(4)[:, :, None, None].expand(4, 4, 2, 2)):
        matrix = as_matrix(feature, "channels").clone().requires_grad_()
        target = first_direction(as_matrix(torch.randn_like(feature), "channels"))
        nearest_direction(matrix, target, 4).sum().backward()
        assert torch.isfinite(matrix.grad).all()


def test_directions_need_equal_lengths_along_their_axis():
    teacher, student = (
        activations(((4, 8, 8), (6, 4, 4), (7, 4, 4))),
        activations(((4, 8, 8), (5, 4, 4), (7, 4, 4))),
    )
    with pytest.raises(NotApplicable, match=r"channels \[5, 7\] in the student, \[6, 7\] in the teacher"):
        KDSVD(context_of(teacher, student))
    KDSVD(context_of(teacher, student), axis="width")


@pytest.mark.parametrize("teacher_maps", [((4, 8, 8), (7, 4, 4)), ((4, 8), (7, 4)), ((4, 8, 8), (9, 4, 4))])
def test_simkd_predicts_with_the_teachers_classifier_from_maps_or_embeddings(teacher_maps):
    teacher, student = activations(teacher_maps, seed=1), activations(((4, 8, 8), (5, 4, 4)), seed=2)
    context = context_of(teacher, student)
    distiller = SimKD(context).eval()
    assert distiller.on_maps == (teacher_maps[1] == (7, 4, 4))
    assert distiller.predict(student).shape == (6, 5)
    assert not any(each.requires_grad for each in distiller.head.parameters())
    torch.testing.assert_close(distiller.head(teacher.embedding), context.teacher_head(teacher.embedding))
    assert distiller.task_weight == 0


def test_simkd_needs_a_classifier_to_reuse():
    teacher, student = activations(((4, 8), (7, 4))), activations(((4, 8), (7, 4)))
    with pytest.raises(NotApplicable, match="no classifier"):
        SimKD(context_of(teacher, student, teacher_head=None))


def test_fitnet_in_two_stages_has_its_hint_in_the_first_and_nothing_in_the_second(context, tiny):
    joint, staged = FitNet(context), FitNet(context, stages=2)
    staged.load_state_dict(joint.state_dict())
    given = tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress
    assert joint.first_stages() == ()
    assert staged(*given) == {}
    (hint,) = staged.first_stages()
    assert hint.trains_student
    assert set(hint.parameters) == set(staged.regressor.parameters())
    assert hint.loss(*given)["fitnet"].item() == joint(*given)["fitnet"].item()


def test_the_paraphraser_is_fixed_after_its_stage(context, tiny):
    distiller = FT(context)
    sum(distiller(tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress).values()).backward()
    assert all(each.grad is None for each in distiller.paraphraser.parameters())
    assert all(each.grad is not None for each in distiller.translator.parameters())
