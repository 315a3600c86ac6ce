"""The contract that every registered baseline keeps, on tiny activations of two 2-D networks."""

import copy
import math
from pathlib import Path

import pytest
import torch

from benchmark import NotApplicable
from benchmark.contracts import Choice, Distiller, Range
from benchmark.plugins import load

REGISTRY = load()
NAMES = sorted(REGISTRY.baselines)
HERE = Path(__file__).resolve().parents[2] / "baselines"


def build(name: str, context) -> Distiller:
    torch.manual_seed(0)
    try:
        return REGISTRY.baseline(name).distiller(context)
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")


def total_of(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(terms.values(), torch.zeros(()))


def seeded(distiller: Distiller, tiny, teacher=None, student=None) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return distiller(teacher or tiny.teacher(), student or tiny.student(), tiny.batch(), tiny.progress)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_finite_scalars_with_gradients_for_the_student_only(name, context, tiny):
    distiller, teacher, student = build(name, context), tiny.teacher(), tiny.student()
    terms = seeded(distiller, tiny, teacher, student)
    for term, value in terms.items():
        assert value.shape == (), term
        assert math.isfinite(value.item()), term
    if terms:
        total_of(terms).backward()
        leaves = [student.logits, student.embedding, *student.maps, *student.preactivations]
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        assert gradients
        gradients += [each.grad for each in distiller.parameters() if each.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert any(gradient.abs().max() > 0 for gradient in gradients)
    for leaf in (teacher.logits, teacher.embedding, *teacher.maps, *teacher.preactivations):
        assert leaf.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_state_gives_the_same_loss_in_a_fresh_object(name, context, tiny):
    distiller = build(name, context)
    seeded(distiller, tiny)
    state = copy.deepcopy(distiller.state_dict())
    torch.manual_seed(99)
    fresh = REGISTRY.baseline(name).distiller(context)
    fresh.load_state_dict(state)
    for _ in range(2):
        ours, theirs = seeded(distiller, tiny), seeded(fresh, tiny)
        assert {term: value.item() for term, value in ours.items()} == {
            term: value.item() for term, value in theirs.items()
        }


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_after_a_step_lives_its_own_life(name, context, tiny):
    distiller = build(name, context)
    total_of(seeded(distiller, tiny))
    twin = copy.deepcopy(distiller)
    expected = total_of(seeded(distiller, tiny)).item()
    assert total_of(seeded(twin, tiny)).item() == expected
    assert not any(buffer.requires_grad for buffer in distiller.buffers())


@pytest.mark.parametrize("name", NAMES)
def test_terms_stay_finite_and_close_under_bfloat16_autocast(name, context, tiny):
    distiller = build(name, context)
    twin = copy.deepcopy(distiller)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        teacher, student = (
            each.map(lambda x: x.detach().bfloat16()) for each in (tiny.teacher(), tiny.student())
        )
        student = student.map(lambda x: x.requires_grad_())
        terms = seeded(distiller, tiny, teacher, student)
    precise = seeded(twin, tiny)
    for term, value in terms.items():
        assert math.isfinite(value.item()), term
        assert value.item() == pytest.approx(precise[term].item(), rel=0.1), term
    if terms:
        total_of(terms).backward()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_gradients_works(name, context, tiny):
    distiller = build(name, context).eval()
    with torch.no_grad():
        assert all(math.isfinite(value.item()) for value in seeded(distiller, tiny).values())


@pytest.mark.parametrize("name", NAMES)
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
        else:
            assert parameter.default in parameter.search.values, parameter.name


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_says_what_it_is(name):
    baseline = REGISTRY.baseline(name)
    assert baseline.distiller.__doc__
    assert baseline.title
    assert baseline.paper or baseline.role != "method"
