"""The example package of plugins: its baseline and its task are there, beside a checkout and a wheel."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from benchmark import Activations, Context, Progress, plugins
from benchmark.cli import main
from benchmark.contracts import Shapes
from benchmark.records import read_record, read_teacher_record
from tests.packaging.commands import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("wheel")]

PACKAGE = "wcord_bench_example"
NAMES = ("--tasks", "far_field", "--baselines", "annealing_kd")
SMALL = ("--seeds", "0", "--epochs", "1", "--teacher-epochs", "1", "--no-probes", "--no-report")


@pytest.fixture
def beside(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sees the package, and imports it anew."""
    monkeypatch.syspath_prepend(example)
    for name in [each for each in sys.modules if each.partition(".")[0] == PACKAGE]:
        monkeypatch.delitem(sys.modules, name)


def check_list(text: str) -> None:
    assert "Task far_field: Far-field listening" in text
    assert "Tones in a noisy room; synthetic, embedded" in text
    assert "Annealing-KD, method, Jafari et al., EACL 2021" in text


def check_run(results: Path) -> None:
    """A command has left one record, and one of its teacher; both name the package."""
    (file,) = (results / "quick" / "runs").glob("*/record.json")
    (taught,) = (results / "teachers").glob("*/record.json")
    record, teacher = read_record(file), read_teacher_record(taught)
    assert record is not None
    assert teacher is not None
    assert (record.status, record.run.task, record.run.baseline) == ("finished", "far_field", "annealing_kd")
    assert len(record.provenance.code_checksum) == 16
    for each in (record, teacher):
        assert each.provenance.versions["wcord-bench-example"] == "1.0.0"


@pytest.mark.usefixtures("beside")
def test_beside_a_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", *NAMES, "--results-dir", str(tmp_path)]) == 0
    check_list(capsys.readouterr().out)
    assert main([*NAMES, *SMALL, "--results-dir", str(tmp_path)]) == 0
    check_run(tmp_path)


@pytest.mark.usefixtures("beside")
def test_what_is_generated_for_the_suite_knows_nothing_of_it() -> None:
    alone = plugins.load(installed_too=False)
    assert "annealing_kd" not in alone.baselines
    assert "far_field" not in alone.tasks
    assert "annealing_kd" in plugins.load().baselines


def test_beside_an_installed_wheel(installed: Path, example: Path, tmp_path: Path) -> None:
    program, places = installed / "venv" / "bin" / "wcord-bench", ("--results-dir", tmp_path)
    check_list(command(program, "--list", *NAMES, *places, cwd=installed, path=example))
    command(program, *NAMES, *SMALL, *places, cwd=installed, path=example)
    check_run(tmp_path)


@pytest.mark.usefixtures("beside")
def test_its_target_grows_to_the_teachers_logits_and_is_left_then() -> None:
    distiller = import_module(f"{PACKAGE}.annealing_kd").AnnealingKD
    shapes = Shapes((3,), (4,))
    method = distiller(Context(shapes, shapes, 3, 8, torch.arange(8) % 3), weight=2.0)
    teacher, student = (
        Activations(torch.randn(5, 3), torch.randn(5, 4), (torch.randn(5, 4),)) for _ in range(2)
    )
    for step, share in ((0, 0.1), (40, 0.55), (79, 1 - 0.9 * (1 - 79 / 80))):
        (term,) = method(teacher, student, {}, Progress(0, 1, step, 100)).values()
        errors = [
            (s - share * t) ** 2
            for ours, theirs in zip(student.logits.tolist(), teacher.logits.tolist(), strict=True)
            for s, t in zip(ours, theirs, strict=True)
        ]
        assert term.item() == pytest.approx(2 * sum(errors) / len(errors), rel=1e-5)
    (late,) = method(teacher, student, {}, Progress(0, 1, 80, 100)).values()
    assert late.item() == 0
