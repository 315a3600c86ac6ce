"""Logit methods: what their formulas imply, and how samples without a usable label take part."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from baselines._class_features import ClassFeatures, class_cost
from baselines._logits import standardized
from baselines._maps import pool_to
from baselines.c2kd import kendall, selected_loss
from baselines.dist import dist_losses
from baselines.dkd import DKD, nckd_loss, tckd_loss
from baselines.generalized_distillation import soft_label_loss
from baselines.kd import kd_loss
from baselines.logit_standardization import LogitStandardization
from baselines.mlkd import MLKD, mlkd_losses
from baselines.wkd_f import WKDF
from baselines.wkd_l import WKDL, target_loss, transport_loss
from benchmark import Activations, NotApplicable, Progress, Shapes
from tests.baselines.shapes import CLASSES, activations, batch_of, context_of
from tests.baselines.tiny import PROGRESS, REGISTRY, SETTINGS, tiny_network

LOGIT_METHODS = sorted(
    name for name, each in REGISTRY.baselines.items() if "standardize" in each.hyperparameters
)
TARGET = torch.tensor([0, 3, 1, 4, 4, 2])


def logits() -> tuple[torch.Tensor, torch.Tensor]:
    return 3 * torch.randn(6, CLASSES), 3 * torch.randn(6, CLASSES)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, t: tckd_loss(s, t, TARGET, 4.0),
        lambda s, t: nckd_loss(s, t, TARGET, 4.0),
        lambda s, t: sum(dist_losses(s, t, 2.0)),
        lambda s, t: sum(mlkd_losses(s, t).values()),
        lambda s, t: selected_loss(s, t, TARGET, torch.ones(6)),
    ],
    ids=["tckd", "nckd", "dist", "mlkd", "c2kd"],
)
def test_the_loss_is_zero_for_equal_logits_and_ignores_a_shift(loss):
    ours, theirs = logits()
    assert loss(theirs, theirs).item() == pytest.approx(0, abs=1e-5)
    assert loss(ours, theirs).item() > 1e-3
    torch.testing.assert_close(loss(ours + 2, theirs - 1), loss(ours, theirs), rtol=1e-3, atol=1e-5)


def test_decoupled_parts_add_up_to_kd_with_the_teachers_doubt_as_weight():
    """KL = TCKD + (1 - p_t(target)) NCKD, for each sample and any target."""
    ours, theirs = logits()
    for row in range(6):
        s, t, y = ours[row : row + 1], theirs[row : row + 1], TARGET[row : row + 1]
        doubt = 1 - F.softmax(t / 4, dim=1)[0, y]
        total = tckd_loss(s, t, y, 4.0) + doubt * nckd_loss(s, t, y, 4.0)
        assert total.item() == pytest.approx(kd_loss(s, t, 4.0).item(), rel=1e-4)


def test_the_target_moves_no_other_class_in_nckd():
    ours, theirs = logits()
    moved = ours.scatter_add(1, TARGET[:, None], torch.full((6, 1), 5.0))
    torch.testing.assert_close(nckd_loss(moved, theirs, TARGET, 4.0), nckd_loss(ours, theirs, TARGET, 4.0))


def test_extreme_logits_keep_losses_and_gradients_finite():
    ours, theirs = (200 * each for each in logits())
    ours.requires_grad_()
    cost = 1 - torch.eye(CLASSES)
    total = tckd_loss(ours, theirs, TARGET, 1.0) + nckd_loss(ours, theirs, TARGET, 1.0)
    total = (
        total + transport_loss(ours, theirs, TARGET, cost, 1.0, 0.05, 10) + target_loss(ours, theirs, TARGET)
    )
    total = total + sum(dist_losses(ours, theirs, 1.0)) + sum(mlkd_losses(ours, theirs).values())
    total.backward()
    assert math.isfinite(total.item())
    assert torch.isfinite(ours.grad).all()


def test_two_classes_leave_no_other_one_to_compare():
    ours, theirs = torch.randn(2, 6, 2)
    target = torch.tensor([0, 1, 0, 1, 0, 1])
    assert nckd_loss(ours, theirs, target, 4.0) == 0
    teacher, student = (activations(((4, 4),), logits=(2,), seed=seed) for seed in (1, 2))
    with pytest.raises(NotApplicable, match="two classes"):
        WKDL(context_of(teacher, student, num_classes=2))


def test_correlation_ignores_scale_and_shift_of_probabilities_but_kd_does_not():
    _, theirs = logits()
    p = F.softmax(theirs, dim=1)
    softer = (0.5 * p + 0.5 / CLASSES).log()
    inter, _ = dist_losses(softer, theirs, 1.0)
    assert inter.item() == pytest.approx(0, abs=1e-5)
    assert kd_loss(softer, theirs, 1.0).item() > 0.01


def test_relations_of_mlkd_follow_the_order_of_the_batch_and_of_the_classes():
    ours, theirs = logits()
    rows, columns = torch.randperm(6), torch.randperm(CLASSES)
    for name, value in mlkd_losses(ours, theirs).items():
        assert mlkd_losses(ours[rows], theirs[rows])[name].item() == pytest.approx(value.item(), rel=1e-4)
        moved = mlkd_losses(ours[:, columns], theirs[:, columns])[name]
        assert moved.item() == pytest.approx(value.item(), rel=1e-4)


def test_standardised_logits_have_mean_zero_deviation_one_and_no_scale():
    ours, _ = logits()
    found = standardized(ours)
    torch.testing.assert_close(found.mean(1), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.std(1), torch.ones(6))
    torch.testing.assert_close(standardized(7 * ours - 3), found)


@pytest.mark.parametrize("name", LOGIT_METHODS)
def test_every_logit_method_takes_standardised_logits(name):
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    context = context_of(teacher, student, network=tiny_network)
    plain, standard = (
        REGISTRY.baseline(name).distiller(context, standardize=value, **SETTINGS.get(name, {}))
        for value in (False, True)
    )
    scaled = student.map(lambda x: 5 * x)

    def total(distiller, shown) -> float:
        torch.manual_seed(0)
        batch = batch_of() | {"image": torch.ones(6, 3, 8, 8)}
        return sum(distiller(teacher, shown, batch, PROGRESS).values()).item()

    assert total(plain, student) != pytest.approx(total(plain, scaled), rel=1e-3)
    if name != "wkd_l":  # its class costs move from call to call
        assert total(standard, student) == pytest.approx(total(standard, scaled), rel=1e-4)


def test_standardised_kd_is_kd_with_its_option_and_other_weights():
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    context = context_of(teacher, student)
    named = LogitStandardization(context)
    option = REGISTRY.baseline("kd").distiller(context, standardize=True, weight=9.0, temperature=2.0)
    values = [each(teacher, student, batch_of(), PROGRESS)["kd"].item() for each in (named, option)]
    assert values[0] == values[1]


def test_equal_predictions_are_transported_for_next_to_nothing():
    ours, theirs = logits()
    cost = 1 - torch.eye(CLASSES)
    same, other = (transport_loss(each, theirs, TARGET, cost, 4.0, 0.05, 50) for each in (theirs, ours))
    assert same.item() < 1e-4
    assert other.item() > 100 * same.item()


def test_transport_between_alike_classes_is_cheaper():
    ours = torch.tensor([[0.0, 9.0, 0.0, 0.0]])
    theirs = torch.tensor([[0.0, 0.0, 9.0, 0.0]])
    target = torch.tensor([0])
    far = 1 - torch.eye(4)
    near = far.clone()
    near[1, 2] = near[2, 1] = 0.1
    costs = [transport_loss(ours, theirs, target, each, 1.0, 0.05, 20).item() for each in (far, near)]
    assert costs[1] < 0.2 * costs[0]


def test_alike_classes_cost_little_and_unseen_ones_the_most():
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(4, 16, 1, 6, generator=draw)
    features[1] = 2 * features[0]  # the same Gram matrix but for its scale
    cost = class_cost(features, torch.tensor([True, True, True, False]), 1.0)
    assert cost.diagonal().tolist() == [0, 0, 0, 0]
    assert cost[0, 1].item() == pytest.approx(0, abs=1e-5)
    assert 0.1 < cost[0, 2].item() < 1 - math.exp(-1)
    assert cost[0, 3].item() == pytest.approx(1 - math.exp(-1))


def test_the_last_samples_of_each_class_are_kept_in_a_ring():
    def shown(*values: float) -> Activations:
        rows = torch.tensor(values)[:, None].expand(-1, 7)
        return Activations(rows, rows)

    rings = ClassFeatures(3, 2, Shapes((3,), (7,)))
    rings.remember(
        shown(0, 1, 2, 3), torch.tensor([0, 1, 0, 0])
    )  # a third of class 0 has no room in this batch
    assert rings.features[0, :, 0, 0].tolist() == [0, 2]
    assert rings.features[1, :, 0, 0].tolist() == [1, 1]  # the first stands in for the second
    assert rings.ready.tolist() == [True, True, False]
    rings.remember(shown(10, 4), torch.tensor([0, 1]))
    assert rings.features[0, :, 0, 0].tolist() == [0, 10]
    assert rings.features[1, :, 0, 0].tolist() == [1, 4]
    rings.remember(shown(5), torch.tensor([1]))
    assert rings.features[1, :, 0, 0].tolist() == [5, 4]
    rings.eval().remember(shown(50, 51), torch.tensor([0, 2]))
    assert rings.features.max() == 10
    assert rings.ready.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        ((40,), (16,)),
        ((9,), (9,)),
        ((8, 8), (4, 4)),
        ((2, 6), (2, 4)),
        ((3, 4, 9), (2, 2, 4)),
        ((1, 1), (1, 1)),
    ],
)
def test_a_row_is_what_one_place_shows_on_sixteen_places_at_most(size, kept):
    shown = activations(((4, *size), (6, *size)))
    rings = ClassFeatures(CLASSES, 3, Shapes.of(shown))
    places = math.prod(kept)
    assert rings.features.shape == (CLASSES, 3, places, 6)
    rings.remember(shown, torch.tensor([0, 1, 2, 3, 4, 0]))
    pooled = pool_to(shown.last_feature, kept)
    torch.testing.assert_close(rings.features[0, 1], pooled[5].flatten(1).T)


def classes_of_two_patterns(noise: float) -> torch.Tensor:
    """Six samples of four classes, [4, 6, 16, 5]: classes 0 and 2 show one pattern at 16 places, 1 and 3
    another."""
    draw = torch.Generator().manual_seed(0)
    patterns = torch.randn(2, 1, 16, 5, generator=draw).relu()
    return patterns[torch.tensor([0, 1, 0, 1])] + noise * torch.randn(4, 6, 16, 5, generator=draw)


def test_classes_are_alike_where_the_same_places_light_up():
    cost = class_cost(classes_of_two_patterns(0.1), torch.ones(4, dtype=torch.bool), 1.0)
    assert max(cost[0, 2], cost[1, 3]) < 0.1
    assert min(cost[0, 1], cost[0, 3], cost[2, 1], cost[2, 3]) > 0.3


def test_the_order_of_samples_and_the_scale_of_a_class_do_not_matter_and_the_order_of_places_does():
    features, ready = classes_of_two_patterns(0.5), torch.ones(4, dtype=torch.bool)
    before = class_cost(features, ready, 1.0)
    moved = features.clone()
    moved[2] = 7 * moved[2, torch.randperm(6)]
    torch.testing.assert_close(class_cost(moved, ready, 1.0), before)
    moved[2] = moved[2].roll(1, dims=1)
    assert class_cost(moved, ready, 1.0)[0, 2] > before[0, 2] + 0.05


def test_the_mean_of_all_pairings_is_likeness_by_order_where_samples_are_alike():
    features = classes_of_two_patterns(0.0)
    cost = class_cost(features, torch.ones(4, dtype=torch.bool), 1.0)
    rows = features.flatten(1, 2)[:, None].transpose(
        1, 2
    )  # a sample and place each are a sample of one place
    torch.testing.assert_close(cost, class_cost(rows, torch.ones(4, dtype=torch.bool), 1.0))


def test_classes_that_show_nothing_cost_the_most_but_to_themselves():
    cost = class_cost(torch.zeros(3, 4, 9, 5), torch.ones(3, dtype=torch.bool), 1.0)
    torch.testing.assert_close(cost, (1 - math.exp(-1)) * (1 - torch.eye(3)))


def test_costs_of_classes_follow_the_batches_of_training_however_its_progress_is_told():
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    context, now = context_of(teacher, student), Progress(0, 2**30, 2**30 // 10, 2**30)

    def moved(distiller: WKDL, seed: int) -> bool:
        before = distiller.cost
        distiller(activations(((4, 4),), seed=seed), student, batch_of(), now)
        return not torch.equal(distiller.cost, before)

    distiller = WKDL(context)
    assert [moved(distiller, seed) for seed in range(8)] == [step % 5 == 0 for step in range(8)]
    assert not any(moved(distiller.eval(), seed) for seed in range(8, 16))
    resumed = WKDL(context)
    resumed.load_state_dict(distiller.state_dict())
    assert [moved(resumed, seed) for seed in range(8, 14)] == [step % 5 == 0 for step in range(8, 14)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"teacher": torch.zeros(6, 1)}, r"\[R, K\] and target is \[R\].* \[6, 5\], \[6, 1\], \[6\]"),
        ({"target": TARGET[:1]}, r"target is \[R\].* \[1\]"),
        ({"cost": torch.zeros(4, 4)}, r"cost is \[K, K\], here \[5, 5\], .* \[4, 4\]"),
        ({"iterations": 0}, "at least 1, and was 0"),
    ],
)
def test_transport_names_what_it_takes(change, says):
    ours, theirs = logits()
    given = {"student": ours, "teacher": theirs, "target": TARGET, "cost": 1 - torch.eye(CLASSES)}
    with pytest.raises(ValueError, match=says):
        transport_loss(**{**given, "temperature": 4.0, "regularization": 0.05, "iterations": 10} | change)
    if not {"cost", "iterations"} & change.keys():
        with pytest.raises(ValueError, match=says):
            target_loss(**{name: each for name, each in (given | change).items() if name != "cost"})


@pytest.mark.parametrize(("kind", "term"), [(WKDL, "transport"), (WKDF, "mean"), (WKDF, "deviation")])
def test_transport_keeps_its_weight_for_150_of_240_epochs_and_then_fades_out(kind, term):
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    distiller = kind(context_of(teacher, student)).eval()
    steps = (0, 75, 150, 180, 195, 240)
    values = [
        distiller(teacher, student, batch_of(), Progress(0, 240, step, 240))[term].item() for step in steps
    ]
    assert values[0] > 0
    assert [value / values[0] for value in values] == pytest.approx([1, 1, 1, 0.75, 0.5, 0], abs=1e-6)


def test_the_warm_up_of_dkd_rises_over_a_twelfth_of_training():
    teacher, student = activations(((4, 4),), seed=1), activations(((4, 4),), seed=2)
    distiller = DKD(context_of(teacher, student))
    values = [
        distiller(teacher, student, batch_of(), Progress(0, 24, step, 240))["nckd"].item()
        for step in (0, 10, 20, 200)
    ]
    assert values[0] == 0
    assert values[1] == pytest.approx(values[2] / 2)
    assert values[2] == values[3]


@pytest.mark.parametrize("kind", [MLKD, WKDL])
def test_what_has_no_meaning_for_pixels_says_so(kind):
    teacher, student = (activations(((4, 4, 4),), logits=(CLASSES, 4, 4), seed=seed) for seed in (1, 2))
    with pytest.raises(NotApplicable, match="every pixel"):
        kind(context_of(teacher, student))


def test_rank_correlation_is_that_of_the_orders_of_classes():
    order = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert kendall(order, order.exp()).item() == 1
    assert kendall(order, -order).item() == -1
    assert kendall(order, torch.tensor([[1.0, 2.0, 4.0, 3.0]])).item() == pytest.approx(4 / 6)


def test_soft_labels_are_met_at_temperature_one():
    theirs = torch.randn(6, CLASSES)
    entropy = -(F.softmax(theirs / 3, 1) * F.log_softmax(theirs / 3, 1)).sum(1).mean()
    assert soft_label_loss(theirs / 3, theirs, 3.0).item() == pytest.approx(entropy.item(), rel=1e-5)
    assert soft_label_loss(theirs, theirs, 3.0).item() > entropy.item()
