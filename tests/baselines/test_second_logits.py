"""NKD, CTKD, TTM, Tf-KD, SDD and OFA-KD: what their formulas imply, and where they don't apply."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._regions import region_logits, region_weights
from baselines.ctkd import CTKD, curriculum_kd_loss, reversal, scaled_gradient, temperature_of
from baselines.dkd import nckd_loss, tckd_loss
from baselines.kd import kd_loss
from baselines.nkd import NKD, nkd_losses, soft_cross_entropy_rows, target_rows
from baselines.ofa_kd import OFAKD, ofa_loss
from baselines.sdd_dkd import SDDDKD, dkd_rows
from baselines.sdd_kd import SDDKD, kd_rows
from baselines.sdd_nkd import SDDNKD
from baselines.tfkd import TfKD, tfkd_rows, virtual_teacher
from baselines.ttm import TTM, WTTM, matching_rows, power_sum
from benchmark import Activations, Batch, Distiller, NotApplicable, Progress
from benchmark.contracts import IGNORE
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.training.composition import build_distiller, check_needs
from tests.baselines.references.slow import divergence, softmax
from tests.baselines.shapes import CLASSES, activations, batch_of, context_of
from tests.baselines.tiny import PROGRESS, REGISTRY
from tests.golden.adapters.second_logits import ctkd as golden_ctkd

TARGET = torch.tensor([0, 3, 1, 4, 4, 2])
METHODS = (NKD, CTKD, TTM, WTTM, TfKD, SDDKD, SDDDKD, SDDNKD, OFAKD)
ON_PIXELS = (NKD, CTKD, TTM, WTTM, TfKD)
ON_REGIONS = (SDDKD, SDDDKD, SDDNKD)
GRIDS = {"1-D": (9,), "2-D": (6, 8), "3-D": (4, 5, 6)}


def logits() -> tuple[Tensor, Tensor]:
    return 3 * torch.randn(6, CLASSES), 3 * torch.randn(6, CLASSES)


def gradient(loss: Tensor, leaf: Tensor) -> Tensor:
    return torch.autograd.grad(loss, leaf)[0]


def total(distiller: Distiller, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
    """The sum of its terms; of one without terms, the supervised loss that it brings."""
    terms = list(distiller(teacher, student, batch, PROGRESS).values())
    return torch.stack(terms or [distiller.task_loss(student, batch)]).sum()


def shown(seed: int, grid: tuple[int, ...] = (8, 8), channels: int = 6) -> Activations:
    """A network of a stem and two stages whose classifier takes the mean of its last map."""
    maps = ((3, *grid), (4, *grid), (channels, *grid))
    return activations(maps, width=channels, seed=seed)


def pair(grid: tuple[int, ...] = (8, 8)) -> tuple[Activations, Activations]:
    return shown(1, grid), shown(2, grid, channels=5)


def labelled_batch(seen: int = 6) -> dict[str, Tensor]:
    """TARGET, of which the first `seen` may be used."""
    return batch_of() | {"label": TARGET, "labelled": torch.arange(6) < seen}


# NKD


def test_less_the_teachers_entropy_the_non_target_part_of_nkd_is_that_of_dkd():
    ours, theirs = logits()
    parts = [nkd_losses(each, theirs, TARGET, 3.0)[1] for each in (ours, theirs)]
    torch.testing.assert_close(parts[0] - parts[1], nckd_loss(ours, theirs, TARGET, 3.0))


def test_the_entropy_that_nkd_leaves_out_moves_nothing():
    teacher, student = pair()
    student.logits.requires_grad_()
    ours = total(NKD(context_of(teacher, student)), teacher, student, labelled_batch())
    own, rest = nkd_losses(student.logits, teacher.logits, TARGET, 3.0)
    published = own + 3.5 * rest
    assert published > ours + 1
    torch.testing.assert_close(gradient(ours, student.logits), gradient(published, student.logits))


def test_the_non_target_part_of_nkd_is_zero_for_equal_others_whatever_the_target_gets():
    teacher, student = pair()
    moved = teacher.logits.scatter_add(1, TARGET[:, None], torch.full((6, 1), 5.0))
    student = dataclasses.replace(student, logits=moved + 2)
    terms = NKD(context_of(teacher, student))(teacher, student, labelled_batch(), PROGRESS)
    assert terms["non_target"].item() == pytest.approx(0, abs=1e-4)


def test_the_target_part_of_nkd_is_weighted_by_the_teachers_own_probability():
    ours, theirs = logits()
    ours.requires_grad_()
    found = gradient(target_rows(ours, theirs, TARGET).sum(), ours).gather(1, TARGET[:, None])
    p, q = (F.softmax(z.detach(), 1).gather(1, TARGET[:, None]) for z in (theirs, ours))
    torch.testing.assert_close(found, -p * (1 - q))


# CTKD


def test_a_curriculum_at_a_fixed_temperature_is_kd():
    ours, theirs = logits()
    found = curriculum_kd_loss(ours, theirs, torch.tensor(4.0))
    torch.testing.assert_close(found, kd_loss(ours, theirs, 4.0))
    assert curriculum_kd_loss(theirs + 1, theirs, torch.tensor(4.0)).item() == pytest.approx(0, abs=1e-5)


def test_the_temperature_starts_at_15_6_and_stays_between_1_and_21():
    assert temperature_of(torch.ones(()), 1.0, 20.0).item() == pytest.approx(1 + 20 / (1 + math.exp(-1)))
    ends = temperature_of(torch.tensor([-1e3, 1e3]), 1.0, 20.0)
    assert ends.tolist() == [1, 21]


def test_the_reversal_goes_from_0_to_its_strength_in_10_of_240_epochs():
    factors = [reversal(Progress(0, 240, step, 2400), 10 / 240, 0.7) for step in (0, 50, 100, 101, 2400)]
    assert factors == pytest.approx([0, -0.35, -0.7, -0.7, -0.7])


def test_the_reversal_has_the_published_value_at_the_end_of_each_epoch():
    with np.load(Path(__file__).parents[1] / "golden" / "ctkd.npz") as stored:
        arrays = dict(stored)
    found = golden_ctkd(arrays)["schedule_lambda"]
    np.testing.assert_allclose(found, arrays["schedule_lambda"], rtol=1e-6)
    assert len(found) == 15


def test_a_scaled_gradient_changes_no_value():
    value = torch.randn(5).requires_grad_()
    seen = scaled_gradient(value, -0.3)
    assert torch.equal(seen, value)
    torch.testing.assert_close(gradient(seen.sum(), value), torch.full((5,), -0.3))


def test_theta_climbs_the_loss_that_the_student_descends():
    teacher, student = (each.map(lambda x: 3 * x) for each in pair())
    student.logits.requires_grad_()
    distiller: Any = CTKD(context_of(teacher, student))
    with torch.no_grad():
        distiller.theta.fill_(-2.0)

    def at(step: int) -> Tensor:
        return distiller(teacher, student, batch_of(), Progress(0, 240, step, 240))["kd"]

    temperature = temperature_of(distiller.theta, 1.0, 20.0)
    plain = 0.9 * curriculum_kd_loss(student.logits, teacher.logits, temperature)
    slope, pull = torch.autograd.grad(plain, [distiller.theta, student.logits])
    assert slope.abs() > 0.01
    for step, factor in ((0, 0.0), (5, -0.5), (10, -1.0), (200, -1.0)):
        assert at(step) == plain
        found = torch.autograd.grad(at(step), [distiller.theta, student.logits])
        torch.testing.assert_close(found, (factor * slope, pull))
    at(200).backward()
    torch.optim.SGD([distiller.theta], 1.0).step()
    assert at(200) > plain


# TTM and WTTM


def test_matching_with_exponent_one_is_kd_at_temperature_one():
    ours, theirs = logits()
    torch.testing.assert_close(matching_rows(ours, theirs, 1.0).mean(), kd_loss(ours, theirs, 1.0))


def test_a_transformed_teacher_is_met_by_softened_logits_and_not_by_its_own():
    _, theirs = logits()
    assert matching_rows(0.1 * theirs + 2, theirs, 0.1).abs().max().item() < 1e-6
    assert matching_rows(theirs, theirs, 0.1).min().item() > 0.01


def test_the_transformed_teacher_is_its_probabilities_to_a_power():
    ours, theirs = logits()
    powers = F.softmax(theirs, 1) ** 0.2
    wanted = powers / powers.sum(1, keepdim=True)
    torch.testing.assert_close(power_sum(theirs, 0.2), powers.sum(1))
    kl = F.kl_div(F.log_softmax(ours, 1), wanted, reduction="none").sum(1)
    torch.testing.assert_close(matching_rows(ours, theirs, 0.2), kl)


@pytest.mark.parametrize("exponent", [0.1, 0.2, 1.0])
def test_the_weight_is_1_for_a_sure_teacher_and_largest_for_one_that_knows_nothing(exponent):
    answers = torch.stack([1e3 * torch.eye(CLASSES)[0], torch.zeros(CLASSES)])
    sums = power_sum(answers, exponent)
    assert sums.tolist() == pytest.approx([1, CLASSES ** (1 - exponent)])
    others = power_sum(logits()[1], exponent)
    assert (others <= sums[1] + 1e-5).all()
    assert (others >= sums[0] - 1e-5).all()


def test_wttm_counts_unsure_samples_more_than_ttm_does():
    _, student = pair()
    sure, unsure = (
        dataclasses.replace(student, logits=scale * torch.eye(CLASSES)[[0, 1, 2, 3, 4, 0]])
        for scale in (50.0, 0.5)
    )
    shares = []
    for teacher in (sure, unsure):
        context = context_of(teacher, student)
        kinds: list[Any] = [TTM, WTTM]
        plain, weighted = (kind(context, weight=1.0, exponent=0.2) for kind in kinds)
        values = [total(each, teacher, student, batch_of()).item() for each in (plain, weighted)]
        shares.append(values[1] / values[0])
    assert shares[0] == pytest.approx(1, abs=1e-2)
    assert shares[1] > 3


# Tf-KD


def test_a_virtual_teacher_is_a_distribution_that_is_alike_for_all_other_classes():
    found = virtual_teacher(TARGET, CLASSES, 20.0, 0.99)
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    own = found.gather(1, TARGET[:, None])
    rest = found.masked_select(F.one_hot(TARGET, CLASSES) == 0)
    torch.testing.assert_close(rest, rest[:1].expand_as(rest))
    torch.testing.assert_close(own / rest[0], torch.full((6, 1), math.exp((0.99 - 0.0025) / 20)))


def test_the_virtual_teacher_is_met_by_its_own_softened_probabilities():
    sure = torch.full((6, CLASSES), 0.0025).scatter(1, TARGET[:, None], 0.99)
    assert tfkd_rows(sure / 20, TARGET, 20.0, 0.99).abs().max().item() < 1e-6
    assert tfkd_rows(logits()[0], TARGET, 20.0, 0.99).min().item() > 1e-3


def test_an_undecided_student_is_drawn_towards_the_label_alone():
    undecided = torch.zeros(6, CLASSES, requires_grad=True)
    slope = gradient(tfkd_rows(undecided, TARGET, 20.0, 0.99).sum(), undecided)
    at_label = F.one_hot(TARGET, CLASSES) == 1
    assert (slope[at_label] < 0).all()
    assert (slope[~at_label] > 0).all()


def test_tfkd_has_no_terms_beside_the_supervised_one_and_so_no_teacher():
    teacher, student = pair()
    distiller = TfKD(context_of(teacher, student))
    assert distiller(teacher, student, labelled_batch(), PROGRESS) == {}
    assert type(distiller).forward is Distiller.forward  # by which the engine tells whom to charge


def test_tfkd_is_the_mean_over_samples_with_a_label_and_zero_where_there_are_none():
    teacher, student = pair()
    student.logits.requires_grad_()
    distiller = TfKD(context_of(teacher, student))
    some = distiller.task_weight * distiller.task_loss(student, labelled_batch(4))
    sure = np.full((4, CLASSES), 0.01 / (CLASSES - 1))
    sure[range(4), TARGET[:4]] = 0.99
    virtual = [softmax(each, 20.0) for each in sure]
    answers = [softmax(each) for each in student.logits.detach().double().numpy()[:4]]
    kl = sum(map(divergence, virtual, answers)) / 4
    entropy = -sum(math.log(each[label]) for each, label in zip(answers, TARGET, strict=False)) / 4
    assert some.item() == pytest.approx(0.9 * entropy + 0.1 * kl, rel=1e-5)
    none = total(distiller, teacher, student, labelled_batch(0))
    assert none == 0
    assert not gradient(none, student.logits).any()
    with pytest.raises(NotApplicable, match="no training label"):
        check_needs(TfKD.needs, context_of(teacher, student))


def test_tfkd_brings_a_composition_its_term_beside_the_whole_cross_entropy(context, tiny):
    parts = REGISTRY.parts("tfkd+kd")
    together = build_distiller(parts, context, resolve_hyperparameters(parts, {}, {}))
    alone, student, batch = TfKD(context), tiny.student(), tiny.batch()
    supervised = Distiller.task_loss(alone, student, batch)
    expected = alone.task_loss(student, batch) + 0.1 * supervised
    torch.testing.assert_close(together.task_weight * together.task_loss(student, batch), expected)


# SDD


def test_regions_of_a_map_that_is_alike_everywhere_have_the_logits_of_its_mean():
    head = nn.Linear(6, CLASSES)
    feature = torch.randn(6, 6, 1, 1).expand(-1, -1, 8, 8)
    found = region_logits(feature, head, 3)
    torch.testing.assert_close(found, head(feature[:, :, 0, 0])[:, None].expand(-1, 21, -1))


@pytest.mark.parametrize(("grid", "counts"), [((8,), (3, 7)), ((8, 4), (5, 21)), ((4, 8, 4), (9, 73))])
def test_the_whole_map_comes_first_and_is_the_mean_of_the_regions_of_each_level(grid, counts):
    head = nn.Linear(6, CLASSES)
    feature = torch.randn(6, 6, *grid)
    found = region_logits(feature, head, 3)
    torch.testing.assert_close(found[:, 0], head(feature.flatten(2).mean(2)))
    levels = found.split([1, counts[0] - 1, counts[1] - counts[0]], dim=1)
    for level in levels[1:]:
        torch.testing.assert_close(level.mean(1), found[:, 0])
    torch.testing.assert_close(region_logits(feature, head, 2), found[:, : counts[0]])


def test_regions_are_numbered_row_by_row():
    feature = torch.arange(64.0).view(1, 1, 8, 8)
    found = region_logits(feature, nn.Identity(), 3)[0, :, 0]
    quarters = [
        feature[0, 0, i : i + 4, j : j + 4].mean().item() for i in range(0, 8, 4) for j in range(0, 8, 4)
    ]
    assert found[1:5].tolist() == quarters
    assert found[5].item() == feature[0, 0, :2, :2].mean()
    assert found[6].item() == feature[0, 0, :2, 2:4].mean()


def test_a_map_smaller_than_the_grid_is_repeated():
    found = region_logits(torch.randn(6, 6, 2, 2), nn.Linear(6, CLASSES), 3)
    finest = found[:, 5:].unflatten(1, (2, 2, 2, 2))
    torch.testing.assert_close(finest, finest[:, :, :1, :, :1].expand_as(finest))
    torch.testing.assert_close(finest[:, :, 0, :, 0].flatten(1, 2), found[:, 1:5])


def test_a_region_counts_twice_where_the_teacher_is_right_of_it_or_of_the_whole_but_not_of_both():
    right, wrong = torch.eye(3)[0], torch.eye(3)[1]
    answers = torch.stack([torch.stack([right, right, wrong]), torch.stack([wrong, right, wrong])])
    found = region_weights(answers, torch.tensor([0, 0]))
    assert found.tolist() == [[1, 1, 2], [1, 2, 1]]
    # Wrong in another way is wrong all the same.
    assert region_weights(answers, torch.tensor([2, 2])).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_rows_of_the_region_forms_have_the_means_of_kd_and_dkd():
    ours, theirs = logits()
    torch.testing.assert_close(kd_rows(ours, theirs, 4.0).mean(), kd_loss(ours, theirs, 4.0))
    found = [rows.mean() for rows in dkd_rows(ours, theirs, TARGET, 4.0)]
    wanted = [loss(ours, theirs, TARGET, 4.0) for loss in (tckd_loss, nckd_loss)]
    torch.testing.assert_close(found, wanted)


def test_the_rest_of_nkd_on_regions_is_kd_with_the_teachers_entropy():
    ours, theirs = logits()
    parts = [soft_cross_entropy_rows(each, theirs, 4.0) for each in (ours, theirs)]
    torch.testing.assert_close(parts[0] - parts[1], kd_rows(ours, theirs, 4.0), rtol=1e-4, atol=1e-4)


def test_networks_that_answer_alike_everywhere_have_nothing_to_learn():
    teacher, _ = pair()
    for kind, terms in ((SDDKD, ("kd",)), (SDDDKD, ("tckd", "nckd")), (SDDNKD, ("rest",))):
        distiller = kind(context_of(teacher, teacher))
        found = distiller(teacher, teacher, labelled_batch(), PROGRESS)
        assert [found[term].item() for term in terms] == pytest.approx([0] * len(terms), abs=1e-3)
        assert distiller(teacher, shown(3), labelled_batch(), PROGRESS)[terms[0]].item() > 1e-2


def test_the_ordinary_logits_and_embedding_say_nothing_about_regions_when_labels_are_there():
    teacher, student = pair()
    distiller = SDDKD(context_of(teacher, student))
    other = dataclasses.replace(student, logits=9 * student.logits, embedding=9 * student.embedding)
    values = [distiller(teacher, each, labelled_batch(), PROGRESS)["kd"] for each in (student, other)]
    assert values[0] == values[1]


@pytest.mark.parametrize("kind", ON_REGIONS)
def test_the_students_classifier_learns_from_regions_and_the_teachers_does_not(kind):
    teacher, student = pair()
    total(kind(context_of(teacher, student)), teacher, student, labelled_batch()).backward()
    assert isinstance(student.classify, nn.Linear)
    assert isinstance(teacher.classify, nn.Linear)
    assert student.classify.weight.grad is not None
    assert student.classify.weight.grad.abs().max() > 0
    assert teacher.classify.weight.grad is None


@pytest.mark.parametrize("kind", ON_REGIONS)
def test_regions_need_a_classifier_that_takes_the_mean_of_the_last_map(kind):
    teacher, student = pair()
    hidden = dataclasses.replace(student, classify=None)
    with pytest.raises(NotApplicable, match="the student has no classifier of its own"):
        kind(context_of(teacher, hidden))
    with pytest.raises(NotApplicable, match="the teacher's classifier doesn't take the mean"):
        kind(context_of(teacher, student, teacher_pooled=False))
    with pytest.raises(NotApplicable, match="1 spatial axes in the student, of 2 in the teacher"):
        kind(context_of(teacher, shown(2, (8,))))


@pytest.mark.parametrize("kind", [SDDDKD, SDDNKD])
def test_the_region_forms_of_dkd_and_nkd_warm_up_over_a_twelfth_of_training(kind):
    teacher, student = pair()
    distiller = kind(context_of(teacher, student))
    at = [
        distiller(teacher, student, labelled_batch(), Progress(0, 240, step, 240))
        for step in (0, 10, 20, 200)
    ]
    for term in at[0]:
        values = [terms[term].item() for terms in at]
        assert values[2] > 0
        assert values == pytest.approx([0, values[2] / 2, values[2], values[2]])


def test_sdd_kd_does_not_warm_up():
    teacher, student = pair()
    distiller = SDDKD(context_of(teacher, student))
    values = [distiller(teacher, student, labelled_batch(), Progress(0, 9, step, 9))["kd"] for step in (0, 9)]
    assert values[0] == values[1] > 0


# OFA-KD


def test_without_enhancement_it_is_the_cross_entropy_with_the_teachers_probabilities():
    ours, theirs = logits()
    found = ofa_loss(ours, theirs, TARGET, 1.0)
    torch.testing.assert_close(found, F.cross_entropy(ours, F.softmax(theirs, 1)))


def test_an_exponent_raises_the_target_and_lowers_every_other_class():
    _, theirs = logits()
    ours = torch.zeros_like(theirs).requires_grad_()
    p = F.softmax(theirs, 1)
    at_target = F.one_hot(TARGET, CLASSES) == 1
    weights = torch.where(at_target, (p + 1) ** 1.5 - 1, p**1.5)
    assert (weights[at_target] > p[at_target]).all()
    assert (weights[~at_target] < p[~at_target]).all()
    slope = gradient(6 * ofa_loss(ours, theirs, TARGET, 1.5), ours)
    torch.testing.assert_close(slope, weights.sum(1, keepdim=True) / CLASSES - weights)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_each_stage_has_an_exit_that_leads_to_the_classes(grid):
    teacher, student = shown(1, (7, 7)), shown(2, grid)
    distiller: Any = OFAKD(context_of(teacher, student))
    assert len(distiller.exits) == 2
    for leave, feature in zip(distiller.exits, student.maps[1:], strict=True):
        assert leave(feature).shape == (6, CLASSES)


def test_an_exit_halves_the_grid_once_per_stage_behind_it_and_ends_at_the_wider_embedding():
    maps = ((3, 16, 16), (4, 16, 16), (6, 8, 8), (8, 4, 4))
    student, teacher = activations(maps, width=8), activations(maps, width=20)
    distiller: Any = OFAKD(context_of(teacher, student))
    exits = distiller.exits
    shapes = [
        tuple(each.blocks(feature).shape[1:]) for each, feature in zip(exits, student.maps[1:], strict=True)
    ]
    assert shapes == [(20, 4, 4)] * 3
    assert [len(exits[0].blocks), len(exits[1].blocks)] == [2, 1]
    assert isinstance(exits[2].blocks, nn.Conv2d)


def test_ofa_takes_any_teacher_that_shows_logits_and_moves_every_stage_of_the_student():
    maps = ((3, 8, 8), (4, 8, 8), (6, 4, 4))
    teacher, student = activations(((5, 9),), seed=1), activations(maps, seed=2)
    teacher = dataclasses.replace(teacher, maps=(), preactivations=())
    student = student.map(lambda x: x.requires_grad_())
    distiller: Any = OFAKD(context_of(activations(((5, 9),)), student))
    total(distiller, teacher, student, batch_of()).backward()
    assert student.maps[0].grad is None
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in student.maps[1:])
    assert student.logits.grad is not None
    assert student.embedding.grad is None


def test_the_terms_of_ofa_are_one_loss_at_the_exits_and_one_at_the_end():
    teacher, student = pair()
    kind: Any = OFAKD
    distiller = kind(context_of(teacher, student), exit_weight=0.5, final_weight=3.0, exponent=1.5)
    found = distiller(teacher, student, labelled_batch(), PROGRESS)
    answers = [leave(each) for leave, each in zip(distiller.exits, student.maps[1:], strict=True)]
    wanted = [ofa_loss(each, teacher.logits, TARGET, 1.5) for each in (*answers, student.logits)]
    torch.testing.assert_close(found["exits"], 0.5 * (wanted[0] + wanted[1]))
    torch.testing.assert_close(found["final"], 3 * wanted[2])


def test_ofa_needs_stages_and_one_answer_a_sample():
    teacher, student = pair()
    with pytest.raises(NotApplicable, match="no stages"):
        OFAKD(context_of(teacher, activations(((3, 8, 8),))))
    dense = activations(((4, 4, 4), (4, 4, 4)), logits=(CLASSES, 4, 4))
    with pytest.raises(NotApplicable, match="every pixel"):
        OFAKD(context_of(dense, dense))
    odd = ((4, 8, 8), (4, 2, 2, 2, 2))
    context = context_of(teacher, student)
    context = dataclasses.replace(context, student=dataclasses.replace(context.student, maps=odd))
    with pytest.raises(NotApplicable, match="no convolution takes them all"):
        OFAKD(context)


# All of them


@pytest.mark.parametrize("kind", METHODS)
def test_a_label_that_may_not_be_used_is_not_read(kind):
    teacher, student = pair()
    distiller = kind(context_of(teacher, student))
    batch = labelled_batch(3)
    poisoned = batch | {"label": torch.where(batch["labelled"], TARGET, (TARGET + 1) % CLASSES)}
    void = batch | {"label": torch.where(batch["labelled"], TARGET, IGNORE)}
    values = [total(distiller, teacher, student, each) for each in (batch, poisoned, void)]
    assert values[0] == values[1] == values[2]
    assert values[0] > 0


@pytest.mark.parametrize("kind", [NKD, TfKD, SDDKD, SDDDKD, SDDNKD])
def test_a_label_that_may_be_used_is_read(kind):
    # Regions of one place each, of which the teacher says this and that.
    teacher, student = (each.map(lambda x: 5 * x) for each in pair((2, 2)))
    distiller, batch = kind(context_of(teacher, student)), labelled_batch()
    labels = [(TARGET + shift) % CLASSES for shift in range(CLASSES)]
    values = [total(distiller, teacher, student, batch | {"label": each}).item() for each in labels]
    assert max(values) - min(values) > 1e-3 * values[0]


@pytest.mark.parametrize("kind", METHODS)
def test_answers_of_any_size_keep_losses_and_gradients_finite(kind):
    teacher, student = (each.map(lambda x: 300 * x) for each in pair())
    student = student.map(lambda x: x.requires_grad_())
    distiller = kind(context_of(teacher, student))
    loss = total(distiller, teacher, student, labelled_batch())
    loss.backward()
    assert math.isfinite(loss.item())
    leaves = [student.logits, *student.maps, *student.preactivations, *distiller.parameters()]
    moved = [each.grad for each in leaves if each.grad is not None]
    assert moved
    assert all(torch.isfinite(each).all() for each in moved)


@pytest.mark.parametrize("kind", ON_PIXELS)
def test_a_pixel_without_a_class_does_not_count(kind):
    teacher, student = (activations(((4, 4, 4),), logits=(CLASSES, 3, 3), seed=seed) for seed in (1, 2))
    label = torch.randint(CLASSES, (6, 3, 3), generator=torch.Generator().manual_seed(0))
    label[:, 0] = IGNORE
    batch = {"index": torch.arange(6), "label": label, "labelled": torch.ones(6, dtype=torch.bool)}
    distiller = kind(context_of(teacher, student))

    def loss(logits: Tensor) -> Tensor:
        return total(distiller, teacher, dataclasses.replace(student, logits=logits), batch)

    moved = []
    for row in (0, 1):
        changed = student.logits.clone()
        changed[:, 0, row] += 5
        moved.append(loss(changed))
    assert loss(student.logits) == moved[0]
    assert loss(student.logits) != moved[1]
    flat = {"label": label[:, 1:].flatten(), "labelled": torch.ones(36, dtype=torch.bool)}
    theirs, ours = (
        Activations(each.logits.movedim(1, -1)[:, 1:].flatten(0, 2), each.embedding)
        for each in (teacher, student)
    )
    torch.testing.assert_close(loss(student.logits), total(distiller, theirs, ours, flat))
