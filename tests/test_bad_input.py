"""Bad input: one clear line that names the thing and the remedy, exit code 2, no traceback."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import benchmark.catalogue.__main__
import benchmark.reporting.documents.__main__ as documents
import benchmark.speed.__main__ as speed
from benchmark import deferred, leaderboard, plugins
from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.models import architectures
from benchmark.planning.hyperparameters import learns_from
from benchmark.plugins import Registry
from benchmark.reporting import archive
from tests.command import BARE, TINY
from tests.test_cli import PLUGIN


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line with which a command is refused; checks that it is one line, and the exit code."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "tiny_tusk"], ["task", "tiny_tusk", "tiny_task"]),
        (["--tasks", "tiny_task", "--datasets", "strips"], ["dataset", "strips", "stripes"]),
        (["--tasks", "tiny_task", "--pairs", "tiny_big-tiny_smal"], ["pair", "tiny_big-tiny_small"]),
        (["--tasks", "tiny_senses", "--folds", "first", "secnd"], ["fold", "secnd", "did you mean second"]),
        (
            ["--tasks", "compression", "--pairs", "resnet20-resnet8x"],
            ["unknown network 'resnet8x': did you mean resnet8", "pair 'resnet20-resnet8x'"],
        ),
        (["--tasks", "tiny_task", "--baselines", "crdd"], ["baseline", "crdd", "did you mean", "crd"]),
        (["--tasks", "tiny_task", "--baselines", "mine"], ["'mine'", "your own: give --plugin FILE"]),
        (["--tasks", "tiny_task", "--baselines", "kd+kd"], ["kd+kd", "itself"]),
        (["--tasks", "tiny_task", "--baselines", "kd,crd"], ["'kd,crd'", "by itself: kd crd"]),
        (["--tasks", "tiny_task", "--baselines", "KD scratch"], ["'KD scratch'", "by itself: kd scratch"]),
        (["--tasks", "tiny_task", "--baselines", "kd+"], ["'kd+'", "lacks a part"]),
        (["--tasks", "tiny_task", "--baselines", "all+kd"], ["'all+kd'", "'all' stands by itself"]),
        (["--tasks", "tiny_task", "--baselines", "alll"], ["'alll'", "did you mean all?"]),
        (["--tasks", "tiny_task", "--set", "kd.temprature=1"], ["temprature", "temperature"]),
        (["--tasks", "tiny_task", "--set", "kd.temperature=warm"], ["kd.temperature=warm", "float"]),
        (["--tasks", "tiny_task", "--set", "recipe.optimizer=adam"], ["recipe.optimizer=adam", "adamw"]),
        (["--tasks", "tiny_task", "--set", "nonsense"], ["nonsense", "VALUE"]),
        (
            ["--tasks", "tiny_task", "--set", "kd.weight=0.1", "kd.weight=0.2"],
            ["kd.weight=0.2", "twice", "give the command once for each"],
        ),
        (["--tasks", "tiny_task", "--set", "kd.weight=0.1,1"], ["'0.1,1'", "give the command once for each"]),
        (["--tasks", "tiny_task", "--set", "kd.weight=[0.1, 1]"], ["[0.1, 1]", "command once for each"]),
        (["--tasks", "tiny_task", "--set", "recipe.schedule=step"], ["recipe.schedule=step", "steps"]),
        (["--tasks", "tiny_task", "--set", "recipe.milestones=[2]"], ["milestones", "0 to 1"]),
        (["--tasks", "tiny_task", "--set", "recipe.momentum=7"], ["momentum", "7"]),
        (
            ["--tasks", "tiny_task", "--set", "recipe.nesterov=true", "recipe.momentum=0"],
            ["--set recipe.nesterov=True recipe.momentum=0.0: ", "give nesterov=false"],
        ),
        (
            ["--tasks", "tiny_task", "--set", "teacher_recipe.nesterov=true", "teacher_recipe.momentum=0"],
            ["--set teacher_recipe.nesterov=True teacher_recipe.momentum=0.0: ", "give nesterov=false"],
        ),
        (
            ["--tasks", "tiny_task", "--set", "kd.own_recipe.nesterov=true", "kd.own_recipe.momentum=0"],
            ["--set kd.own_recipe.nesterov=True kd.own_recipe.momentum=0.0: ", "give nesterov=false"],
        ),
        (["--tasks", "tiny_task", "--set", "recipe.decay=[1"], ["recipe.decay=[1", "can't be read"]),
        (["--tasks", "tiny_task", "--train-samples", "9999"], ["--train-samples 9999", "only 240"]),
        (["--epochs", "0"], ["--epochs 0"]),
        (["--label-fraction", "1.5"], ["--label-fraction 1.5"]),
        (["--seeds", "1", "1"], ["--seeds 1 1"]),
        (["--name", "a/b"], ["--name a/b"]),
        (["--device", "tpu"], ["--device tpu", "auto, cpu"]),
        (["--tasks", "tiny_task", "--device", "cuda:²"], ["--device cuda:²", "cuda:N"]),
        (["--list", "--dry-run"], ["--list", "--dry-run"]),
        (
            ["--teacher-checkpoint", "t.pth", "--teacher-epochs", "3"],
            ["--teacher-checkpoint", "--teacher-epochs"],
        ),
        (["--tasks", "tiny_task", "--teacher-checkpoint", "none.pth"], ["none.pth"]),
        (["--download"], ["--download", "--data-dir"]),
        (["--config", "none.yaml"], ["none.yaml"]),
        (["--plugin", "none.py"], ["none.py"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_that_names_it(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *arguments, "--results-dir", str(tmp_path))
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "many"], ["--epochs 'many': give a whole number"]),
        (["--seeds", "0.5", "1"], ["--seeds '0.5', '1': give whole numbers, each by itself"]),
        (["--teacher-seeds", "x"], ["--teacher-seeds 'x': give whole numbers, each by itself"]),
        (["--jobs", "two"], ["--jobs 'two': give a whole number"]),
        (["--label-fraction", "10%"], ["--label-fraction '10%': give a number"]),
        (["--memory-gb", "4G"], ["--memory-gb '4G': give a number"]),
        (["--figures"], ["--figures: it has no value"]),
        (["--tasks", "tiny_task", "--baselines"], ["--baselines: it has no value"]),
        (["--tasks", "tiny_task", "--device", "gpu"], ["--device gpu", "cuda:N"]),
        (["--no-such-flag"], ["--no-such-flag"]),
        (["--epoch", "3"], ["--epoch", "did you mean --epochs"]),
        (["--preset", "huge"], ["--preset", "huge", "quick"]),
        (["--epochs"], ["--epochs"]),
        (["--epochs", "9" * 400], ["--epochs", "2147483647"]),
        (["--seeds", "9" * 400], ["--seeds"]),
        (["--tune", "1000000"], ["--tune", "1000"]),
        (["--jobs", "1000000"], ["--jobs", "1024"]),
        (["--name", "x" * 300], ["--name", "200"]),
        (["--name", "é" * 101], ["--name", "200 bytes"]),
        (["--results-dir", "a\nb"], ["--results-dir", "can't be printed"]),
        (["--name", "\udcff"], ["--name", "can't be printed"]),
        (["--tasks", "tiny_task", "--set", f"kd.temperature={'9' * 400}"], ["kd.temperature"]),
        (["--tasks", "tiny_task", "--set", "kd.temperature=.inf"], ["kd.temperature=.inf", "finite"]),
        (["--tasks", "tiny_task", "--set", "kd.temperature=nan"], ["kd.temperature=nan", "finite"]),
        (["--tasks", "tiny_task", "--set", "recipe.learning_rate=1e999"], ["learning_rate", "finite"]),
        (["--tasks", "tiny_task", "--set", f"recipe.epochs={'9' * 400}"], ["recipe.epochs"]),
        (["--tasks", "tiny_task", "--set", "recipe.milestones=[true]"], ["milestones", "0 to 1"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_malformed_flags_and_numbers_get_one_line_too(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *arguments, "--dry-run")
    assert all(word in line for word in words), line
    assert len(line) < 700


def test_a_plugin_that_raises_on_import_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "broken.py"
    file.write_text("raise RuntimeError('no luck')")
    line = refused(capsys, "--plugin", str(file), "--list")
    assert "broken.py" in line
    assert "no luck" in line


def test_a_plugin_that_registers_nothing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bare.py"
    file.write_text(re.sub("@baseline.*", "", PLUGIN))
    line = refused(capsys, "--plugin", str(file), "--tasks", "tiny_task", "--dry-run")
    assert f"{file} registers nothing: is @baseline" in line


def test_a_file_in_baselines_that_registers_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import baselines

    file = tmp_path / "bare_baseline.py"
    file.write_text(re.sub("@baseline.*", "", PLUGIN))
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    found = plugins._modules
    monkeypatch.setattr(
        plugins, "_modules", lambda package: [*found(package), *([file] if package == "baselines" else [])]
    )
    for _ in range(2):
        with pytest.raises(UserError, match=f"{file} registers nothing: is @baseline"):
            plugins.load()
    file.write_text(PLUGIN)
    assert file in {each.file for each in plugins.load().baselines.values()}


def test_a_plugin_of_an_architecture_alone_can_be_given_time_and_again(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("from benchmark import architecture\n\nbuild = architecture('net')(lambda *_: None)\n")
    for _ in range(2):
        plugins.load((file,))
        assert "net" in architectures()


def test_a_mistake_in_a_datasets_reader_is_named_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slips.py").write_text("def load(request):\n    return {}['samples']\n")
    task = plugins.registry.task("tiny_task")
    cards = {name: replace(card, load=deferred("slips", "load")) for name, card in task.datasets().items()}
    monkeypatch.setattr(type(task), "datasets", lambda self: cards)
    line = refused(capsys, "--tasks", "tiny_task", "--results-dir", str(tmp_path))
    assert (
        f"stripes of task tiny_task: its reader raised KeyError ({tmp_path}/slips.py, line 2): 'samples'"
        in line
    )
    lost = {name: replace(card, load=deferred("slips_", "load")) for name, card in task.datasets().items()}
    monkeypatch.setattr(type(task), "datasets", lambda self: lost)
    line = refused(capsys, "--tasks", "tiny_task", "--results-dir", str(tmp_path))
    assert "ModuleNotFoundError" in line
    assert "slips_" in line


def test_a_duplicate_name_is_refused_and_both_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "twin.py"
    file.write_text(PLUGIN.replace("my_method", "kd"))
    line = refused(capsys, "--plugin", str(file), "--list")
    assert "twin.py" in line
    assert "kd.py" in line


@pytest.mark.parametrize("content", ["epochs: [", "- 1", "epoch: 3"])
def test_a_bad_yaml_file_is_named(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    assert "bad.yaml" in refused(capsys, "--config", str(file))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("epochs: [1, 2]", "epochs: [1, 2]: give one value"),
        ("data_dir: [a, b]", "data_dir: ['a', 'b']: give one value"),
        ("seeds: 0 1", "--seeds '0 1': give whole numbers, each by itself"),
        ("learning_rate: 0.1", "unknown setting 'learning_rate': see them all with run_all.py --help"),
    ],
)
def test_a_value_in_a_yaml_file_that_is_none_is_named(
    content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    assert f"--config {file}: {told}" in refused(capsys, "--config", str(file))


def test_an_unwritable_results_folder_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    line = refused(capsys, "--tasks", "tiny_task", "--results-dir", str(tmp_path / "file"))
    assert "--results-dir" in line


@pytest.mark.parametrize(
    ("obstacle", "more"),
    [("runs", ()), ("runs", ("--jobs", "2")), ("trials", ("--tune", "2")), ("tuned", ("--tune", "2"))],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
@pytest.mark.usefixtures("quick_workers")
def test_a_file_in_the_place_of_a_folder_is_named(
    obstacle: str, more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / obstacle).touch()
    line = refused(capsys, *TINY, *BARE, "--results-dir", str(tmp_path), "--baselines", "scratch", *more)
    assert f"{tmp_path / 't' / obstacle}: File exists; " in line


def test_a_disk_that_is_full_is_told_wherever_that_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr("benchmark.running.tuning.write_whole", full)
    given = ("--results-dir", str(tmp_path), "--baselines", "scratch", "--tune", "2", "--epochs", "1")
    line = refused(capsys, *TINY, *BARE, *given)
    assert ".yaml: No space left on device; make room and start the same command again" in line


def test_slurm_is_not_asked_where_nothing_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    given = ("--executor", "slurm", "--results-dir", str(tmp_path / "file" / "x"))
    assert "give another --results-dir" in refused(capsys, "--tasks", "tiny_task", *given)


@pytest.mark.parametrize("mode", [(), ("--report-only",)], ids=["run", "report"])
def test_runs_in_a_folder_that_can_not_be_written_have_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    def read_only(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    (tmp_path / "t" / "runs").mkdir(parents=True)
    monkeypatch.setattr(Path, "touch", read_only)
    line = refused(capsys, *TINY, "--results-dir", str(tmp_path), *mode)
    assert "Read-only file system; give another --results-dir DIR, after " in line
    assert f"python -m benchmark.merge {tmp_path}/t --into DIR/t" in line


def test_a_composition_of_more_than_a_folder_can_be_named_is_refused_when_planned(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [b.name for b in registry.baselines.values() if learns_from((b,)) == "trained"]
    together = "+".join(names[:60])
    assert len(together) > 255
    line = refused(capsys, "--tasks", "tiny_task", "--baselines", together, "--dry-run")
    assert "compose fewer baselines" in line


def test_a_report_without_records_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "record" in refused(capsys, "--report-only", "--results-dir", str(tmp_path), "--name", "nothing")


def test_an_unknown_list_of_a_papers_figures_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "--figures", "wcrod")
    assert "'wcrod'" in line
    assert "wcord" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_results_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert "can't be written" in refused(capsys, "--tasks", "tiny_task", "--results-dir", str(tmp_path / "r"))


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        (benchmark.catalogue.__main__, ["--help"], "benchmark.catalogue: --help: it takes no arguments"),
        (documents, ["docs"], "benchmark.reporting.documents: docs: it takes no arguments"),
        (archive, ["--help"], "benchmark.reporting.archive: --help: give one or more"),
        (archive, [], "benchmark.reporting.archive: no results folder: give one or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_has_no_flags_writes_nothing_when_it_is_given_one(
    module: ModuleType, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(arguments) == 2
    output, errors = capsys.readouterr()
    assert not output
    assert errors.startswith(told)
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "busy", "arguments"),
    [
        (archive, "pack", ["folder"]),
        (documents, "ExitStack", []),
        (leaderboard, "check", ["check", "folder"]),
        (speed, "report_of", ["--pair", "tiny_big-tiny_small", "--device", "cpu"]),
    ],
    ids=lambda value: "",
)
@pytest.mark.parametrize(
    ("trouble", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 2, "a/b: Permission denied; mend that"),
    ],
    ids=["interrupted", "denied"],
)
def test_other_commands_end_with_one_line_too(
    module: ModuleType, busy: str, arguments: list[str], trouble: BaseException, code: int, line: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def troubled(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(module, busy, troubled)
    assert module.main(arguments) == code
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told
