"""Every baseline on every pair of every task: it builds and steps, or says why it doesn't apply."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark import NotApplicable
from benchmark.running.device import make_fabric
from benchmark.training.learner import Learner
from benchmark.zoo import START, Spot, spots
from tests.baselines.tiny import NAMES, REGISTRY

SPOTS = spots(REGISTRY, quick=False)
QUICK = spots(REGISTRY, quick=True)
EVERY_BASELINE = pytest.mark.parametrize("name", NAMES)


def title(spot: Spot) -> str:
    return f"{spot.dataset}:{spot.name}"


def built_or_skipped(spot: Spot, name: str):
    torch.manual_seed(0)
    try:
        return spot.build(REGISTRY.baseline(name))
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")


@pytest.mark.parametrize("spot", SPOTS, ids=title)
@EVERY_BASELINE
def test_it_steps_on_the_activations_of_the_pair_or_says_why_not(name, spot):
    distiller = built_or_skipped(spot, name)
    teacher, shown = spot.activations
    student = shown.map(lambda x: x.clone().requires_grad_())
    terms = dict(distiller(teacher, student, spot.batch, START))
    terms["task"] = distiller.task_loss(student, spot.batch)
    for prelude in distiller.preludes():
        terms |= prelude.loss(teacher, student, spot.batch, START)
    total = torch.stack([value.float() for value in terms.values()]).sum()
    total.backward()
    gradients = [each.grad for each in distiller.parameters() if each.requires_grad]
    assert all(value.shape == () and math.isfinite(value.item()) for value in terms.values()), terms
    assert all(each is not None and torch.isfinite(each).all() for each in gradients)
    assert distiller.predict(student).shape == student.logits.shape


@pytest.mark.parametrize("spot", [each for each in SPOTS if each.networks[0].head], ids=title)
def test_the_classifier_takes_the_mean_of_the_last_map_where_the_context_says_so(spot):
    """What SimKD relies on when it puts projected maps under the teacher's classifier."""
    teacher, _ = spot.activations
    mean = teacher.last_feature.flatten(2).mean(2)
    fits = mean.shape == teacher.embedding.shape and torch.allclose(
        spot.networks[0].head(mean), teacher.logits, rtol=1e-3, atol=1e-4
    )
    assert spot.context.teacher_pooled == fits


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("spot", QUICK, ids=title)
@EVERY_BASELINE
def test_a_learner_takes_a_step_and_leaves_the_teacher_alone(name, spot, precision):
    distiller = built_or_skipped(spot, name)
    network, teacher_network = Spot(spot.task, spot.dataset, spot.name, spot.pair, spot.shapes).networks[::-1]
    learner = Learner(network.train(), distiller.train(), spot.pair.student_modalities)
    parameters = [each for each in learner.parameters() if each.requires_grad]
    before = [each.detach().clone() for each in parameters]
    optimizer = torch.optim.SGD(parameters, 0.01)
    with make_fabric("cpu", precision).autocast():
        with torch.no_grad():
            teacher = teacher_network(*(spot.inputs[each] for each in spot.pair.teacher_modalities))
        stages = [None, *distiller.preludes()]
        losses = []
        for learner.prelude in stages:
            terms = learner(teacher, spot.batch, START)
            losses.append(torch.stack([term.float() for term in terms.values()]).sum())
    torch.stack(losses).sum().backward()
    assert all(torch.isfinite(each) for each in losses)
    optimizer.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]
    assert sum(moved) > len(moved) / 2
    assert all(torch.isfinite(each).all() for each in parameters)
    assert all(each.grad is None for each in teacher_network.parameters())
