"""Every baseline on every pair of every task: it builds and steps, or says why it doesn't apply.

One test a pair: its networks are built in the test, once for all baselines, and are gone after it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from benchmark import Distiller, NotApplicable
from benchmark.catalogue.exploration import START, TaskPair, task_pairs
from benchmark.running.device import make_fabric
from benchmark.training.learner import Learner
from tests.baselines.tiny import NAMES, REGISTRY

PLACES = task_pairs(REGISTRY, quick=False)
QUICK = task_pairs(REGISTRY, quick=True)


def title(place: TaskPair) -> str:
    return f"{place.dataset}:{place.name}"


def on_every_baseline(place: TaskPair, check: Callable[[TaskPair, Distiller], None]) -> None:
    """Runs a check of each baseline that applies to the pair; names every one that fails it."""
    failed: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name in NAMES:
        torch.manual_seed(0)
        try:
            distiller = place.build(REGISTRY.baseline(name))
        except NotApplicable as reason:
            refused[name] = str(reason)
            continue
        try:
            check(place, distiller)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    assert not failed
    assert all(refused.values())
    assert len(refused) < len(NAMES) / 2


@pytest.mark.parametrize("place", PLACES, ids=title)
def test_every_baseline_steps_on_the_activations_of_the_pair_or_says_why_not(place: TaskPair) -> None:
    fresh = dataclasses.replace(place)
    on_every_baseline(fresh, steps_on_activations)
    check_whether_the_classifier_takes_the_mean(fresh)


def steps_on_activations(place: TaskPair, distiller: Distiller) -> None:
    teacher, shown = place.shown(distiller.second_view)
    student = shown.map(lambda x: x.clone().requires_grad_())
    terms = dict(distiller(teacher, student, place.batch, START))
    terms["task"] = distiller.task_loss(student, place.batch)
    for stage in distiller.first_stages():
        terms |= stage.loss(teacher, student, place.batch, START)
    total = torch.stack([value.float() for value in terms.values()]).sum()
    total.backward()
    gradients = [each.grad for each in distiller.parameters() if each.requires_grad]
    assert all(value.shape == () and math.isfinite(value.item()) for value in terms.values()), terms
    assert all(each is not None and torch.isfinite(each).all() for each in gradients)
    assert distiller.predict(student).shape == student.logits.shape


def check_whether_the_classifier_takes_the_mean(place: TaskPair) -> None:
    """What SimKD relies on when it puts projected maps under the teacher's classifier: the context says
    whether the classifier takes the mean of the last map."""
    head = place.networks[0].head
    if head is None:
        return
    teacher, _ = place.activations
    mean = teacher.last_feature.flatten(2).mean(2)
    fits = mean.shape == teacher.embedding.shape and torch.allclose(
        head(mean), teacher.logits, rtol=1e-3, atol=1e-4
    )
    assert place.context.teacher_pooled == fits


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("place", QUICK, ids=title)
def test_every_learner_takes_a_step_and_leaves_the_teacher_alone(place: TaskPair, precision: str) -> None:
    on_every_baseline(
        dataclasses.replace(place), lambda here, distiller: learner_steps(here, distiller, precision)
    )


def learner_steps(place: TaskPair, distiller: Distiller, precision: str) -> None:
    teacher_network, network = dataclasses.replace(place).networks
    learner = Learner(network.train(), distiller.train())
    parameters = [each for each in learner.parameters() if each.requires_grad]
    before = [each.detach().clone() for each in parameters]
    optimizer = torch.optim.SGD(parameters, 0.01)
    copies = {"strong": 1, "rotated": 3}.get(distiller.second_view)
    second = copies and {name: x.repeat_interleave(copies, 0) for name, x in place.inputs.items()}
    with make_fabric("cpu", precision).autocast():
        with torch.no_grad():
            teacher = teacher_network(place.inputs)
            if second:
                teacher = dataclasses.replace(teacher, second=teacher_network(second))
        losses = []
        for learner.stage in [None, *distiller.first_stages()]:
            terms = learner.terms(teacher, learner.shown(place.batch, second), place.batch, START)
            losses.append(torch.stack([term.float() for term in terms.values()]).sum())
    torch.stack(losses).sum().backward()
    assert all(torch.isfinite(each) for each in losses)
    optimizer.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]
    assert sum(moved) > len(moved) / 2
    assert all(torch.isfinite(each).all() for each in parameters)
    assert all(each.grad is None for each in teacher_network.parameters())
