"""CAT-KD, ICKD-C, PAD-L2, SemCKD and SRD: what their formulas imply, and where they don't apply."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.cat_kd import CATKD, cat_kd_loss, class_maps
from baselines.ickd import ICKD, channel_correlation, ickd_loss
from baselines.pad_l2 import PADL2, pad_l2_loss
from baselines.semckd import SemCKD, Similarities, attention, semckd_loss
from baselines.srd import SRD, srd_loss
from benchmark import Activations, Context, NotApplicable
from tests.baselines.shapes import CLASSES, activations, batch_of, context_of, drawn
from tests.baselines.tiny import PROGRESS

GRIDS = [(7,), (4, 6), (2, 4, 3)]


def classified(shape: tuple[int, ...], seed: int = 0) -> Activations:
    """A network that classifies the mean of its last map (C, *space)."""
    shown = activations((shape, shape), width=shape[0], seed=seed)
    embedding = shown.last_feature.flatten(2).mean(2)
    return replace(shown, embedding=embedding, logits=shown.classify(embedding))


def maps_of(axes: tuple[int, ...] = (4, 6), channels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    ours, theirs = drawn((channels, *axes), (channels, *axes))
    return ours, theirs


def terms_of(distiller, teacher: Activations, student: Activations) -> dict[str, torch.Tensor]:
    return distiller(teacher, student, batch_of(), PROGRESS)


# Class activation maps


@pytest.mark.parametrize("size", GRIDS)
def test_the_mean_of_the_class_maps_is_the_logits_without_a_bias(size):
    shown = classified((6, *size))
    found = class_maps(shown.last_feature, shown.classify)
    assert found.shape == (6, CLASSES, *size)
    torch.testing.assert_close(found.flatten(2).mean(2) + shown.classify.bias, shown.logits)


@pytest.mark.parametrize("size", GRIDS)
def test_a_class_map_is_the_classifiers_answer_to_one_place(size):
    shown = classified((6, *size))
    found = class_maps(shown.last_feature, shown.classify).flatten(2)
    place = shown.last_feature.flatten(2)[:, :, 3]
    torch.testing.assert_close(found[:, :, 3], place @ shown.classify.weight.T)


def test_cat_kd_predicts_with_the_mean_of_its_class_maps():
    teacher, student = classified((8, 4, 4), 1), classified((6, 4, 4), 2)
    distiller = CATKD(context_of(teacher, student))
    expected = class_maps(student.last_feature, student.classify).flatten(2).mean(2)
    torch.testing.assert_close(distiller.predict(student), expected)


def test_neither_classifiers_bias_plays_a_part_in_cat_kd():
    teacher, student = classified((8, 4, 4), 1), classified((6, 4, 4), 2)
    distiller = CATKD(context_of(teacher, student))
    before = terms_of(distiller, teacher, student)["cat_kd"]
    (distiller.predict(student).square().sum() + before).backward()
    assert student.classify.bias.grad.abs().max() < 1e-4 * student.classify.weight.grad.abs().max()
    assert all(each.grad is None for each in teacher.classify.parameters())
    with torch.no_grad():
        teacher.classify.bias += 3
        student.classify.bias -= 2
    torch.testing.assert_close(terms_of(distiller, teacher, student)["cat_kd"], before)


def test_equal_class_maps_cost_nothing_and_others_do():
    ours, theirs = maps_of()
    for normalize in (False, True):
        assert cat_kd_loss(theirs, theirs, 2, normalize) == 0
        assert cat_kd_loss(ours, theirs, 2, normalize) > 1e-3


@pytest.mark.parametrize("size", [(8,), (4, 8), (4, 2, 6)])
def test_where_in_a_cell_a_class_shows_does_not_matter(size):
    ours, theirs = maps_of(size)
    moved = ours.clone()
    for axis in range(2, ours.ndim):
        moved = moved.unflatten(axis, (2, -1)).flip(axis + 1).flatten(axis, axis + 1)
    assert not torch.equal(moved, ours)
    torch.testing.assert_close(cat_kd_loss(moved, theirs, 2, False), cat_kd_loss(ours, theirs, 2, False))
    assert cat_kd_loss(ours.flip(2), theirs, 2, False).item() != pytest.approx(
        cat_kd_loss(ours, theirs, 2, False).item(), rel=1e-3
    )


def test_one_cell_of_raw_class_maps_compares_logits_without_bias():
    ours, theirs = maps_of()
    expected = F.mse_loss(ours.flatten(2).mean(2), theirs.flatten(2).mean(2))
    torch.testing.assert_close(cat_kd_loss(ours, theirs, 1, False), expected)


def test_the_scale_of_a_class_matters_in_raw_maps_only():
    ours, theirs = maps_of()
    scale = torch.tensor([0.5, 2.0, 3.0, 1.0, 7.0])[:, None, None]
    torch.testing.assert_close(cat_kd_loss(scale * ours, theirs, 2, True), cat_kd_loss(ours, theirs, 2, True))
    assert cat_kd_loss(scale * ours, theirs, 2, False) > 1.5 * cat_kd_loss(ours, theirs, 2, False)


def test_class_maps_of_nothing_have_finite_gradients():
    ours, (theirs,) = torch.zeros(6, 5, 4, 4, requires_grad=True), drawn((5, 4, 4))
    cat_kd_loss(ours, theirs, 2, True).backward()
    assert torch.isfinite(ours.grad).all()


def test_grids_of_other_sizes_meet_in_the_cells():
    teacher, student = classified((8, 6, 6), 1), classified((6, 4, 4), 2)
    assert terms_of(CATKD(context_of(teacher, student)), teacher, student)["cat_kd"] > 0


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_cat_kd_needs_both_classifiers_on_the_mean_of_the_last_map(side):
    teacher, student = classified((8, 4, 4), 1), classified((6, 4, 4), 2)
    context = context_of(teacher, student)
    with pytest.raises(NotApplicable, match=f"the {side} doesn't classify the mean"):
        CATKD(replace(context, **{f"{side}_pooled": False}))
    shapes = replace(getattr(context, side), classifies=False)
    with pytest.raises(NotApplicable, match=f"the {side} has no classifier"):
        CATKD(replace(context, **{side: shapes}))


# Correlations of channels


def test_equal_channels_cost_nothing_and_others_do():
    ours, theirs = maps_of()
    assert ickd_loss(theirs, theirs) == 0
    assert ickd_loss(ours, theirs) > 1e-3


def test_channel_correlations_are_blind_to_places_and_to_scale():
    ours, theirs = maps_of()
    order = torch.randperm(24)
    moved = ours.flatten(2)[..., order].view_as(ours)
    torch.testing.assert_close(ickd_loss(3 * moved, 0.5 * theirs), ickd_loss(ours, theirs))


def test_channel_correlations_see_which_channel_is_which():
    ours, theirs = maps_of()
    assert ickd_loss(theirs.roll(1, 1), theirs) > 1e-3
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(ickd_loss(ours[:, order], theirs[:, order]), ickd_loss(ours, theirs))


def test_rows_of_a_channel_correlation_have_unit_length_and_dead_channels_none():
    ours, _ = maps_of()
    ours[:, 2] = 0
    lengths = channel_correlation(ours).norm(dim=2)
    torch.testing.assert_close(lengths[:, [0, 1, 3, 4]], torch.ones(6, 4))
    assert (lengths[:, 2] == 0).all()


def test_dead_channels_have_finite_gradients():
    ours, (theirs,) = torch.zeros(6, 5, 4, 4, requires_grad=True), drawn((5, 4, 4))
    ickd_loss(ours, theirs).backward()
    assert torch.isfinite(ours.grad).all()


def test_channels_are_correlated_over_grids_of_any_two_sizes_and_numbers_of_axes():
    teacher = activations(((4, 6, 6), (8, 3, 3)), seed=1)
    student = activations(((4, 9), (5, 4)), seed=2)
    assert terms_of(ICKD(context_of(teacher, student)), teacher, student)["ickd"] > 0


# Variances of the embedding


def test_the_best_variance_is_the_squared_error():
    ours, theirs = torch.randn(2, 6, 7)
    best = (ours - theirs).square().log()
    lowest = pad_l2_loss(ours, theirs, best, 0.0)
    for shift in (-0.2, 0.2):
        assert pad_l2_loss(ours, theirs, best + shift, 0.0) > lowest


def test_an_unsure_number_pulls_less():
    ours, theirs = torch.randn(6, 7, requires_grad=True), torch.randn(6, 7)
    variance = torch.zeros(6, 7)
    variance[0] = 3.0
    pad_l2_loss(ours, theirs, variance).backward()
    plain = 2 * (ours - theirs).detach() / 42
    torch.testing.assert_close(ours.grad[0], plain[0] * math.exp(-3.0), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(ours.grad[1:], plain[1:], rtol=1e-4, atol=1e-7)


def test_equal_embeddings_are_worth_the_log_variance_however_small():
    theirs = torch.randn(6, 7)
    variance = torch.full((6, 7), -200.0)
    assert pad_l2_loss(theirs, theirs, variance).item() == pytest.approx(-200)
    assert math.isfinite(pad_l2_loss(theirs + 1, theirs, variance).item())


def test_the_student_learns_through_its_variance_too():
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    distiller = PADL2(context_of(teacher, student))
    student.embedding.requires_grad_()
    terms_of(distiller, teacher, student)["pad_l2"].backward()
    fixed = student.embedding.detach().clone().requires_grad_()
    pad_l2_loss(fixed, teacher.embedding, distiller.log_variance(fixed).detach()).backward()
    assert (student.embedding.grad - fixed.grad).norm() > 1e-2 * fixed.grad.norm()


def test_embeddings_of_two_widths_are_refused_with_both():
    teacher, student = activations(((4, 4),), width=9), activations(((4, 4),), width=7)
    with pytest.raises(NotApplicable, match="7 numbers in the student, of 9 in the teacher"):
        PADL2(context_of(teacher, student))


# Attention over stages


def semantic_pair(**changes) -> tuple[Activations, Activations, Context]:
    teacher = activations(((4, 8, 8), (6, 8, 8), (7, 4, 4), (9, 2, 2)), seed=1)
    student = activations(((4, 8, 8), (5, 4, 4), (6, 4, 4)), seed=2)
    return teacher, student, context_of(teacher, student, **changes)


def test_shares_of_attention_add_up_to_one_over_the_teachers_stages():
    teacher, student, context = semantic_pair()
    found = SemCKD(context).attention(student.maps[1:], teacher.maps[1:])
    assert found.shape == (6, 2, 3)
    torch.testing.assert_close(found.sum(2), torch.ones(6, 2))


def test_a_stage_looks_most_at_the_one_whose_key_is_its_query():
    keys = [F.normalize(torch.randn(6, 8), dim=1) for _ in range(3)]
    found = attention([keys[2], keys[0]], keys)
    assert (found[:, 0].argmax(1) == 2).all()
    assert (found[:, 1].argmax(1) == 0).all()


def test_only_stages_that_are_looked_at_cost_anything():
    (ours, theirs) = maps_of()
    pairs = [(theirs, theirs), (ours, theirs)]
    exact, wrong = torch.tensor([1.0, 0.0]).expand(6, 1, 2), torch.tensor([0.0, 1.0]).expand(6, 1, 2)
    assert semckd_loss(pairs, exact) == 0
    torch.testing.assert_close(semckd_loss(pairs, wrong), F.mse_loss(ours, theirs))
    torch.testing.assert_close(semckd_loss(pairs, (exact + wrong) / 2), F.mse_loss(ours, theirs) / 2)


def test_every_pair_of_stages_meets_on_the_smaller_grid_with_the_teachers_channels():
    teacher, student, context = semantic_pair()
    found = SemCKD(context).pairs(student.maps[1:], teacher.maps[1:])
    expected = [(6, 6, 4, 4), (6, 7, 4, 4), (6, 9, 2, 2)] * 2
    assert [tuple(ours.shape) for ours, _ in found] == expected
    assert [tuple(theirs.shape) for _, theirs in found] == expected
    torch.testing.assert_close(found[4][1], teacher.maps[2])


def test_similarities_do_not_change_when_channels_do_their_places():
    (feature,) = drawn((5, 4, 4))
    related = Similarities(6, 2)
    found = related(feature)
    assert found.shape == (6, 3)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(related(feature.roll(2, 1)), found)
    assert not torch.allclose(related(feature.roll(1, 0)), found)  # samples are not interchangeable


def test_maps_of_nothing_have_finite_attention_gradients():
    related = Similarities(6, 2)
    nothing = torch.zeros(6, 5, 4, 4, requires_grad=True)
    for each in related.layers.parameters():
        nn.init.zeros_(each)
    attention([related(nothing)], [related(nothing), related(nothing)])[:, :, 0].sum().backward()
    assert torch.isfinite(nothing.grad).all()


def test_the_student_learns_through_its_queries_too():
    teacher, student, context = semantic_pair()
    distiller = SemCKD(context)
    (stage,) = (each.requires_grad_() for each in student.maps[1:2])
    shares = distiller.attention(student.maps[1:], teacher.maps[1:])
    assert torch.autograd.grad(shares[:, 0, 0].sum(), stage)[0].abs().max() > 0


def test_a_batch_of_another_size_is_refused_with_both_sizes():
    teacher, student, context = semantic_pair(batch_size=4)
    distiller = SemCKD(context)
    with pytest.raises(ValueError, match="batches of 4 samples, and got 6"):
        terms_of(distiller, teacher, student)
    first = teacher.map(lambda x: x[:4]), student.map(lambda x: x[:4])
    found = distiller(*first, {key: x[:4] for key, x in batch_of().items()}, PROGRESS)
    assert all(math.isfinite(value.item()) for value in found.values())


@pytest.mark.parametrize("batch_size", [1, 3, 6])
def test_even_the_smallest_batches_have_a_width_to_work_with(batch_size):
    assert Similarities(batch_size, 4)(torch.randn(batch_size, 5, 4, 4)).shape == (batch_size, 1)


def test_semckd_has_to_know_the_size_of_a_batch_and_some_stage():
    *_, context = semantic_pair(batch_size=0)
    with pytest.raises(NotApplicable, match="nobody told its size"):
        SemCKD(context)
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    with pytest.raises(NotApplicable, match="stem alone"):
        SemCKD(context_of(teacher, student))


def test_semckd_refuses_stages_of_other_axes():
    teacher, student = activations(((4, 8, 8), (6, 4, 4))), activations(((4, 8), (6, 4)))
    with pytest.raises(NotApplicable, match="1 spatial axes in the student, of 2 in the teacher"):
        SemCKD(context_of(teacher, student))


# The simple recipe


def test_normalised_embeddings_forget_scale_and_shift_of_every_dimension():
    ours, theirs = torch.randn(2, 16, 5)
    scale, shift = torch.rand(2, 5) + 0.5
    torch.testing.assert_close(
        srd_loss(scale * ours + shift, theirs, 4.0), srd_loss(ours, theirs, 4.0), rtol=1e-3, atol=1e-3
    )


def test_the_logarithm_adds_up_over_the_batch():
    ours, theirs = torch.randn(2, 16, 5)
    twice = (torch.cat([each, each]) for each in (ours, theirs))  # the same statistics, twice the terms
    assert (srd_loss(*twice, 4.0) - srd_loss(ours, theirs, 4.0)).item() == pytest.approx(
        math.log(2), abs=1e-4
    )


def test_a_high_exponent_sees_the_largest_difference_only():
    ours, theirs = torch.randn(2, 16, 5)
    difference = [(x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-4).sqrt() for x in (ours, theirs)]
    largest = (difference[0] - difference[1]).abs().max().log().item()
    gaps = [srd_loss(ours, theirs, exponent).item() / exponent - largest for exponent in (2.0, 8.0, 32.0)]
    assert gaps[0] > gaps[1] > gaps[2] > -1e-4
    assert gaps[2] < 0.05


def test_equal_embeddings_and_dead_dimensions_keep_loss_and_gradient_finite():
    theirs = torch.randn(16, 5)
    theirs[:, 1] = 3.0
    ours = theirs.clone().requires_grad_()
    loss = srd_loss(ours, theirs, 4.0)
    loss.backward()
    assert loss.item() < -20
    assert torch.isfinite(ours.grad).all()


def test_the_batchs_own_statistics_normalise_in_evaluation_too():
    teacher, student = (activations(((4, 6, 6), (5, 3, 3)), seed=seed) for seed in (1, 2))
    distiller = SRD(context_of(teacher, student))
    training = terms_of(distiller.train(), teacher, student)["representation"].item()
    assert terms_of(distiller.eval(), teacher, student)["representation"].item() == training
    assert {name for name, _ in distiller.named_buffers()} == set()
