"""KD, pseudo-labels and FitNet: dense logits, labels that may not be used, and shapes of every dimension."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from baselines._logits import logit_rows
from baselines._projection import ConvReg
from baselines.fitnet import FitNet
from baselines.kd import KD, kd_loss
from baselines.pseudo_label import PseudoLabel, pseudo_label_loss
from baselines.scratch import Scratch
from baselines.takd import TAKD
from benchmark import Activations, Context, Distiller, NotApplicable
from benchmark.contracts import IGNORE
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.training.composition import build_distiller
from tests.baselines.tiny import REGISTRY


def composed(name: str, context: Context, **overrides: str) -> Distiller:
    """A composition with these hyper-parameters, `part__name` for `part.name`."""
    parts, given = REGISTRY.parts(name), {key.replace("__", "."): x for key, x in overrides.items()}
    return build_distiller(parts, context, resolve_hyperparameters(parts, {}, given))


def dense(student: torch.Tensor, teacher: torch.Tensor, label: torch.Tensor, labelled: torch.Tensor):
    """What `logit_rows` takes: dense logits [B, K, H, W], label [B, H, W], labelled [B]."""
    sides = [Activations(logits, torch.zeros(len(logits), 1)) for logits in (teacher, student)]
    return *sides, {"label": label, "labelled": labelled}


def test_dense_logits_are_a_row_per_pixel():
    student, teacher = torch.randn(2, 3, 7, 4, 5)
    label = torch.arange(60).view(3, 4, 5) % 7
    rows = logit_rows(*dense(student, teacher, label, torch.ones(3, dtype=torch.bool)))
    b, i, j = 2, 1, 4
    row = b * 20 + i * 5 + j
    torch.testing.assert_close(rows[0][row], teacher[b, :, i, j])
    torch.testing.assert_close(rows[1][row], student[b, :, i, j])
    assert rows[2][row] == label[b, i, j]
    assert len(rows[0]) == len(rows[1]) == len(rows[2]) == 60


def test_pixels_that_a_usable_label_marks_as_void_are_left_out():
    label = torch.zeros(2, 2, 2, dtype=torch.int64)
    label[:, 0, 0] = IGNORE
    student, teacher = torch.randn(2, 2, 5, 2, 2)
    teacher_rows, student_rows, target = logit_rows(
        *dense(student, teacher, label, torch.tensor([True, False]))
    )
    assert len(teacher_rows) == len(student_rows) == 7  # three of the labelled sample, four of the other
    assert target[:3].tolist() == [0, 0, 0]
    assert target[3:].tolist() == teacher[1].argmax(0).flatten().tolist()


def test_the_teachers_class_stands_where_no_label_may_be_used():
    student, teacher = torch.randn(2, 4, 3)
    label, labelled = torch.tensor([0, IGNORE, 2, 1]), torch.tensor([True, False, True, False])
    target = logit_rows(*dense(student, teacher, label, labelled))[2]
    assert target.tolist() == [0, teacher[1].argmax(), 2, teacher[3].argmax()]


def test_kd_is_zero_for_equal_logits_and_ignores_a_shift_of_them():
    student, teacher = torch.randn(2, 6, 9)
    assert kd_loss(teacher, teacher, 4.0).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(kd_loss(student + 3, teacher - 1, 4.0), kd_loss(student, teacher, 4.0))


def test_kd_alone_and_in_a_composition_have_their_published_weights(context):
    assert (KD(context).task_weight, KD(context).weight) == (0.1, 0.9)
    assert KD.in_composition == {"task_weight": 1.0, "weight": 1.0}


def test_an_assistant_learns_in_a_composition_as_it_does_alone(context, tiny):
    losses = []
    for make in (
        lambda: TAKD(context, assistant="conv2d_4"),
        lambda: composed("takd+crd", context, takd__assistant="conv2d_4"),
    ):
        torch.manual_seed(0)
        (stage,) = make().first_stages()
        losses.append(stage.loss(tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress))
    assert losses[0].keys() == {"task", "kd"}
    assert losses[0] == losses[1]


def test_pseudo_labels_stand_where_no_label_may_be_used():
    student, teacher = torch.randn(2, 4, 3)
    label, labelled = torch.tensor([0, 1, 2, 0]), torch.tensor([True, False, True, False])
    target = torch.tensor([0, teacher[1].argmax(), 2, teacher[3].argmax()])
    expected = F.cross_entropy(student, target)
    torch.testing.assert_close(pseudo_label_loss(student, teacher, label, labelled), expected)
    hidden = torch.where(labelled, label, IGNORE)
    torch.testing.assert_close(pseudo_label_loss(student, teacher, hidden, labelled), expected)


def test_pseudo_labels_need_a_sample_without_label(context):
    assert PseudoLabel(context).task_weight == 0
    with pytest.raises(NotApplicable, match="nothing to pseudo-label"):
        PseudoLabel(replace(context, train_labels=torch.zeros(40, dtype=torch.int64)))
    some_void = torch.tensor([[IGNORE, 0], [1, 2]]).expand(40, 2, 2).clone()
    with pytest.raises(NotApplicable, match="nothing to pseudo-label"):
        PseudoLabel(replace(context, train_labels=some_void))
    some_void[5] = IGNORE
    PseudoLabel(replace(context, train_labels=some_void))


def test_pseudo_labels_take_the_place_of_the_supervised_term_in_a_composition_too(context, tiny):
    student = tiny.student()
    loss = composed("pseudo_label+kd", context).task_loss(student, tiny.batch())
    assert loss == 0
    assert not torch.autograd.grad(loss, student.logits)[0].any()
    asked_for = PseudoLabel(context, task_weight=1.0).task_loss(student, tiny.batch())
    torch.testing.assert_close(asked_for, Scratch(context).task_loss(student, tiny.batch()))


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((4, 8, 8), (6, 4, 4)),
        ((4, 2, 2), (6, 1, 1)),
        ((4, 4, 4), (6, 8, 8)),
        ((4, 7, 7), (6, 7, 7)),
        ((4, 9, 7), (6, 5, 7)),
        ((4, 10), (6, 5)),
        ((4, 6), (6, 12)),
        ((4, 8, 6, 6), (6, 4, 6, 3)),
        ((4, 4, 3, 3), (6, 4, 6, 6)),
    ],
)
def test_the_regressor_meets_the_teachers_shape_in_one_two_and_three_dimensions(student, teacher):
    assert ConvReg(student, teacher)(torch.randn(2, *student)).shape == (2, *teacher)


@pytest.mark.parametrize(
    ("student", "teacher", "named"),
    [((4, 3, 3), (6, 8, 8), "3x3"), ((4, 8), (6, 8, 8), "8x8"), ((4, 8, 4), (6, 4, 8), "8x4")],
)
def test_sizes_without_a_regressor_are_not_applicable_and_named(student, teacher, named):
    with pytest.raises(NotApplicable, match=named):
        ConvReg(student, teacher)


def test_a_hint_layer_that_is_not_there_is_not_applicable(context):
    with pytest.raises(NotApplicable, match="hint layer 4"):
        FitNet(context, hint_layer=4)
