"""`a+b`: terms side by side, published weights, and who may bring a prediction of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from benchmark import (
    Activations,
    Context,
    Distiller,
    NotApplicable,
    Progress,
    PublishedSettings,
    Shapes,
    baseline,
)
from benchmark.planning.hyperparameters import learns_from, resolve_hyperparameters
from benchmark.plugins import Registry
from benchmark.plugins import registry as REGISTRY
from benchmark.training.composition import build_distiller, check_needs
from benchmark.training.learner import Learner
from tests.tiny_task import TinyNetwork

SHAPES = Shapes((6,), (8,), ((4, 8, 8), (8, 4, 4), (8, 4, 4)))
CONTEXT = Context(SHAPES, SHAPES, 6, 40, torch.arange(40) % 6)
HERE = Progress(0, 2, 0, 10)


def batch_of(size: int = 12) -> dict[str, torch.Tensor]:
    index = torch.arange(size)
    return {"index": index, "label": index % 6, "labelled": torch.ones(size, dtype=torch.bool)}


def activations(size: int = 12) -> Activations:
    return Activations(
        torch.randn(size, 6), torch.randn(size, 8), tuple(torch.randn(size, *s) for s in SHAPES.maps)
    )


def test_published_weights_of_crd_plus_kd(registry: Registry) -> None:
    values = resolve_hyperparameters(registry.parts("crd+kd"), {}, {})
    assert (values["task_weight"], values["kd.weight"], values["crd.weight"]) == (1.0, 1.0, 0.8)
    alone = resolve_hyperparameters(registry.parts("kd"), {}, {})
    assert (alone["task_weight"], alone["weight"]) == (0.1, 0.9)


def test_the_pair_beats_the_default_and_the_user_beats_the_pair(registry: Registry) -> None:
    published = {"kd": PublishedSettings({"temperature": 6.0}, "a paper")}
    assert resolve_hyperparameters(registry.parts("kd"), published, {})["temperature"] == 6.0
    assert resolve_hyperparameters(registry.parts("crd+kd"), published, {})["kd.temperature"] == 6.0
    assert (
        resolve_hyperparameters(registry.parts("kd"), published, {"temperature": 2.0})["temperature"] == 2.0
    )


def test_terms_of_a_composition_are_those_of_its_parts(registry: Registry) -> None:
    parts = registry.parts("lckt+kd")
    together = build_distiller(parts, CONTEXT, resolve_hyperparameters(parts, {}, {}))
    teacher, student, batch = activations(), activations(), batch_of()
    terms = together(teacher, student, batch, HERE)
    for part in parts:
        values = resolve_hyperparameters((part,), {}, {}) | part.distiller.in_composition
        own = build_distiller((part,), CONTEXT, values)(teacher, student, batch, HERE)
        for name, value in own.items():
            torch.testing.assert_close(terms[name], value)
    assert together.task_weight == 1.0


def test_both_views_of_a_composition_count_alike_in_its_cross_entropy(registry: Registry) -> None:
    for name in ("mlkd", "crld"):
        values = resolve_hyperparameters(registry.parts(f"{name}+crd"), {}, {})
        assert values["task_weight"] == values[f"{name}.strong_task_weight"] == 1.0


@pytest.mark.parametrize(
    "state",
    [
        lambda: torch.zeros(3),
        lambda: [nn.Linear(2, 2)],
        lambda: {"first": torch.zeros(3)},
        lambda: (nn.Parameter(torch.zeros(3)),),
    ],
    ids=["tensor", "list of layers", "dict of tensors", "tuple of parameters"],
)
def test_state_that_torch_does_not_know_of_is_named(state: Callable[[], object]) -> None:
    @baseline("forgets", title="Forgets")
    class Forgets(Distiller):
        def __init__(self, context, **options):
            super().__init__(context, **options)
            self.part = nn.Linear(2, 2)
            self.part.bank = state()

    with pytest.raises(ValueError, match=r"part\.bank: tensors and layers in plain attributes are not saved"):
        build_distiller((REGISTRY.baseline("forgets"),), CONTEXT, {})


def test_a_layer_may_have_a_second_name() -> None:
    @baseline("renames", title="Renames")
    class Renames(Distiller):
        def __init__(self, context, **options):
            super().__init__(context, **options)
            self.part, self.lstm = nn.Linear(2, 2), nn.LSTM(2, 2)
            self.both, self.last = [self.part, self.part.weight], None

    build_distiller((REGISTRY.baseline("renames"),), CONTEXT, {})


def test_two_heads_of_their_own_do_not_compose() -> None:
    @baseline("first_head", title="First")
    class First(Distiller):
        def predict(self, student):
            return student.logits * 2

    @baseline("second_head", title="Second")
    class Second(First):
        def predict(self, student):
            return student.logits * 3

    from benchmark.plugins import registry

    parts = registry.parts("first_head+second_head")
    with pytest.raises(NotApplicable, match="first_head and second_head"):
        build_distiller(parts, CONTEXT, resolve_hyperparameters(parts, {}, {}))
    one = registry.parts("first_head+kd")
    student = activations()
    built = build_distiller(one, CONTEXT, resolve_hyperparameters(one, {}, {}))
    assert built.predict(student).equal(student.logits * 2)


class OwnHead(Distiller):
    """Predicts with a head of its own, whose running statistics are a part of the prediction."""

    def __init__(self, context: Context, **options: float):
        super().__init__(context, **options)
        self.head = torch.nn.Sequential(torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 6))

    def forward(self, teacher, student, batch, progress):
        return {"own": self.head(student.embedding).square().mean()}

    def predict(self, student):
        return self.head(student.embedding)


def own_head_and_kd() -> Distiller:
    from benchmark.plugins import registry

    if "own_head" not in registry.baselines:
        baseline("own_head", title="Own head")(OwnHead)
    parts = registry.parts("own_head+kd")
    return build_distiller(parts, CONTEXT, resolve_hyperparameters(parts, {}, {}))


def test_where_a_part_predicts_the_others_teach_its_predictions() -> None:
    together = own_head_and_kd()
    teacher, student, batch = activations(), activations(), batch_of()
    shown = student.map(lambda x: x.detach().requires_grad_())
    terms = together(teacher, shown, batch, HERE)
    kd = next(value for name, value in terms.items() if name != "own")
    kd.backward()
    assert shown.logits.grad is None  # nobody is judged by the network's own classifier
    assert shown.embedding.grad is not None
    assert all(p.grad is not None for p in together.parameters())


def test_a_head_sees_the_batch_once_for_supervised_loss_and_terms_of_others() -> None:
    together = own_head_and_kd()
    (count,) = (x for name, x in together.named_buffers() if name.endswith("num_batches_tracked"))
    student, batch = activations(), batch_of()
    together.task_loss(student, batch)
    together(activations(), student, batch, HERE)
    assert count == 2  # that, and the part's own term
    copy.deepcopy(together)  # no graph is kept


def test_finished_weights_give_the_predictions_of_a_head_of_its_own() -> None:
    together, student = own_head_and_kd(), activations()
    for _ in range(3):
        together(activations(), student, batch_of(), HERE)
    network = TinyNetwork(3, 6, 4)
    kept = Learner(network, together).finished_weights()
    assert {name for name in kept if name.startswith("distiller.") and "running" in name} == {
        f"distiller.parts.own_head.head.0.running_{each}" for each in ("mean", "var")
    }
    other = Learner(TinyNetwork(3, 6, 4), own_head_and_kd())
    other.load_state_dict(kept, strict=False)
    together.eval()
    other.eval()
    assert other.distiller.predict(student).equal(together.predict(student))


def test_values_published_for_a_composition_hold_in_whatever_order_it_is_typed(registry: Registry) -> None:
    published = {"crd+kd": PublishedSettings({"kd.weight": 3.0}, "a paper")}
    for name in ("crd+kd", "kd+crd"):
        assert resolve_hyperparameters(registry.parts(name), published, {})["kd.weight"] == 3.0
    assert resolve_hyperparameters(registry.parts("kd"), published, {})["weight"] == 0.9


def test_a_composition_has_the_teacher_that_its_part_asks_for(registry: Registry) -> None:
    @baseline("from_nothing", title="From nothing")
    class FromNothing(Distiller):
        learns_from = "untrained"

    assert learns_from(registry.parts("from_nothing+kd")) == "untrained"
    assert learns_from(registry.parts("crd+kd")) == "trained"


@pytest.mark.parametrize(
    ("needs", "change", "reason"),
    [
        ("logits", {"student": Shapes((7,), (8,))}, "logits of the teacher"),
        ("maps", {"student": Shapes((6,), (8,))}, "the student shows no maps"),
        ("preactivations", {}, "the teacher shows no preactivations"),
        ("labels", {"train_labels": torch.full((40,), -1)}, "no training label"),
    ],
)
def test_what_a_baseline_needs_is_asked_of_the_networks_and_the_data(
    needs: str, change: dict, reason: str
) -> None:
    fields = {name: getattr(CONTEXT, name) for name in CONTEXT.__dataclass_fields__}
    with pytest.raises(NotApplicable, match=reason):
        check_needs(frozenset({needs}), Context(**fields | change))


def test_labels_train_the_logits_that_the_composition_predicts_with() -> None:
    """Label smoothing brings the supervised loss, SimKD the prediction: its projector under the teacher's
    classifier."""
    from benchmark.plugins import registry

    fields = {name: getattr(CONTEXT, name) for name in CONTEXT.__dataclass_fields__}
    context = Context(**fields | {"teacher_head": torch.nn.Linear(8, 6), "teacher_pooled": True})
    for name in ("label_smoothing+simkd", "simkd+label_smoothing"):
        parts = registry.parts(name)
        built = build_distiller(parts, context, resolve_hyperparameters(parts, {}, {}))
        student = activations().map(lambda x: x.requires_grad_())
        loss = built.task_loss(student, batch_of())
        projector = list(built.get_submodule("parts.simkd.project").parameters())
        reached = torch.autograd.grad(loss, [student.maps[-1], *projector])
        assert all(gradient.abs().max() > 0 for gradient in reached)
        (unused,) = torch.autograd.grad(
            built.task_loss(student, batch_of()), student.logits, allow_unused=True
        )
        assert unused is None
        smoothed = torch.nn.functional.cross_entropy(
            built.predict(student), batch_of()["label"], label_smoothing=0.1
        )
        torch.testing.assert_close(loss, smoothed)


@pytest.mark.parametrize("name", ["label_smoothing+kd", "simkd+kd", "kd+crd"])
def test_where_one_part_or_none_brings_a_loss_or_a_prediction_the_labels_train_it(name: str) -> None:
    from benchmark.plugins import registry

    fields = {name: getattr(CONTEXT, name) for name in CONTEXT.__dataclass_fields__}
    context = Context(**fields | {"teacher_head": torch.nn.Linear(8, 6), "teacher_pooled": True})
    parts = registry.parts(name)
    built = build_distiller(parts, context, resolve_hyperparameters(parts, {}, {}))
    student = activations()
    smoothing = 0.1 if name.startswith("label_smoothing") else 0.0
    expected = torch.nn.functional.cross_entropy(
        built.predict(student), batch_of()["label"], label_smoothing=smoothing
    )
    torch.testing.assert_close(built.task_loss(student, batch_of()), expected)
    assert built.predict(student).equal(student.logits) == ("simkd" not in name)


def test_a_part_with_both_a_loss_and_a_prediction_of_its_own_sees_the_students_own_logits() -> None:
    @baseline("own_head", title="Own head")
    class OwnHead(Distiller):
        def predict(self, student):
            return student.logits * 2

        def task_loss(self, student, batch):
            return self.predict(student).sum()

    from benchmark.plugins import registry

    parts = registry.parts("own_head+kd")
    built = build_distiller(parts, CONTEXT, resolve_hyperparameters(parts, {}, {}))
    student = activations()
    torch.testing.assert_close(built.task_loss(student, batch_of()), 2 * student.logits.sum())
