"""Where a record says that it comes from: the code that was run, and not what is checked out at its end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmark import Distiller, baseline
from benchmark.running import provenance, workers
from benchmark.settings import parse
from tests.command import records, run


@pytest.fixture
def check_out(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts the code, which is at commit `old`, to another one."""
    heads = ["old"]
    answers = {"--show-toplevel": lambda: str(provenance.ROOT), "HEAD": lambda: heads[-1]}
    monkeypatch.setattr(provenance, "_git", lambda *words: answers.get(words[1], str)())
    provenance.code.cache_clear()
    yield heads.append
    provenance.code.cache_clear()


def test_a_record_names_the_commit_that_its_command_began_with(
    tmp_path: Path, check_out: Callable[[str], None]
) -> None:
    @baseline("overtaken", title="Overtaken")
    class Overtaken(Distiller):
        def __init__(self, context):
            super().__init__(context)
            check_out("new")

    arguments = ("--teacher-checkpoint", str(tmp_path / "teacher.safetensors"))
    assert run(tmp_path / "first") == 0
    (weights,) = (tmp_path / "first" / "teachers").rglob("weights.safetensors")
    weights.rename(tmp_path / "teacher.safetensors")
    provenance.code.cache_clear()
    assert run(tmp_path, *arguments, baselines=("overtaken",)) == 0  # no teacher's record is written before
    assert [record.provenance.commit for record in records(tmp_path).values()] == ["old"]


@pytest.mark.parametrize(
    ("file", "clean"),
    [
        ("run.log", True),
        ("notes/plan.md", True),
        ("baselines/mine.py", False),
        ("tasks/mine/__init__.py", False),
        ("run_all.py", False),
    ],
)
def test_a_tree_is_clean_when_what_git_does_not_know_is_no_code(
    file: str, clean: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    for folder in ("benchmark", "baselines", "tasks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "run_all.py").touch()
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.code.__wrapped__()[1] is True
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("changed\n")
    assert provenance.code.__wrapped__()[1] is clean


def test_what_a_file_of_the_user_brought_is_in_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin beside the code, or anywhere else; the built-in baseline beside it is clean."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from benchmark import Distiller, baseline\n\n@baseline('mine', title='Mine')\n"
        "class Mine(Distiller):\n    def forward(self, *given):\n        return {}\n"
    )
    monkeypatch.setattr(provenance, "code", lambda: ("abc", True))
    assert run(tmp_path, "--plugin", str(file), baselines=("scratch", "mine")) == 0
    found = {record.run.baseline: record.provenance.clean for record in records(tmp_path).values()}
    assert found == {"scratch": True, "mine": False}


def test_a_record_names_the_processor_and_the_instructions_that_round_its_sums(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    (name,) = {record.provenance.device_name for record in records(tmp_path).values()}
    model, _, instructions = name.rpartition(", ")
    assert model
    assert instructions == torch.backends.cpu.get_cpu_capability()


def test_a_worker_asks_when_it_begins_and_not_for_its_first_record(
    tmp_path: Path, check_out: Callable[[str], None]
) -> None:
    class Parent:
        def recv(self) -> None:
            check_out("new")

    settings = parse(["--device", "cpu", "--results-dir", str(tmp_path)])
    workers._serve(Parent(), settings, 0)  # pyright: ignore[reportArgumentType]
    assert provenance.origin().commit == "old"
