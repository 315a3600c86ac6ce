"""The controls take away what they claim to take away, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from baselines.controls import LabelSmoothing, RandomTeacher, SelfDistillation, ShuffledTeacher, partners
from baselines.gckt import GCKT
from baselines.gckt_dual import GCKTDual
from baselines.kd import KD, kd_loss


def test_smoothing_mixes_the_label_with_the_uniform_distribution(context, tiny):
    student, batch = tiny.student(), tiny.batch()
    usable = batch["labelled"]
    target = 0.9 * F.one_hot(batch["label"], 5) + 0.1 / 5
    expected = F.cross_entropy(student.logits[usable], target[usable])
    torch.testing.assert_close(LabelSmoothing(context).task_loss(student, batch), expected)
    assert LabelSmoothing(context)(tiny.teacher(), student, batch, tiny.progress) == {}


def test_a_shuffled_teacher_never_answers_for_its_own_sample(context, tiny):
    """With one-hot answers of the sample's own place, its own answer would be the cheapest."""
    distiller, student = ShuffledTeacher(context, temperature=1.0, weight=1.0), tiny.student()
    logits = 50 * F.one_hot(torch.arange(8) % 5, 5).float()
    partners = set()
    for seed in range(60):
        torch.manual_seed(seed)
        cycle = torch.randperm(8)
        torch.manual_seed(seed)
        teacher = tiny.teacher()
        teacher = type(teacher)(logits, teacher.embedding)
        found = distiller(teacher, student, tiny.batch(), tiny.progress)["kd"]
        partner = torch.empty_like(cycle)
        partner[cycle] = cycle.roll(1)
        assert (partner != torch.arange(8)).all()
        partners |= {(i, int(p)) for i, p in enumerate(partner)}
        torch.testing.assert_close(found, kd_loss(student.logits, logits[partner], 1.0))
    assert len(partners) == 8 * 7


def test_a_shuffled_teacher_never_answers_for_a_sample_that_stands_in_the_batch_again(context, tiny):
    samples = torch.tensor([7, 3, 7, 7, 5, 7, 3, 7])
    logits = 50 * F.one_hot(samples % 5, 5).float()
    teacher, student = tiny.teacher(), tiny.student()
    teacher = type(teacher)(logits, teacher.embedding)
    distiller = ShuffledTeacher(context, temperature=1.0, weight=1.0)
    for seed in range(20):
        torch.manual_seed(seed)
        partner = partners(torch.randperm(8), samples)
        assert (samples[partner] != samples).all()
        torch.manual_seed(seed)
        found = distiller(teacher, student, tiny.batch() | {"index": samples}, tiny.progress)["kd"]
        torch.testing.assert_close(found, kd_loss(student.logits, logits[partner], 1.0))
    assert sorted(partners(torch.randperm(8), torch.full((8,), 7)).tolist()) == list(range(8))


@pytest.mark.parametrize(
    ("control", "teacher"),
    [(RandomTeacher, "untrained"), (SelfDistillation, "student_architecture"), (ShuffledTeacher, "trained")],
)
def test_controls_are_kd_with_another_teacher(control, teacher, context):
    assert control.learns_from == teacher
    ours, plain = control(context), KD(context)
    assert (ours.weight, ours.task_weight, ours.temperature) == (
        plain.weight,
        plain.task_weight,
        plain.temperature,
    )


def test_the_dual_objective_is_gckts_option(context, tiny):
    given = tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress
    values = []
    for kind, options in ((GCKTDual, {}), (GCKT, {"objective": "dual"})):
        torch.manual_seed(0)
        values.append(kind(context, **options)(*given)["gckt"].item())
    assert values[0] == values[1]


def test_the_dual_objective_does_not_depend_on_the_temperature_and_none_is_searched(registry, context, tiny):
    given = tiny.teacher(), tiny.student(), tiny.batch(), tiny.progress
    values = []
    for temperature in (0.02, 0.3):
        torch.manual_seed(0)
        values.append(GCKTDual(context, temperature=temperature)(*given)["gckt"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert registry.baseline("gckt_dual").hyperparameters["temperature"].search.values == (0.07,)
    assert registry.baseline("gckt").hyperparameters["temperature"].searched
