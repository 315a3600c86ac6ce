"""How runs end early: said at once, recorded with the reason, and tried again by the same command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark import Activations, Distiller, baseline
from tests.command import numbers, records, run
from tests.tiny_task import TinyNetwork


@pytest.fixture
def faults() -> list[bool]:
    """Registers a baseline that fails in its second epoch as long as the list holds True."""
    faulty = [True]

    @baseline("stumbles", title="Stumbles")
    class Stumbles(Distiller):
        def forward(self, teacher, student, batch, progress):
            if progress.epoch == 1 and faulty[0]:
                raise KeyError("a mistake in a plugin")
            return {"stumbles": student.logits.square().mean()}

    return faulty


def test_a_failure_is_said_before_the_cohort_ends_and_recorded(
    tmp_path: Path, faults: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--epochs", "4", baselines=("kd", "stumbles")) == 1
    lines = capsys.readouterr().out.splitlines()
    said = next(n for n, line in enumerate(lines) if line.startswith("stumbles failed: KeyError"))
    last_epoch = next(n for n, line in enumerate(lines) if "epoch 4/4" in line and "kd" in line)
    assert said < last_epoch
    (record,) = (each for each in records(tmp_path).values() if each.run.baseline == "stumbles")
    assert (record.status, record.reason) == ("failed", "KeyError: 'a mistake in a plugin'")
    assert record.teacher.architecture == "tiny_big"
    assert record.results.scores == {}


def test_a_term_that_never_has_a_gradient_is_said_and_one_that_has_late_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @baseline("forgets", title="Forgets")
    class Forgets(Distiller):
        def forward(self, teacher, student, batch, progress):
            pull = (student.logits - teacher.logits).square().mean()
            late = pull if progress.epoch == 1 else pull.detach()
            return {"idle": pull.detach(), "late": late}

    assert run(tmp_path, "--epochs", "2", baselines=("kd", "forgets")) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert warnings == [
        "warning: forgets trained without idle: no gradient came of it (was it detached, or computed of the "
        "teacher alone?)"
    ]


def test_the_same_command_tries_a_failed_run_again_and_no_other(
    tmp_path: Path, faults: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--epochs", "4")
    run(tmp_path, *arguments, baselines=("kd", "stumbles"))
    before = records(tmp_path)
    capsys.readouterr()
    assert run(tmp_path, *arguments, "--dry-run", baselines=("kd", "stumbles")) == 0
    assert "1 recorded, 1 to do" in capsys.readouterr().out
    faults[0] = False
    assert run(tmp_path, *arguments, baselines=("kd", "stumbles")) == 0
    after = records(tmp_path)
    for slug, record in after.items():
        assert record.status == "finished"
        assert (record == before[slug]) is (record.run.baseline == "kd")
    assert not list((tmp_path / "t" / "runs").glob("*-stumbles-*/error.txt"))


def test_a_part_of_a_composition_is_named_where_its_loss_is_none(tmp_path: Path) -> None:
    @baseline("answers_oddly", title="Answers oddly")
    class AnswersOddly(Distiller):
        def forward(self, teacher, student, batch, progress):
            return {"odd": student.logits.mean(1)}

    assert run(tmp_path, "--epochs", "1", baselines=("answers_oddly+kd",)) == 1
    (record,) = records(tmp_path).values()
    assert "answers_oddly's forward returns the term 'odd' of shape (32,)" in record.reason


def test_a_network_that_a_baseline_can_not_have_is_said_with_the_name_of_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @baseline("has_a_peer", title="Has a peer")
    class HasAPeer(Distiller):
        def __init__(self, context, *, peer: str = "nothing_9"):
            super().__init__(context)
            self.peer = context.network(peer)

    assert run(tmp_path, "--epochs", "1", baselines=("has_a_peer",)) == 2
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.strip())
    assert "'has_a_peer'" in line
    assert "unknown architecture 'nothing_9'" in line


def test_a_failed_run_stands_in_the_table_with_its_reason(tmp_path: Path, faults: list[bool]) -> None:
    assert run(tmp_path, "--epochs", "2", baselines=("kd", "stumbles"), report=True) == 1
    table = (tmp_path / "t" / "tables" / "tiny_task.md").read_text()
    assert "Stumbles" in table
    assert "failed (1 of 1)" in table
    assert "a mistake in a plugin" in table


def test_a_teacher_at_chance_level_is_warned_about_and_a_good_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "trained", "--teacher-epochs", "12", baselines=("scratch",)) == 0
    assert "chance" not in capsys.readouterr().out
    (file,) = (tmp_path / "trained" / "teachers").glob("*/weights.safetensors")
    good = TinyNetwork(3, 6, 12)
    from safetensors.torch import load_file

    good.load_state_dict(load_file(file))
    with torch.no_grad():  # the same network, its classes in another order
        for tensor in (good.classifier.weight, good.classifier.bias):
            tensor.copy_(tensor[[1, 2, 3, 4, 5, 0]].clone())
    torch.save(good.state_dict(), tmp_path / "other_order.pth")
    assert run(tmp_path / "loaded", "--teacher-checkpoint", str(tmp_path / "other_order.pth")) == 0
    printed = capsys.readouterr().out
    assert "warning: teacher tiny_big on stripes is at chance level" in printed
    assert "other_order.pth trained with another normalisation or order of classes?" in printed


def test_latency_is_that_of_a_network_and_not_of_a_run(tmp_path: Path) -> None:
    assert run(tmp_path, "--seeds", "0", "1", baselines=("scratch", "kd", "crd", "simkd")) == 0
    found = records(tmp_path).values()
    plain = {r.measurements.latency_ms for r in found if r.run.baseline != "simkd"}
    own = {r.measurements.latency_ms for r in found if r.run.baseline == "simkd"}
    assert len(plain) == 1
    assert None not in plain
    assert not plain & own


def ends_with(told: str, results: Path) -> None:
    """Trains a baseline `mine` beside kd: it fails for the reason told, and kd is as alone."""
    short = ("--epochs", "1", "--teacher-epochs", "1", "--train-samples", "64", "--validation", "0")
    assert run(results / "both", *short, baselines=("mine", "kd")) == 1
    assert run(results / "alone", *short, baselines=("kd",)) == 0
    ours, theirs = (
        {r.run.baseline: r for r in records(results / each).values()} for each in ("both", "alone")
    )
    assert (ours["mine"].status, ours["kd"].status) == ("failed", "finished")
    assert told in ours["mine"].reason
    assert numbers(ours["kd"]) == numbers(theirs["kd"])


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (
            lambda student: {"mine": (student.logits**2).mean(1)},
            "term 'mine' of shape (32,): return a scalar",
        ),
        (lambda student: {"mine": student.logits.mean() * 1j}, "term 'mine' as complex numbers"),
        (lambda student: {"mine": 1.0}, "term 'mine' as a float: return a tensor"),
        (lambda student: student.logits.mean(), "forward returns a Tensor: return a dict"),
        (lambda student: None, "forward returns a NoneType: return a dict"),
    ],
    ids=["of each sample", "complex", "number", "without a name", "nothing"],
)
@pytest.mark.parametrize("task_weight", [0.0, 1.0])
def test_a_loss_that_is_none_ends_its_run_alone(
    loss: Callable[[Activations], object], told: str, task_weight: float, tmp_path: Path
) -> None:
    @baseline("mine", title="Mine")
    class Mine(Distiller):
        def __init__(self, context):
            super().__init__(context, task_weight=task_weight)

        def forward(self, teacher, student, batch, progress):
            return loss(student)

    ends_with(told, tmp_path)


def test_a_term_in_the_place_of_the_supervised_one_ends_the_run(tmp_path: Path) -> None:
    @baseline("mine", title="Mine")
    class Mine(Distiller):
        def forward(self, teacher, student, batch, progress):
            return {"task": student.logits.square().mean()}

    ends_with("forward returns a term 'task', which is the supervised one", tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: torch.set_grad_enabled(False), "whether gradients are computed for everybody"),
        (lambda: torch.set_default_dtype(torch.float64), "torch's default dtype for everybody"),
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "torch's number of threads"),
    ],
    ids=["gradients", "dtype", "threads"],
)
@pytest.mark.parametrize("when", ["built", "at work"])
def test_what_torch_has_for_everybody_is_left_to_the_others(
    change: Callable[[], object], told: str, when: str, tmp_path: Path
) -> None:
    @baseline("mine", title="Mine")
    class Mine(Distiller):
        def __init__(self, context):
            super().__init__(context)
            if when == "built":
                change()

        def forward(self, teacher, student, batch, progress):
            change()
            return {"mine": student.logits.square().mean()}

    ends_with(told, tmp_path)


def test_a_baseline_whose_size_cannot_be_told_ends_alone(tmp_path: Path) -> None:
    @baseline("mine", title="Mine")
    class Mine(Distiller):
        def __init__(self, context):
            super().__init__(context)
            self.project = torch.nn.LazyLinear(8)

    ends_with("uninitialized parameter", tmp_path)
