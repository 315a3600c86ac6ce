"""Scores, fidelity and cost against slow maths and counts by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark import Activations, Context, Distiller, Shapes
from benchmark.contracts import IGNORE, supervised_cross_entropy
from benchmark.data.batches import in_order
from benchmark.evaluation import evaluation
from benchmark.evaluation.accuracy import classification_metrics, information, score, segmentation_metrics
from benchmark.evaluation.cost import Cost, inference_cost
from benchmark.evaluation.fidelity import class_correlation, fidelity
from benchmark.evaluation.predictor import NotFinite, predict
from benchmark.models import build
from benchmark.running.device import make_fabric
from benchmark.training.learner import Learner
from benchmark.training.teacher import _at_chance
from tests.tiny_task import TinyNetwork, tiny_data

DATA, CPU = tiny_data(), torch.device("cpu")


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


def test_a_score_is_that_of_its_own_predictions_whatever_was_scored_before() -> None:
    metrics, labels = classification_metrics(6), torch.arange(6)
    assert score(metrics, torch.eye(6), labels)["top1"] == 1
    assert score(metrics, torch.eye(6).roll(1, 0), labels)["top1"] == 0


def test_dense_scores_are_counts_of_pixels_and_means_over_the_classes_that_occur() -> None:
    answers, labels = torch.randint(3, (4, 5, 6)), torch.randint(3, (4, 5, 6))
    labels[0] = IGNORE
    logits = nn.functional.one_hot(answers, 4).movedim(-1, 1).float()
    pairs = [*zip(answers[1:].flatten().tolist(), labels[1:].flatten().tolist(), strict=True)]
    overlaps = []
    for each in range(3):  # nothing is, and nothing is called, the fourth class
        both = sum(answer == label == each for answer, label in pairs)
        either = sum(each in pair for pair in pairs)
        overlaps.append(both / either)
    found = score(segmentation_metrics(4), logits, labels)
    assert math.isclose(found["miou"], sum(overlaps) / 3, abs_tol=1e-6)
    right = sum(answer == label for answer, label in pairs) / len(pairs)
    assert math.isclose(found["pixel_accuracy"], right, abs_tol=1e-6)


def test_guessing_is_right_as_often_as_it_may_guess() -> None:
    shown = information(classification_metrics(20), ("nll",), 20)
    assert [each.chance for each in shown.values()] == [1 / 20, 5 / 20, None]
    assert information(segmentation_metrics(4), (), 4)["miou"].chance is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_answers_that_are_no_numbers_have_no_score(bad: float) -> None:
    network = build("tiny_small", [(3, 8, 8)], 6, ("rgb",))
    nn.init.constant_(network.classifier.bias, bad)
    with pytest.raises(NotFinite):
        predict(network, in_order(DATA, DATA.test, ("rgb",), CPU), make_fabric("cpu", "32"))


def test_of_as_many_samples_as_are_asked_for_the_embeddings_are_kept() -> None:
    network, fabric = build("tiny_small", [(3, 8, 8)], 6, ("rgb",)).eval(), make_fabric("cpu", "32")
    whole = predict(network, in_order(DATA, DATA.test, ("rgb",), CPU), fabric, keep=len(DATA.test))
    for keep in (5, 50, 70):
        some = predict(network, in_order(DATA, DATA.test, ("rgb",), CPU, batch_size=32), fabric, keep)
        assert len(some.embeddings) == keep
        assert torch.allclose(some.embeddings, whole.embeddings[:keep], atol=1e-6)
        assert torch.allclose(some.logits, whole.logits, atol=1e-5)


def test_scores_of_training_are_those_of_the_first_samples_with_their_own_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "MOST_TRAINING", 50)
    network, fabric = build("tiny_small", [(3, 8, 8)], 6, ("rgb",)).eval(), make_fabric("cpu", "32")
    judged = evaluation.Evaluation(DATA, DATA.test, classification_metrics(6), fabric, {})
    with torch.no_grad():
        (batch, *_) = in_order(DATA, DATA.train, ("rgb",), CPU, batch_size=50)
        right = (network(batch).logits.argmax(1) == DATA.train.labels[:50]).float().mean()
    found = judged.training_scores(network, DATA.train)
    assert math.isclose(found["top1"], float(right), abs_tol=1e-6)


def test_correlations_are_between_classes_and_none_where_a_logit_never_changes() -> None:
    logits = torch.randn(40, 3)
    found = class_correlation(torch.cat([logits, torch.ones(40, 1)], 1))
    expected = torch.zeros(4, 4)
    expected[:3, :3] = torch.corrcoef(logits.T)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("right", "expected"), [(0, True), (60, True), (66, True), (80, False), (100, False)]
)
def test_a_teacher_is_at_chance_where_naming_one_class_would_do_as_well(right: int, expected: bool) -> None:
    """Of 100 labelled samples 60 are of one class: 60 + 2.6 * 4.9 right answers say something."""
    labels = torch.tensor([0] * 60 + [1] * 40 + [IGNORE] * 50)
    answers = torch.where(torch.arange(150) < right, labels, (labels + 1) % 4).clamp(min=0)
    assert _at_chance(nn.functional.one_hot(answers, 4).float(), labels) is expected


def test_without_labels_no_teacher_is_said_to_be_at_chance() -> None:
    assert not _at_chance(torch.randn(10, 4), torch.full((10,), IGNORE))


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
