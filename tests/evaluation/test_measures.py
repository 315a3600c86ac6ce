"""Scores, fidelity and cost against slow maths and counts by hand."""

from __future__ import annotations

import math

import torch
from torch import nn

from benchmark import Activations, Context, Distiller, Shapes
from benchmark.contracts import IGNORE, supervised_cross_entropy
from benchmark.evaluation.accuracy import classification_metrics, information, score
from benchmark.evaluation.cost import Cost, inference_cost
from benchmark.evaluation.fidelity import fidelity
from benchmark.training.learner import Learner
from tests.tiny_task import TinyNetwork


def test_top_1_and_top_5_are_counts() -> None:
    logits, labels = torch.randn(200, 10), torch.randint(10, (200,))
    first = sum(int(row.argmax() == label) for row, label in zip(logits, labels, strict=True)) / 200
    fifth = sum(int(label in row.topk(5).indices) for row, label in zip(logits, labels, strict=True)) / 200
    found = score(classification_metrics(10), logits, labels)
    assert math.isclose(found["top1"], first, abs_tol=1e-6)
    assert math.isclose(found["top5"], fifth, abs_tol=1e-6)


def test_top_5_is_left_out_where_it_says_nothing() -> None:
    assert set(classification_metrics(5)) == {"top1"}


def test_unlabelled_samples_do_not_count() -> None:
    logits, labels = torch.eye(6), torch.tensor([0, 1, 0, IGNORE, IGNORE, IGNORE])
    assert math.isclose(score(classification_metrics(6), logits, labels)["top1"], 2 / 3, abs_tol=1e-6)


def test_the_first_metric_is_the_primary_one() -> None:
    shown = information(classification_metrics(10), ("agreement",))
    assert [name for name, each in shown.items() if each.primary] == ["top1"]
    assert shown["agreement"].direction == "max"


def test_fidelity_against_sums_written_out() -> None:
    student, teacher = torch.randn(30, 4), torch.randn(30, 4)
    divergence, agree = 0.0, 0
    for s, t in zip(student.double(), teacher.double(), strict=True):
        p, q = t.exp() / t.exp().sum(), s.exp() / s.exp().sum()
        divergence += sum(float(p[k] * math.log(p[k] / q[k])) for k in range(4)) / 30
        agree += int(s.argmax() == t.argmax())
    found = fidelity(student, teacher)
    assert math.isclose(found["kl_to_teacher"], divergence, rel_tol=1e-5)
    assert math.isclose(found["agreement"], agree / 30)


def test_a_teacher_agrees_with_itself() -> None:
    logits = torch.randn(30, 4)
    assert fidelity(logits, logits) == {"agreement": 1.0, "kl_to_teacher": 0.0}


class OwnHead(Distiller):
    """Predicts with a head of its own."""

    def __init__(self, context: Context):
        super().__init__(context)
        self.head = nn.Linear(8, 6, bias=False)

    def predict(self, student: Activations) -> torch.Tensor:
        return self.head(student.embedding)


def test_cost_counts_what_the_prediction_uses() -> None:
    network = TinyNetwork(3, 6, 4)
    network.modalities = ("rgb",)
    batch = {"rgb": torch.randn(5, 3, 8, 8)}
    context = Context(Shapes((6,), (8,)), Shapes((6,), (8,)), 6, 10, torch.zeros(10, dtype=torch.int64))
    everything = sum(p.numel() for p in network.parameters())
    macs = 8 * 8 * 4 * 3 * 9 + 4 * 4 * 8 * 4 * 9 + 4 * 4 * 8 * 8 * 9 + 8 * 6
    plain = inference_cost(Learner(network, Distiller(context)), batch)
    assert plain == inference_cost(network, batch) == Cost(everything, macs)
    own = inference_cost(Learner(network, OwnHead(context)), batch)
    assert own == Cost(everything - 6, macs)


def test_a_frozen_head_is_paid_for_and_stays_frozen() -> None:
    network = TinyNetwork(3, 6, 4)
    network.modalities = ("rgb",)
    context = Context(Shapes((6,), (8,)), Shapes((6,), (8,)), 6, 10, torch.zeros(10, dtype=torch.int64))
    learner = Learner(network, OwnHead(context))
    batch = {"rgb": torch.randn(5, 3, 8, 8)}
    free = inference_cost(learner, batch)
    learner.distiller.requires_grad_(False)
    assert inference_cost(learner, batch) == free
    assert not any(p.requires_grad for p in learner.distiller.parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_the_supervised_loss_is_the_mean_over_labelled_samples_and_zero_without_any() -> None:
    logits, label = torch.randn(6, 4, requires_grad=True), torch.tensor([0, 1, 2, 3, 0, 1])
    labelled = torch.tensor([True, False, True, False, False, True])
    expected = -sum(float(logits[i].detach().log_softmax(0)[label[i]]) for i in (0, 2, 5)) / 3
    assert math.isclose(
        float(supervised_cross_entropy(logits, label, labelled).detach()), expected, rel_tol=1e-6
    )
    nothing = supervised_cross_entropy(logits, label, torch.zeros(6, dtype=torch.bool))
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    assert float(logits.grad.abs().sum()) == 0.0


def test_pixels_without_a_label_and_samples_that_may_not_be_used_do_not_count() -> None:
    logits, label = torch.randn(3, 4, 2, 2), torch.randint(4, (3, 2, 2))
    label[0, 0, 0] = IGNORE
    labelled = torch.tensor([True, True, False])
    log_p = logits.log_softmax(1)
    values = [
        -float(log_p[b, label[b, i, j], i, j])
        for b in range(2)
        for i in range(2)
        for j in range(2)
        if label[b, i, j] != IGNORE
    ]
    found = float(supervised_cross_entropy(logits, label, labelled))
    assert math.isclose(found, sum(values) / len(values), rel_tol=1e-6)
