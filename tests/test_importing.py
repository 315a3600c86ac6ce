"""Plugins that don't end, that end the program, or that raise what is no error: one line names them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from benchmark import importing
from benchmark.cli import main
from benchmark.importing import VARIABLE, guarded
from benchmark.plugins import Registry, load
from tests.test_bad_input import refused
from tests.test_cli import PLUGIN


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PATIENCE", 0.3)


def plugin(folder: Path, text: str, name: str = "endless.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "x = 1\nwhile True: pass\n",
        "import time\ntime.sleep(1000)\n",
        "def deep():\n    while True: x = 1\n\n\n\n\ndeep()\n",
        "import threading\nthreading.Event().wait()\n",
        "try:\n    while True: pass\nexcept Exception:\n    pass\n",
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_plugin_that_does_not_end_is_named_with_its_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = plugin(tmp_path, text)
    line = refused(capsys, "--tasks", "tiny_task", "--plugin", str(file), "--dry-run")
    assert f"{file} has not been imported after 0.3 s; it stands in line 2: " in line
    assert f"{VARIABLE}=3" in line


@pytest.mark.timeout(60)
def test_one_that_catches_everything_ends_the_program_with_the_same_line(tmp_path: Path) -> None:
    text = "import time\nwhile True:\n    try: time.sleep(100)\n    except BaseException: pass\n"
    file = plugin(tmp_path, text)
    code = (
        "import runpy; from pathlib import Path; from benchmark import importing; importing.PATIENCE = 0.2\n"
        f"file = {str(file)!r}; importing.guarded(lambda: runpy.run_path(file), 'plugin x', Path(file))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "plugin x has not been imported after 0.2 s; it stands in line 3" in done.stderr


@pytest.mark.usefixtures("impatient")
def test_elsewhere_than_in_the_main_thread_a_line_names_what_is_waited_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    thread = threading.Thread(target=lambda: guarded(lambda: time.sleep(0.8), "plugin slow.py"))
    thread.start()
    thread.join()
    assert "warning: plugin slow.py has not been imported after 0.3 s" in capfd.readouterr().err


def test_time_may_be_given_and_alarms_and_interrupts_are_afterwards_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "5")
    monkeypatch.setattr(importing, "PATIENCE", 0.1)
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGALRM)]
    outer = signal.setitimer(signal.ITIMER_REAL, 50)
    try:
        guarded(lambda: time.sleep(0.4), "plugin slow.py")
        left, _ = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
    assert 40 < left < 49.7
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGALRM)] == handlers


def test_a_time_that_is_no_number_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("soon", "nan", "-1", "inf"):
        monkeypatch.setenv(VARIABLE, value)
        assert f"{VARIABLE}={value}" in refused(capsys, "--list")


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ("import sys\nsys.exit(0)", ["SystemExit", "line 2", "exit code 0"]),
        ("raise SystemExit", ["SystemExit", "line 1"]),
        ("raise SystemExit('bye')", ["SystemExit", "bye"]),
        ("raise KeyboardInterrupt", ["KeyboardInterrupt", "line 1"]),
        ("raise GeneratorExit", ["GeneratorExit"]),
        ("class Odd(BaseException): pass\nraise Odd('so\\nso')", ["Odd", "line 2", "so"]),
        ("class Odd(Exception):\n    def __str__(self): 1/0\nraise Odd", ["Odd", "line 3"]),
        ("import benchmark.nothing", ["ModuleNotFoundError", "line 1"]),
        ("def f(:", ["SyntaxError"]),
    ],
)
@pytest.mark.parametrize("mode", [["--list"], ["--dry-run"], []])
def test_a_plugin_that_exits_or_raises_at_import_is_one_line_and_exit_code_2(
    mode: list[str], raised: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = plugin(tmp_path, raised, "leaving.py")
    line = refused(
        capsys, *mode, "--tasks", "tiny_task", "--plugin", str(file), "--results-dir", str(tmp_path / "r")
    )
    assert all(word in line for word in (str(file), *words)), line


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_an_import_blames_no_plugin(
    signum: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"import os, time\nos.kill({os.getpid()}, {int(signum)})\ntime.sleep(5)\n"
    assert main(["--tasks", "tiny_task", "--plugin", str(plugin(tmp_path, text)), "--dry-run"]) == code
    assert "interrupted" in capsys.readouterr().err


def test_what_a_failed_plugin_has_registered_is_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: Registry
) -> None:
    file = plugin(tmp_path, PLUGIN + "\nraise SystemExit(0)\n", "half.py")
    for _ in range(2):  # the second time it would pass for imported
        assert "half.py" in refused(capsys, "--tasks", "tiny_task", "--plugin", str(file), "--dry-run")
        assert "my_method" not in registry.baselines
    file.write_text(PLUGIN)
    assert "my_method" in load((file,)).baselines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "torch.set_default_dtype(torch.float64)",
            "torch's default dtype for everybody: give tensors a dtype",
        ),
        ("torch.set_grad_enabled(False)", "whether gradients are computed for everybody: use 'with"),
    ],
)
def test_a_plugin_that_sets_torch_for_everybody_is_refused(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_default_dtype(), torch.is_grad_enabled()
    file = plugin(tmp_path, f"import torch\n{text}\n{PLUGIN}", "mine.py")
    line = refused(capsys, "--tasks", "tiny_task", "--plugin", str(file), "--dry-run")
    assert str(file) in line
    assert told in line
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == before


def test_a_plugin_is_imported_once_and_its_twin_of_another_folder_beside_it(tmp_path: Path) -> None:
    for folder, name in (("one", "first"), ("two", "second")):
        (tmp_path / folder).mkdir()
        plugin(tmp_path / folder, PLUGIN.replace("my_method", name), "same.py")
    files = tuple(tmp_path / folder / "same.py" for folder in ("one", "two", "one"))
    baselines = load(files).baselines
    assert (baselines["first"].file, baselines["second"].file) == files[:2]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(Distiller)", "", ["derives from Distiller"]),
        ('"my_method", title', '"all", title', ["'all'"]),
        ('"my_method", title', '"../x", title', ["letters, digits"]),
        ('title="My method"', "title=None", ["title is None"]),
        ("weight: float = 2.0", "weight: float", ["'weight' has no default"]),
        ("self, context, *", "self, context, more, *", ["(context, *", "more"]),
        ("self, context, *, weight", "self, context, weight", ["(context, *, hyper-parameters", "'weight'"]),
        (
            "weight: float = 2.0",
            "weight=__import__('benchmark').Range(0, 1)",
            ["'weight' is its Range", "Annotated[TYPE, Range(...)]"],
        ),
        ('frozenset({"logits"})', '"logits"', ["its needs are 'logits'", "frozenset"]),
        ("    needs", "    second_view = 'mixup'\n    needs", ["'mixup'", "'' (none), strong, rotated"]),
        ("batch, progress", "batch", ["forward takes (self, teacher, student, batch, progress)"]),
    ],
)
def test_a_class_that_the_engine_could_not_use_is_refused_with_what_it_should_be(
    old: str, new: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in PLUGIN
    file = plugin(tmp_path, PLUGIN.replace(old, new), "odd.py")
    line = refused(capsys, "--plugin", str(file), "--list")
    assert all(word in line for word in ("odd.py", *words)), line


def test_a_plugin_in_another_encoding_has_a_checksum(tmp_path: Path) -> None:
    file = tmp_path / "latin.py"
    file.write_bytes(b"# -*- coding: latin-1 -*-\nNAME = '\xe9'\n" + PLUGIN.encode())
    assert len(load((file,)).baselines["my_method"].code_checksum) == 16
