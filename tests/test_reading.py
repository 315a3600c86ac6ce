"""Files that a user names and the YAML in them: only regular files are opened, and little time is spent."""

from __future__ import annotations

import os
import pickle
import re
import socket
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path

import pytest

from benchmark.errors import LONGEST, Unreadable, UserError, told_of_file
from benchmark.reading import DEEPEST, parse_yaml
from benchmark.settings import parse
from tests.test_bad_input import refused

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine to the ninth values."""


@pytest.fixture
def odd_files() -> Iterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory() as place:  # a socket's path must be short
        folder = Path(place)
        os.mkfifo(folder / "a.pipe")
        (folder / "a.folder").mkdir()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "a.socket"))
            yield {
                "named pipe": folder / "a.pipe",
                "folder": folder / "a.folder",
                "socket": folder / "a.socket",
                "device": Path("/dev/zero"),
            }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["named pipe", "folder", "socket", "device"])
@pytest.mark.parametrize("setting", ["--config", "--plugin", "--teacher-checkpoint"])
def test_what_is_no_regular_file_is_named_and_never_opened(
    setting: str, kind: str, odd_files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode in (["--dry-run"], []):
        base = ["--tasks", "tiny_task", "--baselines", "kd", "--results-dir", str(tmp_path), *mode]
        line = refused(capsys, *base, setting, str(odd_files[kind]))
        assert str(odd_files[kind]) in line
        assert f"is a {kind}" in line


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "word"),
    [
        (LAUGHS, "10,000 values"),
        (f"x: &x {'y' * 1000}\nz: [{'*x, ' * 900}]", "262,144 characters"),
        ("a: &a {<<: {b: 1}}\n" + "b: &b {<<: [*a, *a]}\n" * 1 + "c: " + "[" * 50, "20 deep"),
        ("[" * 100_000, f"{DEEPEST} deep"),
        ("? " * 100_000, f"{DEEPEST} deep"),
        ("- " * 100_000, f"{DEEPEST} deep"),
        ("x: [" + "1, " * 60_000 + "]", "10,000 values"),
        ("x: " + "y" * 300_000, "262,144"),
        ("a: &a [*a]", "*a stands for what contains it"),
        ("epochs: 1\nepochs: 2", "'epochs' is given twice"),
        ("epochs: 0x" + "f" * 400, "64 bits"),
        ("epochs: " + "9" * 5000, "doesn't fit its type"),
        ("name: 2021-13-45", "doesn't fit its type"),
        ("epochs: !!bool maybe", "doesn't fit its type"),
        ("tasks: !!python/object/apply:os.mkdir [made]", "python/object/apply:os.mkdir"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_yaml_that_stands_for_too_much_or_for_code_is_refused_soon_and_in_little_memory(
    text: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text(text)
    began = time.monotonic()
    line = refused(capsys, "--config", "settings.yaml", "--dry-run")
    assert time.monotonic() - began < 15
    assert "settings.yaml" in line
    assert len(line) < LONGEST + 50
    if len(text) < 10_000:  # a trace makes long ones slow
        tracemalloc.start()
        with pytest.raises(ValueError, match=re.escape(word)):
            parse_yaml(text)
        assert tracemalloc.get_traced_memory()[1] < 50e6
        tracemalloc.stop()
    assert not (tmp_path / "made").exists()
    value = text.replace("\n", " ") if text is not LAUGHS else "{" + LAUGHS.replace("\n", ", ") + "}"
    if "given twice" not in word and ": " in text and len(text) < 100_000:
        assert "kd.weight" in refused(capsys, "--tasks", "tiny_task", "--set", f"kd.weight={value}")


def test_what_people_write_is_read(tmp_path: Path) -> None:
    text = "base: &b {epochs: 3}\nset: {kd: {temperature: 2}}\nother: {<<: *b, jobs: 1}\nagain: *b\n"
    assert parse_yaml(text) == {
        "base": {"epochs": 3},
        "set": {"kd": {"temperature": 2}},
        "other": {"epochs": 3, "jobs": 1},
        "again": {"epochs": 3},
    }
    assert parse_yaml("") is None
    file = tmp_path / "settings.yaml"
    file.write_bytes("﻿name: Zürich\nseeds: [0, 1]\nset:\n  kd: {weight: 1e-3}\n".encode())
    settings = parse(["--config", str(file)])
    assert (settings.name, settings.seeds, settings.set) == ("Zürich", (0, 1), ("kd.weight=1e-3",))


def test_false_in_a_file_switches_off_what_is_on_by_default(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("report: false\nprobes: false\ndownload: false\ncorruptions: true\nepochs: null\n")
    settings = parse(["--config", str(file)])
    assert (settings.report, settings.probes, settings.download, settings.corruptions) == (
        False,
        False,
        False,
        True,
    )
    assert parse(["--config", str(file), "--probes"]).probes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs: true", ["epochs", "give a value"]),
        ("report: 1", ["report", "true or false"]),
        ("list: []", ["list", "true or false"]),
        ("tasks: [--list]", ["tasks", "'--list'", "does not begin with '-'"]),
        ("seeds: {a: 1}", ["seeds", "a list of values"]),
        ("label-fraction: 0.5\nlabel_fraction: 0.1", ["label_fraction", "twice"]),
        ("epochs: many", ["epochs", "many"]),
        ('results_dir: "a\\0b"', ["--results-dir", "can't be printed"]),
        ('name: "a\\nb"', ["--name", "can't be printed"]),
    ],
)
def test_a_value_of_the_wrong_kind_in_a_file_is_named(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    line = refused(capsys, "--config", str(file), "--dry-run")
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    "problem", [UserError("a"), Unreadable("b"), told_of_file(OSError(ENOSPC, "full", "c"))]
)
def test_a_message_comes_whole_from_another_process(problem: UserError) -> None:
    there = pickle.loads(pickle.dumps(problem))
    assert (type(there), str(there)) == (type(problem), str(problem))


def test_a_message_is_one_printable_line_of_bounded_length_whatever_it_quotes() -> None:
    assert str(UserError("a\nb\r\n\x1b[31mc\udcff é")) == r"a b \x1b[31mc\udcff é"
    long = str(UserError("begin " + "\x00" * 10_000 + " end"))
    assert len(long) <= LONGEST
    assert long.startswith("begin")
    assert long.endswith("end")
    assert " [...] " in long
