"""The contract that every registered baseline keeps, on tiny activations of two pairs of 2-D networks."""

import copy
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines import _projection
from benchmark import Activations, NotApplicable
from benchmark.contracts import Choice, Distiller, Range
from tests.baselines.tiny import (
    EVERY_CASE,
    NAMES,
    PROGRESS,
    REGISTRY,
    SETTINGS,
    built,
    built_or_skipped,
    pairs_of,
    tensors_of,
    tiny_batch,
)
from tests.baselines.waiting import WAITS, Sent, Waits

HERE = Path(__file__).resolve().parents[2] / "baselines"
EVERY_BASELINE = pytest.mark.parametrize("name", NAMES)


def total_of(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(terms.values(), torch.zeros(()))


def all_terms(distiller: Distiller, teacher: Activations, student: Activations) -> dict[str, torch.Tensor]:
    """The terms of a batch and those of every first stage, with the same random draws at each call."""
    torch.manual_seed(7)
    terms = dict(distiller(teacher, student, tiny_batch(), PROGRESS))
    for stage in distiller.first_stages():
        found = stage.loss(teacher, student, tiny_batch(), PROGRESS)
        terms |= {f"{stage.name}: {name}": value for name, value in found.items()}
    return terms


@EVERY_BASELINE
def test_it_applies_to_one_of_the_tiny_pairs(name):
    reasons = []
    for pair in pairs_of(name).values():
        try:
            built(name, pair)
        except NotApplicable as reason:
            reasons.append(str(reason))
    assert len(reasons) < len(pairs_of(name)), reasons


@EVERY_CASE
def test_terms_are_finite_scalars_with_gradients_for_student_and_parameters(name, pair):
    distiller, teacher, student = built_or_skipped(name, pair), pair.teacher(), pair.student()
    before = [each.clone() for each in tensors_of(teacher)]
    terms = all_terms(distiller, teacher, student)
    for term, value in terms.items():
        assert value.shape == (), term
        assert math.isfinite(value.item()), term
    if terms:
        total_of(terms).backward()
        gradients = [leaf.grad for leaf in tensors_of(student) if leaf.grad is not None]
        assert gradients
        trained = [each for each in distiller.parameters() if each.requires_grad]
        assert all(each.grad is not None for each in trained)
        gradients += [each.grad for each in trained]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert any(gradient.abs().max() > 0 for gradient in gradients)
    for old, new in zip(before, tensors_of(teacher), strict=True):
        assert torch.equal(old, new)  # the cohort shares them


@EVERY_BASELINE
def test_logits_and_supervised_loss_have_their_shapes(name):
    pair = next(each for each in pairs_of(name).values() if _applies(name, each))
    distiller, student = built(name, pair), pair.student()
    assert distiller.predict(student).shape == student.logits.shape
    assert distiller.task_loss(student, tiny_batch()).shape == ()


@pytest.fixture
def as_on_cuda(monkeypatch):
    """What is computed in another way on a CUDA device is computed in that way, wherever it is."""

    def one_hot(label: torch.Tensor, classes: int) -> torch.Tensor:
        """Without the check of the labels, which is made on a CPU alone."""
        return (label[..., None] == torch.arange(classes, device=label.device)).long()

    monkeypatch.setattr(torch.nn.functional, "one_hot", one_hot)
    monkeypatch.setattr(_projection, "by_decomposition", _projection.by_squaring)


@EVERY_CASE
def test_a_step_asks_the_device_for_nothing_but_where_that_is_said(name, pair, as_on_cuda):
    distiller, teacher, student = built_or_skipped(name, pair), pair.teacher(), pair.student()
    with Waits() as waits:
        terms = all_terms(distiller, teacher, student)
        (total_of(terms) + distiller.task_loss(student, tiny_batch())).backward()
    assert bool(waits.found) == (name in WAITS), waits.found


@EVERY_CASE
def test_on_another_device_a_step_finds_all_that_it_needs_there(name, pair, as_on_cuda, monkeypatch):
    if name in WAITS:
        pytest.skip(f"it reads values, which the meta device has none of: {WAITS[name]}")
    monkeypatch.setattr(torch, "autocast", lambda *arguments, **more: nullcontext())  # refuses "meta"
    device = torch.device("meta")

    def put(shown: Activations) -> Activations:
        second = None if shown.second is None else put(shown.second)
        there = shown.map(lambda x: x.detach().to(device).requires_grad_(x.requires_grad))
        return replace(there, classify=copy.deepcopy(shown.classify).to(device), second=second)

    distiller = built_or_skipped(name, pair).to(device)
    teacher, student = put(pair.teacher()), put(pair.student())
    batch = {each: x.to(device) for each, x in tiny_batch().items()}
    with Sent() as sent:
        terms = [*distiller(teacher, student, batch, PROGRESS).values()]
        for stage in distiller.first_stages():
            terms += stage.loss(teacher, student, batch, PROGRESS).values()
        terms.append(distiller.task_loss(student, batch))
        torch.stack([term.float() for term in terms]).sum().backward()
    assert not sent.found


@EVERY_CASE
def test_a_stored_state_gives_the_same_loss_in_a_fresh_object(name, pair):
    distiller = built_or_skipped(name, pair)
    all_terms(distiller, pair.teacher(), pair.student())
    state = copy.deepcopy(distiller.state_dict())
    torch.manual_seed(99)
    fresh = REGISTRY.baseline(name).distiller(pair.context, **SETTINGS.get(name, {}))
    fresh.load_state_dict(state)
    for _ in range(2):
        ours, theirs = (all_terms(each, pair.teacher(), pair.student()) for each in (distiller, fresh))
        assert {term: value.item() for term, value in ours.items()} == {
            term: value.item() for term, value in theirs.items()
        }
        logits = [each.predict(pair.student()) for each in (distiller, fresh)]
        assert torch.equal(*logits)


@EVERY_CASE
def test_a_copy_after_a_step_lives_its_own_life(name, pair):
    distiller = built_or_skipped(name, pair)
    all_terms(distiller, pair.teacher(), pair.student())
    twin = copy.deepcopy(distiller)
    expected = total_of(all_terms(distiller, pair.teacher(), pair.student())).item()
    assert total_of(all_terms(twin, pair.teacher(), pair.student())).item() == expected
    assert not any(buffer.requires_grad for buffer in distiller.buffers())


@EVERY_CASE
def test_terms_stay_finite_and_close_under_bfloat16_autocast(name, pair):
    distiller = built_or_skipped(name, pair)
    twin = copy.deepcopy(distiller)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        teacher, student = (
            each.map(lambda x: x.detach().bfloat16()) for each in (pair.teacher(), pair.student())
        )
        student = student.map(lambda x: x.requires_grad_())
        terms = all_terms(distiller, teacher, student)
    precise = all_terms(twin, pair.teacher(), pair.student())
    for term, value in terms.items():
        assert math.isfinite(value.item()), term
        assert value.item() == pytest.approx(precise[term].item(), rel=0.1), term
    if terms:
        total_of(terms).backward()


@EVERY_CASE
def test_a_step_without_gradients_works(name, pair):
    distiller = built_or_skipped(name, pair).eval()
    with torch.no_grad():
        terms = all_terms(distiller, pair.teacher(), pair.student())
    assert all(math.isfinite(value.item()) for value in terms.values())


@EVERY_CASE
def test_the_loss_falls_over_fifty_steps_on_a_fixed_batch(name, pair):
    """What is optimised: the student's activations as free variables, and the baseline's parameters."""
    distiller, teacher, student = built_or_skipped(name, pair), pair.teacher(), pair.student()

    def loss() -> torch.Tensor:
        terms = all_terms(distiller, teacher, student)
        return total_of(terms) if terms else distiller.task_loss(student, tiny_batch())

    trained = [*tensors_of(student), *(each for each in distiller.parameters() if each.requires_grad)]
    optimizer = torch.optim.Adam(trained, 0.02)
    course = []
    for _ in range(50):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        course.append(value.item())
    scale = abs(course[0])
    assert min(course[-5:]) < course[0] - 0.05 * scale, course


@EVERY_BASELINE
def test_every_hyperparameter_of_ours_has_a_default_a_search_range_and_a_source(name):
    baseline = REGISTRY.baseline(name)
    if baseline.file.parent != HERE:
        pytest.skip("a plugin from elsewhere")
    for parameter in baseline.hyperparameters.values():
        if parameter.name == "task_weight" and parameter.search is None:
            assert parameter.default == 1.0  # the frame's own, where a baseline leaves it alone
            continue
        assert isinstance(parameter.search, Range | Choice), parameter.name
        assert parameter.search.source, parameter.name
        if isinstance(parameter.search, Range):
            assert parameter.search.low <= parameter.default <= parameter.search.high, parameter.name
        elif parameter.searched:
            assert parameter.default in parameter.search.values, parameter.name


@EVERY_BASELINE
def test_every_baseline_says_what_it_is(name):
    baseline = REGISTRY.baseline(name)
    assert baseline.distiller.__doc__
    assert baseline.title
    assert baseline.paper or baseline.role != "method", 'name its paper, or say paper="ours"'


def _applies(name: str, pair) -> bool:
    try:
        built(name, pair)
    except NotApplicable:
        return False
    return True
