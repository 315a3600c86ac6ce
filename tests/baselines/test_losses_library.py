"""The losses as a library: what is handed out, and criteria against the engine that they come from."""

from __future__ import annotations

import ast
import copy
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines import losses
from benchmark import Activations, NotApplicable, Progress, UserError, plugins
from benchmark.catalogue.functions import functions
from benchmark.contracts import IGNORE, Distiller
from benchmark.models import Network
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.training.composition import build_distiller
from benchmark.training.learner import Learner
from benchmark.training.networks import describe
from tests.baselines.tiny import (
    BATCH,
    CLASSES,
    NAMES,
    PROGRESS,
    REGISTRY,
    SAMPLES,
    TINY_PAIRS,
    TinyPair,
    built,
    pairs_of,
    tiny_batch,
    tiny_network,
)

LABELS = torch.arange(SAMPLES) % CLASSES
LOSS = re.compile(r"_(loss|losses|rows|cost|scores)$")
"""How a function is named that goes into an objective."""

SOURCE = re.compile(
    r"[Ss]ource|eq\. \d|section \d|authors' code|et al|\b(19|20)\d\d\b|CRD benchmark|mdistiller"
)


def exported() -> dict[CodeType, str]:
    """The code of every function that is handed out -> its name there."""
    return {inspect.unwrap(each).__code__: name for name, each in functions().items()}


def called(action: Callable[[], object]) -> set[str]:
    """The functions of the library that are called while `action` runs."""
    known, found = exported(), set()

    def watch(frame: Any, event: str, argument: object) -> None:
        if event == "call" and frame.f_code in known:
            found.add(known[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        action()
    finally:
        sys.setprofile(before)
    return found


def terms_of(distiller: Distiller, pair: TinyPair) -> dict[str, Tensor]:
    """All that a baseline adds to training: its terms, its first stages', a supervised loss of its own."""
    batch, found = tiny_batch(), {}
    for loss in (distiller, *(stage.loss for stage in distiller.first_stages())):
        found |= loss(pair.teacher(), pair.student(), batch, PROGRESS)
    if type(distiller).task_loss is not Distiller.task_loss:
        found["task"] = distiller.task_loss(pair.student(), batch)
    return found


def fitting(name: str) -> tuple[Distiller, TinyPair]:
    """A baseline on the first tiny pair that it fits."""
    reasons = []
    for pair in pairs_of(name).values():
        try:
            return built(name, pair), pair
        except NotApplicable as reason:
            reasons.append(reason)
    raise AssertionError(f"{name} fits no tiny pair: {reasons}")


def is_pure(function: ast.FunctionDef) -> bool:
    """Whether it takes tensors and numbers alone, and not what the engine hands to a baseline."""
    told = {
        node.id
        for argument in (*function.args.args, *function.args.kwonlyargs)
        for node in ast.walk(argument.annotation or ast.Constant(None))
        if isinstance(node, ast.Name)
    }
    return not told & {"Activations", "Batch", "Context", "Progress"}


def test_every_loss_function_beside_the_baselines_is_handed_out() -> None:
    known = {
        (Path(code.co_filename).resolve(), code.co_firstlineno): name for code, name in exported().items()
    }
    for file in sorted(plugins.LIBRARY.parent.glob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            if LOSS.search(node.name) and is_pure(node):
                line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                assert (file, line) in known, f"{plugins.LIBRARY} lacks {node.name} of {file.name}"


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_makes_its_terms_with_functions_that_are_handed_out(name: str) -> None:
    """One with maths of its own has a function in the library, and one that only reuses another's calls that:
    what runs tells both, without a list of who borrows from whom. The student alone adds nothing."""
    distiller, pair = fitting(name)
    found: dict[str, Tensor] = {}
    used = called(lambda: found.update(terms_of(distiller, pair)))
    assert used or not found


def test_a_name_that_is_handed_out_holds_that_of_its_source() -> None:
    for name, function in functions().items():
        own = inspect.unwrap(function).__name__
        assert own in name, (name, own)


def test_what_is_handed_out_is_all_that_is_there() -> None:
    public = {
        name
        for name, each in vars(losses).items()
        if not name.startswith("_") and not inspect.ismodule(each) and name != "annotations"
    }
    assert public == set(losses.__all__)
    assert len(losses.__all__) == len(public)


@pytest.mark.parametrize("name", sorted(functions()))
def test_a_docstring_tells_shapes_and_source(name: str) -> None:
    function = functions()[name]
    text = inspect.getdoc(function) or ""
    assert re.search(r"\[[^\]]*\]", text), "no shape"
    module = inspect.getdoc(sys.modules[function.__module__]) or ""
    if function.__module__.startswith("baselines."):  # the supervised term is nobody's invention
        assert SOURCE.search(text) or re.search(r"\(.*et al\.", module), "no source"


def test_the_library_is_no_plugin() -> None:
    assert plugins.LIBRARY.exists()
    assert plugins.LIBRARY not in plugins.baseline_files()
    assert plugins.declared_baselines() is not None
    assert not [each.name for each in REGISTRY.baselines.values() if each.file == plugins.LIBRARY]


def test_no_hyperparameter_has_the_name_of_an_argument() -> None:
    taken = set(inspect.signature(losses.criterion).parameters) - {"hyperparameters"}
    for name in NAMES:
        assert not taken & set(REGISTRY.baseline(name).hyperparameters), name


# Criteria


def networks() -> tuple[Network, Network]:
    """A teacher, frozen, and a student of another width, in training."""
    teacher, student = tiny_network("conv2d_16"), tiny_network("conv2d_8")
    assert isinstance(teacher, Network)
    assert isinstance(student, Network)
    return teacher.eval().requires_grad_(False), student.train()


def built_criterion(name: str, teacher: Network, student: Network, **options: Any) -> losses.Criterion:
    """On what both show of the tiny batch, its weights drawn from a fixed seed."""
    batch = tiny_batch()
    seen, own = teacher(batch), copy.deepcopy(student).eval()(batch)
    torch.manual_seed(7)
    return losses.criterion(name, teacher=seen, student=own, **{"train_labels": LABELS, **options})


def loop_batches(steps: int) -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(9)
    images = torch.randn(SAMPLES, 3, 8, 8, generator=draw)
    found = []
    for _ in range(steps):
        index = torch.randperm(SAMPLES, generator=draw)[:BATCH]
        labelled = torch.ones(BATCH, dtype=torch.bool)
        found.append({"image": images[index], "label": LABELS[index], "index": index, "labelled": labelled})
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("crd+kd", {}),
        ("wcord+kd", {"task_weight": 0.5, "kd": {"temperature": 2.0}, "wcord": {"negatives": 16}}),
        ("simkd", {}),
        ("dkd", {"warmup": 0.5}),
        ("reviewkd+ctkd", {}),
        ("cat_kd+ofd", {}),
        ("sdd_kd", {}),
    ],
)
def test_in_a_loop_its_terms_are_those_of_the_engine(name: str, options: dict[str, Any]) -> None:
    teacher, student = networks()
    parts = REGISTRY.parts(name)
    flat = {
        key: value
        for each, given in options.items()
        for key, value in (
            {f"{each}.{k}": v for k, v in given.items()} if isinstance(given, dict) else {each: given}
        ).items()
    }
    context = describe(teacher, student, tiny_batch(), CLASSES, LABELS)
    criterion = built_criterion(name, teacher, student, teacher_norms=context.teacher_norms, **options)
    torch.manual_seed(7)
    distiller = build_distiller(parts, context, resolve_hyperparameters(parts, {}, flat))
    learner = Learner(copy.deepcopy(student), distiller)
    theirs = torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9)
    ours = torch.optim.SGD([*student.parameters(), *criterion.parameters()], lr=0.05, momentum=0.9)
    steps = loop_batches(6)
    for step, batch in enumerate(steps):
        seen = teacher(batch)
        torch.manual_seed(step)
        wanted = learner.terms(seen, learner.shown(batch), batch, Progress(0, 1, step, len(steps)))
        torch.manual_seed(step)
        found = criterion.terms(
            seen, student(batch), batch["label"], batch["index"], progress=step / len(steps)
        )
        assert found.keys() == wanted.keys()
        for term in wanted:
            torch.testing.assert_close(found[term], wanted[term], rtol=1e-6, atol=0)
        for optimizer, terms in ((theirs, wanted), (ours, found)):
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
    for mine, engines in zip(student.parameters(), learner.network.parameters(), strict=True):
        torch.testing.assert_close(mine, engines, rtol=1e-5, atol=1e-7)


def test_its_terms_are_the_engines_to_the_last_bit_when_told_the_same_progress() -> None:
    teacher, student = networks()
    criterion = built_criterion("crd+kd", teacher, student)
    parts = REGISTRY.parts("crd+kd")
    context = describe(teacher, student, tiny_batch(), CLASSES, LABELS)
    torch.manual_seed(7)
    learner = Learner(student, build_distiller(parts, context, resolve_hyperparameters(parts, {}, {})))
    batch = loop_batches(1)[0]
    seen = teacher(batch)
    torch.manual_seed(1)
    wanted = learner.terms(seen, learner.shown(batch), batch, PROGRESS)
    torch.manual_seed(1)
    found = criterion.terms(seen, student(batch), batch["label"], batch["index"], progress=PROGRESS)
    assert {name: value.item() for name, value in found.items()} == {
        name: value.item() for name, value in wanted.items()
    }


def test_the_loss_is_the_sum_of_its_terms_and_falls() -> None:
    teacher, student = networks()
    criterion = built_criterion("crd+kd", teacher, student)
    optimizer = torch.optim.SGD([*student.parameters(), *criterion.parameters()], lr=0.05, momentum=0.9)
    batch = loop_batches(1)[0]
    seen, seeded = teacher(batch), []
    for step in range(30):
        torch.manual_seed(0)
        before = copy.deepcopy(criterion)
        shown = student(batch)
        loss = criterion(seen, shown, batch["label"], batch["index"], progress=step / 30)
        if not step:
            torch.manual_seed(0)
            terms = before.terms(seen, shown, batch["label"], batch["index"], progress=0.0)
            assert set(terms) == {"task", "crd", "kd"}
            assert loss.item() == pytest.approx(sum(term.item() for term in terms.values()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seeded.append(loss.item())
    assert seeded[-1] < 0.8 * seeded[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_is_a_criterion_or_is_refused_with_a_reason(name: str) -> None:
    torch.manual_seed(0)
    refused = []
    for pair in TINY_PAIRS.values():
        teacher, student = pair.teacher(), pair.student()
        batch = tiny_batch()
        try:
            criterion = losses.criterion(
                name,
                teacher=teacher,
                student=student,
                train_labels=LABELS,
                teacher_norms=pair.context.teacher_norms,
                with_first_stages=True,
            )
        except NotApplicable as reason:
            refused.append(str(reason))
            continue
        for stage in (None, *criterion.first_stages):
            loss = criterion(teacher, student, batch["label"], batch["index"], progress=0.5, stage=stage)
            assert loss.shape == ()
            assert torch.isfinite(loss)
        assert criterion.predict(student).shape == student.logits.shape
        return
    assert all(len(reason) > 10 for reason in refused)
    assert len(refused) == len(TINY_PAIRS)


def test_few_are_refused() -> None:
    """Those alone that learn from what the engine makes."""
    pair, refused = TINY_PAIRS["alike"], set()
    for name in NAMES:
        try:
            losses.criterion(
                name,
                teacher=pair.teacher(),
                student=pair.student(),
                train_labels=LABELS,
                teacher_norms=pair.context.teacher_norms,
                with_first_stages=True,
            )
        except NotApplicable:
            refused.add(name)
    distillers = {name: REGISTRY.baseline(name).distiller for name in NAMES}
    makes = {name for name, each in distillers.items() if each.learns_from != "trained" or each.second_view}
    assert makes <= refused
    assert len(refused - makes) < len(NAMES) / 5


def test_what_it_has_learnt_comes_back_from_its_state(tmp_path: Path) -> None:
    teacher, student = networks()
    criterion = built_criterion("crd+kd", teacher, student)
    first, second = loop_batches(2)
    criterion(teacher(first), student(first), first["label"], first["index"], progress=0.0)
    torch.save(criterion.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(99)
    fresh = losses.criterion("crd+kd", teacher=teacher(first), student=student(first), train_labels=LABELS)
    given = (teacher(second), student.eval()(second), second["label"], second["index"])

    def value(of: losses.Criterion) -> float:
        torch.manual_seed(3)
        return copy.deepcopy(of)(*given, progress=0.5).item()

    assert value(fresh) != value(criterion)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert value(fresh) == value(criterion)


def test_the_teacher_gets_no_gradient() -> None:
    pair = TINY_PAIRS["alike"]
    teacher = pair.teacher().map(lambda x: x.requires_grad_())
    criterion = losses.criterion("kd", teacher=teacher, student=pair.student())
    student = pair.student()
    criterion(teacher, student, LABELS[:BATCH], progress=0.0).backward()
    assert teacher.logits.grad is None
    assert student.logits.grad is not None


def test_labels_that_are_hidden_or_missing_are_not_learnt_from() -> None:
    pair = TINY_PAIRS["alike"]
    teacher, student = pair.teacher(), pair.student()
    criterion = losses.criterion("kd", teacher=teacher, student=student)
    some = LABELS[:BATCH].clone()
    some[4:] = IGNORE
    said = torch.arange(BATCH) < 4
    told = criterion.terms(teacher, student, LABELS[:BATCH], progress=0.0, labelled=said)
    marked = criterion.terms(teacher, student, some, progress=0.0)
    assert torch.equal(told["task"], marked["task"])
    none = criterion.terms(teacher, student, None, progress=0.0)
    assert none["task"] == 0
    assert torch.equal(none["kd"], told["kd"])


def test_a_schedule_goes_by_the_progress_that_is_told() -> None:
    pair = TINY_PAIRS["alike"]
    teacher, student = pair.teacher(), pair.student()
    criterion = losses.criterion("dkd", teacher=teacher, student=student, warmup=0.5)
    at = [criterion.terms(teacher, student, None, progress=share)["nckd"] for share in (0.0, 0.25, 1.0)]
    assert at[0] == 0
    torch.testing.assert_close(at[1], at[2] / 2)


def test_a_first_stage_trains_what_it_says() -> None:
    pair = TINY_PAIRS["unlike"]
    teacher, student = pair.teacher(), pair.student()
    criterion = losses.criterion("ft", teacher=teacher, student=student, with_first_stages=True)
    (stage,) = criterion.first_stages
    optimizer = torch.optim.SGD(stage.parameters, lr=0.1)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = criterion(teacher, student, None, progress=0.0, stage=stage)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]


def test_a_students_answer_may_come_from_the_criterion() -> None:
    teacher, student = networks()
    batch = loop_batches(1)[0]
    own = student.eval()(batch)
    assert torch.equal(built_criterion("kd", teacher, student).predict(own), own.logits)
    answer = built_criterion("simkd", teacher, student).eval().predict(own)
    assert answer.shape == own.logits.shape
    assert not torch.equal(answer, own.logits)


def shown(**changes: Any) -> dict[str, Any]:
    pair = TINY_PAIRS["alike"]
    return {"teacher": pair.teacher(), "student": pair.student(), **changes}


@pytest.mark.parametrize("name", ["scratch", "label_smoothing", "kd"])
@pytest.mark.parametrize("told", [{}, {"num_samples": 20}])
def test_who_reads_the_labels_of_batches_alone_need_not_be_told_those_of_training(
    name: str, told: dict[str, int]
) -> None:
    pair = TINY_PAIRS["alike"]
    teacher, student = pair.teacher(), pair.student()
    loss = losses.criterion(name, teacher=teacher, student=student, **told)
    assert loss(teacher, student, torch.arange(len(student.logits)) % 5, progress=0.0) > 0


def without_maps() -> Activations:
    full = TINY_PAIRS["alike"].student()
    return Activations(full.logits, full.embedding)


@pytest.mark.parametrize(
    ("name", "given", "error", "says"),
    [
        ("kdd", {}, UserError, "unknown baseline 'kdd'.*kd"),
        ("kd+kd", {}, UserError, "composes a baseline with itself"),
        ("kd", {"temprature": 2.0}, UserError, "unknown hyper-parameter of kd 'temprature'"),
        ("kd", {"temperature": "hot"}, UserError, "temperature='hot': temperature is a float"),
        ("crd+kd", {"temperature": 2.0}, UserError, "a composition takes task_weight and PART"),
        ("crd+kd", {"kd": {"temprature": 2.0}}, UserError, "unknown hyper-parameter of kd 'temprature'"),
        ("lckt", {"solver": "greedy"}, UserError, "choose one of ipot, sinkhorn, exact"),
        ("crd", {}, UserError, "give train_labels, or num_samples alone"),
        ("crd", {"train_labels": [0] * 8}, NotApplicable, "no negatives"),
        ("crd", {"train_labels": [0, 1], "num_samples": 3}, UserError, "is 3, and train_labels has 2"),
        ("kd", {"num_classes": 7}, UserError, "num_classes is 7, and the student has 5 logits"),
        ("at", {"student": without_maps()}, NotApplicable, "the student shows no maps"),
        ("ofd", {"teacher_norms": [None]}, UserError, "teacher_norms has 1, and the teacher shows 4"),
        ("ofd", {}, NotApplicable, "no single norm stands before the rectifier"),
        ("ft", {}, NotApplicable, "trains paraphraser before the student: give with_first_stages=True"),
        ("crd+ab", {"num_samples": 9}, NotApplicable, "crd.ab trains .* before the student"),
        ("self_distillation", {}, NotApplicable, "a teacher that this engine makes .student architecture."),
        ("random_teacher+crd", {}, NotApplicable, "random_teacher learns from a teacher"),
        ("takd", {"assistant": "conv2d_4"}, NotApplicable, ".conv2d_4., which this engine makes: train that"),
        ("takd", {}, NotApplicable, "takd.assistant=ARCHITECTURE.*train one by kd and give it"),
        ("mlkd", {}, NotApplicable, "mlkd compares .* a second, strong view .* which this engine makes"),
        ("kd+sskd", {}, NotApplicable, "^sskd compares .* a second, rotated view"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_or_done_is_refused_with_the_reason(
    name: str, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        losses.criterion(name, **shown(**given))


def test_what_a_batch_lacks_is_named() -> None:
    given = shown()
    criterion = losses.criterion("crd", **given, num_samples=SAMPLES)
    with pytest.raises(UserError, match="give index"):
        criterion(given["teacher"], given["student"], None, progress=0.0)
    with pytest.raises(UserError, match="from 0 to 1, and 3 is none"):
        criterion(given["teacher"], given["student"], None, torch.arange(BATCH), progress=3)


def test_a_module_of_ones_own_can_hold_it() -> None:
    given = shown()
    holder = nn.ModuleDict({"loss": losses.criterion("fitnet", **given)})
    assert {name.split(".")[0] for name, _ in holder.named_parameters()} == {"loss"}
    assert "fitnet" in repr(holder)
