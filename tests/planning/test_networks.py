"""What would stop a command after its teacher has trained is told while it is planned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.contracts import Pair
from benchmark.models import architecture
from benchmark.planning.grid import make_plan
from benchmark.plugins import Registry
from benchmark.settings import Settings
from benchmark.training.teacher import TeacherTraining
from tests.test_bad_input import refused
from tests.tiny_task import TinyTask, _pair


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TeacherTraining, "__init__", lambda *arguments: pytest.fail("a teacher trains"))


@pytest.fixture
def pairs_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny task takes TEACHER-STUDENT of any names."""

    def custom(self: TinyTask, dataset: str, name: str) -> Pair:
        own = _pair("tiny_small")
        teacher, _, student = name.partition("-")
        return Pair(teacher, student, own.recipe, own.teacher_recipe, ("rgb",), ("rgb",))

    monkeypatch.setattr(TinyTask, "custom_pair", custom)


@pytest.mark.usefixtures("pairs_by_name")
@pytest.mark.parametrize("mode", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("tiny_big-tiny_smal", ["unknown architecture 'tiny_smal'", "tiny_small"]),
        ("tiny_bigg-tiny_small", ["unknown architecture 'tiny_bigg'"]),
        ("tiny_big-timm", ["timm"]),
        ("tiny_big-torchvision:nope", ["unknown torchvision model 'nope'"]),
        ("tiny_big-torchvision:alexnet", ["torchvision:alexnet can't take images of shape (3, 8, 8)"]),
        ("tiny_big-conv1d_4", ["conv1d_4"]),
        ("tiny_big-unet2d_4", ["answers per pixel"]),
        ("tiny_big-broken", ["broken can't be built", "ZeroDivisionError"]),
    ],
)
def test_every_network_of_a_pair_is_looked_at_before_a_teacher_trains(
    pair: str, words: list[str], mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    architecture("broken")(lambda shapes, num_classes: torch.nn.Linear(1 // 0, 1))
    line = refused(capsys, "--tasks", "tiny_task", "--pairs", pair, "--results-dir", str(tmp_path), *mode)
    assert all(word in line for word in (f"pair {pair}", *words)), line


@pytest.mark.usefixtures("pairs_by_name")
def test_the_second_name_of_a_pair_of_timm_is_looked_at_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    command = ["--tasks", "tiny_task", "--results-dir", str(tmp_path), "--baselines", "kd"]
    line = refused(capsys, *command, "--pairs", "timm:resnet10t-timm:nope")
    assert "timm:resnet10t-timm:nope" in line
    assert "'nope'" in line


def test_a_task_that_names_a_network_that_there_is_not_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyTask, "pairs", lambda self, dataset: {"tiny_big-tiny_small": _pair("lost")})
    assert "'lost'" in refused(capsys, "--tasks", "tiny_task", "--results-dir", str(tmp_path))


@pytest.mark.usefixtures("pairs_by_name")
def test_planning_draws_no_random_number(tmp_path: Path, registry: Registry) -> None:
    before = torch.get_rng_state()
    settings = Settings(
        ("tiny_task",), pairs=("tiny_big-tiny_dropout", "tiny_dropout-tiny_big"), results_dir=tmp_path
    )
    assert make_plan(settings, registry).cohorts
    assert torch.equal(torch.get_rng_state(), before)


def test_a_name_given_twice_is_planned_once(tmp_path: Path, registry: Registry) -> None:
    once = Settings(("tiny_task",), ("stripes",), results_dir=tmp_path)
    twice = Settings(("tiny_task",) * 2, ("stripes",) * 2, results_dir=tmp_path)
    assert make_plan(twice, registry) == make_plan(once, registry)
