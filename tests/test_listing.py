"""--list: complete, filtered, in 80 columns, and there before torch could be imported."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.catalogue import index
from benchmark.cli import main
from benchmark.models import architectures
from benchmark.plugins import Registry

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_TORCH = """
import sys

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise AssertionError("torch is imported")

sys.meta_path.insert(0, Refuses())
from benchmark.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The command in a process that can't import torch."""
TASK = """
from benchmark import task
from tests.tiny_task import TinyTask

@task("own_task", title="A task of one file")
class OwnTask(TinyTask):
    def datasets(self):
        return {"own_data": super().datasets()["stripes"]}

    def pairs(self, dataset):
        return {"big-small": super().pairs(dataset)["tiny_big-tiny_small"]}

    def presets(self):
        from dataclasses import replace
        preset = replace(super().presets()["quick"], datasets=("own_data",), pairs=("big-small",))
        return dict.fromkeys(("quick", "standard", "paper"), preset)
"""


def listed(*arguments: str, folder: Path) -> tuple[str, float]:
    """What --list prints in a process of its own, without torch, and its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "--list", "--results-dir", str(folder), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_the_kept_catalogue_is_that_of_the_code() -> None:
    kept = json.loads(index.COMMITTED.read_text())
    assert kept["key"] == index.key_of(), "run: python -m benchmark.catalogue"


def test_everything_is_listed_in_80_columns_and_two_seconds(tmp_path: Path, registry: Registry) -> None:
    text, seconds = listed(folder=tmp_path)
    assert seconds < 2
    assert max(map(len, text.splitlines())) <= 80
    ours = [name for name, each in registry.tasks.items() if type(each).__module__.startswith("tasks.")]
    for name in (*registry.baselines, *ours, *(d for task in ours for d in registry.tasks[task].datasets())):
        assert name in text
    assert "Headline set (the default): scratch kd" in text
    listed_networks = text.partition("Architectures")[2].partition("Baselines")[0].split()
    assert {name for name in architectures() if not name.startswith("tiny_")} <= set(listed_networks)


def test_a_task_and_baselines_can_be_chosen(tmp_path: Path) -> None:
    text, _ = listed("--tasks", "cross_modal", "--baselines", "fsp+kd", folder=tmp_path)
    assert "nyuv2" in text
    assert "utd_mhad" not in text
    names = [line.strip() for line in text.splitlines() if line.startswith("  ") and line[2] != " "]
    assert names[-2:] == ["kd", "fsp"]
    assert "not cross_modal: " in text
    assert "not privileged" not in text


def test_a_task_of_a_plugin_file_is_listed_with_its_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.py"
    file.write_text(TASK)
    for chosen in ([], ["--tasks", "own_task"]):
        assert main(["--list", "--plugin", str(file), "--results-dir", str(tmp_path), *chosen]) == 0
        text = capsys.readouterr().out
        assert "Task own_task: A task of one file" in text
        assert "own_data" in text
        assert "big-small" in text


@pytest.mark.parametrize(
    "arguments", [("--baselines", "kdd"), ("--tasks", "compresion"), ("--datasets", "cifar")]
)
def test_a_misspelt_name_is_answered_before_torch_is_imported(arguments: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert arguments[1] in done.stderr


def test_help_names_every_setting_in_one_group() -> None:
    from dataclasses import fields

    from benchmark.settings import Settings, flag
    from benchmark.usage import GROUPS, usage

    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(field.name for field in fields(Settings))
    text = usage("python run_all.py", "a_task")
    assert all(flag(name) in text for name in grouped)
    assert "Examples:" in text
    assert "--tasks a_task" in text
    for words in ("--label-fraction SHARE", "--memory-gb NUMBER", "--snapshot-minutes NUMBER"):
        assert words in text, "what a number is called that goes beyond 1"
