"""The command as a user types it: what it prints, what it leaves, and what it says of bad input."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark import Distiller, NotApplicable, baseline
from benchmark.cli import main
from benchmark.plugins import Registry
from benchmark.records import sealed
from tests.command import records, run
from tests.tiny_task import TinyNetwork, TinyTask

PLUGIN = """
import torch.nn.functional as F
from benchmark import Distiller, baseline

@baseline("my_method", title="My method")
class MyMethod(Distiller):
    needs = frozenset({"logits"})

    def __init__(self, context, *, weight: float = 2.0, task_weight: float = 1.0):
        super().__init__(context, task_weight=task_weight)
        self.weight = weight

    def forward(self, teacher, student, batch, progress):
        return {"my_method": self.weight * F.mse_loss(student.logits, teacher.logits)}
"""


def test_a_plugin_file_of_twenty_lines_is_listed_trains_and_stands_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my_method.py"
    file.write_text(PLUGIN)
    assert len(PLUGIN.strip().splitlines()) <= 25
    assert main(["--plugin", str(file), "--list"]) == 0
    assert "my_method" in capsys.readouterr().out
    names = ("scratch", "my_method", "my_method+kd")
    assert (
        run(tmp_path, "--plugin", str(file), "--set", "my_method.weight=3", baselines=names, report=True) == 0
    )
    table = (tmp_path / "t" / "tables" / "tiny_task.md").read_text()
    assert "My method" in table
    by_name = {record.run.baseline: record for record in records(tmp_path).values()}
    assert by_name["my_method"].hyperparameters["weight"] == 3.0
    assert by_name["my_method+kd"].hyperparameters | {"my_method.weight": 3.0, "kd.weight": 1.0} == (
        by_name["my_method+kd"].hyperparameters
    )


def test_the_same_command_again_trains_nothing_and_takes_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, baselines=("scratch", "kd"))
    before = records(tmp_path)
    monkeypatch.setattr("benchmark.training.loop.Loop.run", lambda *_: pytest.fail("it trained"))
    began = time.monotonic()
    assert run(tmp_path, baselines=("scratch", "kd")) == 0
    assert time.monotonic() - began < 20
    assert records(tmp_path) == before


def test_a_dry_run_prints_the_grid_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    capsys.readouterr()
    assert run(tmp_path, "--dry-run", "--seeds", "0", "1", baselines=("scratch", "kd")) == 0
    assert "2 cohorts, 1 teacher, 4 runs: 1 recorded, 3 to do" in capsys.readouterr().out
    assert len(records(tmp_path)) == 1


def test_report_only_rebuilds_every_table_and_figure(tmp_path: Path) -> None:
    run(tmp_path, baselines=("scratch", "kd"), report=True)
    reports = sorted(path for kind in ("tables", "figures") for path in (tmp_path / "t" / kind).iterdir())
    assert len(reports) >= 8
    for path in reports:
        path.unlink()
    assert run(tmp_path, "--report-only", report=True) == 0
    assert all(path.exists() for path in reports)
    assert (tmp_path / "t" / "report.html").exists()


def test_the_jobs_of_a_grid_leave_the_report_to_a_last_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--no-report", report=True) == 0
    assert len(records(tmp_path)) == 1
    assert not (tmp_path / "t" / "report.html").exists()
    assert run(tmp_path, "--no-report", "--report-only", report=True) == 2
    assert (
        "--no-report forbids what --report-only and --figures ask for: leave it out"
        in capsys.readouterr().err
    )
    assert run(tmp_path, "--report-only", report=True) == 0
    assert (tmp_path / "t" / "report.html").exists()


def test_the_figures_of_papers_name_what_is_missing_even_without_any_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--figures", "wcord") == 0
    printed = capsys.readouterr().out
    assert "2012.08674" in printed
    commands = [line for line in printed.splitlines() if "missing: python run_all.py" in line]
    assert commands
    assert all(line.endswith(f"--results-dir {tmp_path} --name t") for line in commands)
    assert not records(tmp_path)


def test_few_labels_bring_pseudo_labels_and_full_labels_along(tmp_path: Path) -> None:
    assert (
        run(tmp_path, "--label-fraction", "0.1", "--teacher-data", "disjoint", baselines=("scratch", "kd"))
        == 0
    )
    stand = {(r.run.baseline, r.condition.label_fraction) for r in records(tmp_path).values()}
    assert stand == {("scratch", 0.1), ("kd", 0.1), ("pseudo_label", 0.1), ("scratch", 1.0)}
    assert {r.condition.teacher_data for r in records(tmp_path).values()} == {"disjoint"}
    assert len({r.teacher.id for r in records(tmp_path).values()}) == 1


def test_yaml_stands_behind_the_command_line_and_before_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 1\nseeds: [4]\nset:\n  kd: {temperature: 2}\n")
    assert run(tmp_path, "--config", str(file), "--seeds", "5", baselines=("kd",)) == 0
    (record,) = records(tmp_path).values()
    assert (record.run.seed, record.condition.epochs) == (5, 1)
    assert record.hyperparameters["temperature"] == 2.0
    assert record.condition.overrides == {"temperature": 2.0}


def test_a_teacher_comes_from_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = TinyNetwork(3, 6, 12)
    torch.save({"model": network.state_dict()}, tmp_path / "teacher.pth")
    assert run(tmp_path, "--teacher-checkpoint", str(tmp_path / "teacher.pth"), baselines=("kd",)) == 0
    assert not (tmp_path / "teachers").exists()
    wrong = TinyNetwork(3, 6, 10)
    torch.save({"model": wrong.state_dict()}, tmp_path / "wrong.pth")
    capsys.readouterr()
    assert run(tmp_path, "--teacher-checkpoint", str(tmp_path / "wrong.pth"), baselines=("kd",)) == 2
    line = capsys.readouterr().err
    assert "stem.weight" in line
    assert "wrong.pth" in line


def test_a_damaged_teacher_is_named_and_trained_again_with_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, baselines=("kd",))
    before = records(tmp_path)
    (weights,) = (tmp_path / "teachers").glob("*/weights.safetensors")
    save_file({"other": torch.zeros(1)}, weights)
    for file in (tmp_path / "t" / "runs").glob("*/record.json"):
        file.unlink()
    run(tmp_path, baselines=("kd",))
    assert "is damaged; training this teacher again" in capsys.readouterr().out
    assert [r.results for r in records(tmp_path).values()] == [r.results for r in before.values()]


def test_a_corrupt_record_is_named_and_its_run_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    before = records(tmp_path)
    (file,) = (tmp_path / "t" / "runs").glob("*/record.json")
    file.write_text(file.read_text()[:100])
    run(tmp_path)
    assert "this run is repeated" in capsys.readouterr().out
    assert [r.results for r in records(tmp_path).values()] == [r.results for r in before.values()]


@pytest.mark.parametrize("kept", ["t/runs", "teachers"])
def test_what_a_later_version_has_recorded_is_not_trained_over(
    kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("--epochs", "1", "--teacher-epochs", "1", "--train-samples", "64")
    run(tmp_path, *short)
    (file,) = (tmp_path / kept).glob("*/record.json")
    file.write_text(json.dumps(sealed({**json.loads(file.read_text()), "schema": 99})))
    before = {each: each.read_bytes() for each in file.parent.iterdir()}
    capsys.readouterr()
    more = ("--seeds", "1") if kept == "teachers" else ()
    assert run(tmp_path, *short, *more) == 2
    told = capsys.readouterr().err
    assert f"{file} was written by a later version: schema 99" in told
    assert "update the suite" in told
    assert {each: each.read_bytes() for each in file.parent.iterdir()} == before


def test_teacher_seeds_are_teachers_of_their_own(tmp_path: Path) -> None:
    assert run(tmp_path, "--teacher-seeds", "0", "1", baselines=("scratch", "kd")) == 0
    found = records(tmp_path).values()
    assert len({record.teacher.id for record in found}) == 2
    assert {record.condition.teacher_seed for record in found} == {0, 1}
    scratch = [r.results.scores["test@last"]["top1"] for r in found if r.run.baseline == "scratch"]
    assert scratch[0] == scratch[1]


def test_a_baseline_has_the_teacher_that_it_learns_from(tmp_path: Path) -> None:
    for kind in ("untrained", "student_architecture"):

        @baseline(f"from_{kind}", title=f"From {kind}")
        class FromAnother(Distiller):
            learns_from = kind

            def forward(self, teacher, student, batch, progress):
                return {"term": (student.logits - teacher.logits).square().mean()}

    assert run(tmp_path, baselines=("kd", "from_untrained", "from_student_architecture")) == 0
    about = {record.run.baseline: record for record in records(tmp_path).values()}
    assert about["from_untrained"].teacher.architecture == about["kd"].teacher.architecture == "tiny_big"
    assert about["from_student_architecture"].teacher.architecture == "tiny_small"
    assert len({record.teacher.id for record in about.values()}) == 3
    assert about["from_untrained"].condition.teacher_epochs is None


def test_bfloat16_trains_and_is_another_run(tmp_path: Path) -> None:
    run(tmp_path, baselines=("wcord",))
    assert run(tmp_path, "--precision", "bf16", baselines=("wcord",)) == 0
    found = list(records(tmp_path).values())
    assert [record.status for record in found] == ["finished", "finished"]
    assert {record.condition.precision for record in found} == {"32", "bf16"}


def test_a_baseline_that_a_pair_cannot_meet_is_recorded_with_the_reason(tmp_path: Path) -> None:
    @baseline("picky", title="Picky")
    class Picky(Distiller):
        def __init__(self, context, **options):
            super().__init__(context, **options)
            raise NotApplicable("it wants the moon")

    assert run(tmp_path, baselines=("picky", "kd"), report=True) == 0
    status = {r.run.baseline: (r.status, r.reason) for r in records(tmp_path).values()}
    assert status == {"picky": ("not_applicable", "it wants the moon"), "kd": ("finished", "")}
    assert "it wants the moon" in (tmp_path / "t" / "tables" / "tiny_task.md").read_text()


def test_a_preset_for_a_shared_teacher_serves_a_disjoint_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = dataclasses.replace(TinyTask().presets()["quick"], teacher_samples=240, train_samples=60)
    monkeypatch.setattr(TinyTask, "presets", lambda self: {"quick": preset})
    assert run(tmp_path, "--teacher-data", "disjoint") == 0
    (record,) = records(tmp_path).values()
    assert (record.about.num_teacher, record.about.num_train) == (120, 54)


def test_records_made_with_other_code_of_a_plugin_are_named_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: Registry
) -> None:
    file = tmp_path / "my_method.py"
    results = tmp_path / "results"
    file.write_text(PLUGIN)
    run(results, "--plugin", str(file), baselines=("my_method",))
    before = records(results)
    (folder,) = (path.name for path in (results / "t" / "runs").iterdir())
    for content, outdated in (
        (PLUGIN + "\n# a remark\n", False),
        (PLUGIN.replace("mse_loss", "l1_loss"), True),
    ):
        del registry.baselines["my_method"]
        file.write_text(content)
        capsys.readouterr()
        assert run(results, "--plugin", str(file), baselines=("my_method",)) == 0
        said = capsys.readouterr().out
        assert ("my_method: 1 of the records" in said) is outdated
        assert (f"to repeat them: {folder}\n" in said) is outdated
    assert records(results) == before
