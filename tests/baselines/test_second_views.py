"""Methods on two views of a sample: what their formulas imply."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from baselines.crld import CRLD, consistency_loss
from baselines.kd import kd_loss
from baselines.mlkd import MLKD, SingleViewMLKD, mlkd_losses, strong_view_loss, weak_view_losses
from baselines.sdd_kd import kd_rows
from baselines.sskd import SSKD, compared, kept_loss, kept_rows, own_image, similarity
from benchmark import Activations, Distiller, NotApplicable
from tests.baselines.shapes import CLASSES, activations, batch_of, context_of
from tests.baselines.tiny import PROGRESS

ROWS = {"strong": 6, "rotated": 18}
METHODS = (MLKD, CRLD, SSKD)


def pair_of(view: str) -> tuple[Activations, Activations]:
    """Teacher and student of six samples and their second view."""
    teacher, student = (
        activations(((4, 4, 4),), width=width, seed=seed, second=ROWS[view])
        for width, seed in ((7, 1), (5, 2))
    )
    return teacher, student


def with_logits(shown: Activations, first: torch.Tensor, second: torch.Tensor) -> Activations:
    assert shown.second is not None
    return dataclasses.replace(shown, logits=first, second=dataclasses.replace(shown.second, logits=second))


def made(method: type[Distiller], **options: float) -> Distiller:
    torch.manual_seed(0)
    teacher, student = pair_of(method.second_view or "strong")
    return method(context_of(teacher, student), **options)


def logits(rows: int = 6, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(rows, CLASSES)


@pytest.mark.parametrize("method", METHODS)
def test_a_student_that_answers_both_views_like_the_teacher_has_nothing_to_learn_from_its_logits(method):
    """Except across CRLD's views, whose answers of the teacher differ, and behind SSKD's heads."""
    teacher, student = pair_of(method.second_view)
    first, second = logits(), logits(ROWS[method.second_view])
    teacher, student = (with_logits(each, first, second) for each in (teacher, student))
    terms = made(method)(teacher, student, batch_of(), PROGRESS)
    for name in terms.keys() - {"across", "contrast"}:
        assert terms[name].item() == pytest.approx(0, abs=1e-5), name
    other = with_logits(student, logits(), logits(ROWS[method.second_view]))
    moved = made(method, **({"weak_threshold": 0.0} if method is CRLD else {}))(
        teacher, other, batch_of(), PROGRESS
    )
    assert all(moved[name].item() > 1e-4 for name in moved.keys() - {"strong_task"})


@pytest.mark.parametrize("method", METHODS)
def test_both_views_of_the_student_get_a_gradient_from_the_formula(method):
    teacher, student = pair_of(method.second_view)
    student = student.map(lambda x: x.clone().requires_grad_())
    terms = made(method)(teacher, student, batch_of(), PROGRESS)
    torch.stack(list(terms.values())).sum().backward()
    assert student.logits.grad.abs().max() > 0
    assert student.second.logits.grad.abs().max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_label_that_may_not_be_used_is_not_read(method):
    teacher, student = pair_of(method.second_view)
    values = []
    for label in (0, 1):
        batch = batch_of() | {"label": torch.full((6,), label)}
        batch["labelled"] = torch.arange(6) < 2
        batch["label"][:2] = torch.tensor([3, 4])
        values.append(made(method)(teacher, student, batch, PROGRESS))
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])


@pytest.mark.parametrize("method", METHODS)
def test_answers_per_pixel_are_refused(method):
    teacher, student = (activations(((4, 4, 4),), logits=(CLASSES, 4, 4), seed=seed) for seed in (1, 2))
    with pytest.raises(NotApplicable, match="every pixel"):
        method(context_of(teacher, student))


@pytest.mark.parametrize("method", [MLKD, CRLD])
def test_the_strong_views_supervised_term_is_the_mean_over_labelled_samples(method):
    teacher, student = pair_of("strong")
    batch = batch_of()
    assert made(method)(teacher, student, batch, PROGRESS)["strong_task"].item() == 0
    batch |= {"label": torch.tensor([0, 3, -1, -1, -1, 2]), "labelled": torch.tensor([1, 1, 0, 0, 0, 0]) > 0}
    found = made(method, strong_task_weight=0.5)(teacher, student, batch, PROGRESS)["strong_task"]
    expected = 0.5 * F.cross_entropy(student.second.logits[:2], batch["label"][:2])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("samples", [6, 7])
def test_about_half_of_mlkds_weak_view_terms_count(samples):
    """The instance term is therefore 0.45 of the sum over temperatures in the default weights, not 0.9."""
    ours, theirs = logits(samples), logits(samples)
    plain, masked = mlkd_losses(ours, theirs), weak_view_losses(ours, theirs)
    share = math.ceil(samples / 2) / samples
    assert masked["instance"].item() == pytest.approx(share * plain["instance"].item())
    assert masked["batch"].item() == pytest.approx(share * plain["batch"].item())
    assert masked["class"].item() == pytest.approx(math.ceil(CLASSES / 2) / CLASSES * plain["class"].item())


def test_a_teacher_that_is_equally_sure_of_all_samples_masks_none():
    ours, row = logits(), logits(1)
    theirs = torch.stack([row[0].roll(shift) for shift in range(6)])
    masked, plain = weak_view_losses(ours, theirs), mlkd_losses(ours, theirs)
    assert masked["instance"].item() == pytest.approx(plain["instance"].item())


def test_mlkd_without_its_second_view_has_the_weak_views_terms_alone():
    teacher, student = pair_of("strong")
    both = made(MLKD)(teacher, student, batch_of(), PROGRESS)
    alone = made(SingleViewMLKD)(
        *(dataclasses.replace(each, second=None) for each in (teacher, student)), batch_of(), PROGRESS
    )
    assert both.keys() - alone.keys() == {"strong", "strong_task"}
    assert all(torch.equal(both[name], alone[name]) for name in alone)
    assert SingleViewMLKD.second_view == ""


def test_mlkds_strong_term_looks_at_the_weak_view_at_two_temperatures():
    weak, teacher, strong = logits(), logits(), logits()
    found = strong_view_loss(weak, teacher, strong, strong)
    assert found.item() == pytest.approx(sum(kd_loss(weak, teacher, t).item() for t in (2.0, 6.0)))
    found = strong_view_loss(teacher, teacher, weak, strong)
    assert found.item() == pytest.approx(sum(kd_loss(weak, strong, t).item() for t in (3.0, 4.0, 5.0)))


def test_of_crlds_losses_those_of_unsure_samples_count_as_zero():
    ours, theirs = logits(), logits()
    rows = kd_rows(ours, theirs, 4.0)
    assert rows.mean().item() == pytest.approx(kd_loss(ours, theirs, 4.0).item(), rel=1e-5)
    sure = F.softmax(theirs, dim=1).amax(1)
    threshold = sure.sort().values[3].item()
    expected = rows[sure >= threshold].sum() / 6
    assert consistency_loss(rows, theirs, threshold).item() == pytest.approx(expected.item(), rel=1e-5)
    assert consistency_loss(rows, theirs, 1.1).item() == 0


def test_crld_reads_how_sure_the_teacher_is_from_its_logits_as_they_are():
    """Standardised logits of few classes are never sure: they would silence the terms within views."""
    sure = 20 * torch.eye(CLASSES)[torch.arange(6) % CLASSES]
    teacher, student = pair_of("strong")
    terms = made(CRLD, standardize=True)(with_logits(teacher, sure, sure), student, batch_of(), PROGRESS)
    assert terms["within"].item() > 0
    assert terms["across"].item() > 0


def test_crld_asks_the_view_that_its_term_is_masked_by():
    """An unsure weak view silences the terms within views, an unsure strong view those across."""
    sure, unsure = 20 * torch.eye(CLASSES)[torch.arange(6) % CLASSES], torch.zeros(6, CLASSES)
    teacher, student = pair_of("strong")
    method = made(CRLD, strong_threshold=0.5)
    silent = method(with_logits(teacher, unsure, sure), student, batch_of(), PROGRESS)
    assert silent["within"].item() == 0
    assert silent["across"].item() > 0
    silent = method(with_logits(teacher, sure, unsure), student, batch_of(), PROGRESS)
    assert silent["across"].item() == 0
    assert silent["within"].item() > 0


def test_similarities_ignore_the_length_of_embeddings_and_take_a_zero_one():
    turned, upright = torch.randn(18, 4), torch.randn(6, 4)
    found = similarity(turned, upright)
    torch.testing.assert_close(similarity(3 * turned, 0.5 * upright), found)
    torch.testing.assert_close(found, F.cosine_similarity(turned[:, None], upright[None], dim=2))
    assert similarity(torch.zeros(18, 4), upright).abs().max() == 0


def test_right_rows_are_kept_and_of_the_wrong_ones_those_nearest_to_being_right():
    scores = torch.tensor([[3.0, 2, 1], [1, 2, 3], [2, 3, 1], [2, 3, 1], [1, 3, 2]])
    target = torch.tensor([0, 0, 0, 0, 0])  # ranks 0, 2, 1, 1, 2
    for ratio, kept in (
        (0.0, [0]),
        (0.25, [0, 2]),
        (0.5, [0, 2, 3]),
        (0.75, [0, 1, 2, 3]),
        (1.0, [0, 1, 2, 3, 4]),
    ):
        assert kept_rows(scores, target, ratio).nonzero().flatten().tolist() == kept


def test_rows_that_are_not_kept_have_no_say():
    ours, theirs = logits(), logits()
    kept = torch.tensor([True, False, True, False, False, True])
    expected = kd_loss(ours[kept], theirs[kept], 2.0)
    torch.testing.assert_close(kept_loss(ours, theirs, kept, 2.0), expected)
    assert kept_loss(ours, theirs, torch.zeros(6, dtype=torch.bool), 2.0).item() == 0


def test_a_teacher_that_is_wrong_about_every_copy_teaches_without_them_at_a_ratio_of_zero():
    teacher, student = pair_of("rotated")
    wrong = with_logits(
        teacher,
        20 * torch.eye(CLASSES)[torch.zeros(6).long()],
        -20 * torch.eye(CLASSES)[torch.zeros(18).long()],
    )
    heard = made(SSKD)(wrong, student, batch_of(), PROGRESS)
    assert heard["transformed"].item() > 0
    assert made(SSKD, transformed_ratio=0.0)(wrong, student, batch_of(), PROGRESS)["transformed"].item() == 0


def test_the_turned_copies_of_an_image_stand_under_each_other():
    cosines = torch.zeros(18, 6)
    assert own_image(cosines).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]


def test_sskds_first_stage_trains_the_teachers_head_and_the_joint_training_leaves_it_alone():
    method = made(SSKD)
    teacher, student = pair_of("rotated")
    (stage,) = method.first_stages()
    assert {id(each) for each in stage.parameters} == {id(each) for each in method.teacher_head.parameters()}
    assert not stage.trains_student
    stage.loss(teacher, student, batch_of(), PROGRESS)["head"].backward()
    assert all(each.grad is not None for each in method.teacher_head.parameters())
    assert all(each.grad is None for each in method.student_head.parameters())
    method.zero_grad(set_to_none=True)
    student = student.map(lambda x: x.clone().requires_grad_())
    torch.stack(list(method(teacher, student, batch_of(), PROGRESS).values())).sum().backward()
    assert all(each.grad is None for each in method.teacher_head.parameters())
    assert all(each.grad is not None for each in method.student_head.parameters())


def test_a_trained_head_of_the_teacher_names_the_image_of_a_turned_copy():
    method = made(SSKD)
    teacher, student = pair_of("rotated")
    assert teacher.second is not None
    turned = teacher.embedding.repeat_interleave(3, 0) + 0.3 * torch.randn(18, 7)
    teacher = dataclasses.replace(teacher, second=dataclasses.replace(teacher.second, embedding=turned))
    (stage,) = method.first_stages()
    optimizer = torch.optim.Adam(stage.parameters, 0.01)
    for _ in range(100):
        loss = stage.loss(teacher, student, batch_of(), PROGRESS)["head"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    cosines = compared(method.teacher_head, teacher)
    assert (cosines.argmax(1) == own_image(cosines)).float().mean() > 0.9
