"""Malformed input of every kind, drawn at random: used correctly, or refused in one line; never a hang."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from benchmark import UserError, installed, plugins
from benchmark.catalogue.grid_listing import print_plan
from benchmark.errors import LONGEST
from benchmark.models import build, load_checkpoint
from benchmark.planning.overrides import parse_overrides
from benchmark.plugins import Registry
from benchmark.settings import Settings, parse
from tests.malformed import (
    CHANGES,
    FLAGS,
    NUMBERS,
    ODD,
    RAW,
    SETS,
    STRUCTURES,
    TARGETS,
    VALUES,
    YAML_TEXTS,
    changes,
    command_lines,
    plugin,
)
from tests.test_cli import PLUGIN

SLOWEST = 10.0
"""Seconds that no input may take; most take milliseconds."""
IMAGE = (3, 8, 8)
counted: dict[str, int] = {}

drawn = settings(
    max_examples=160,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def used_or_refused(use: Callable[[], Any], kind: str) -> bool:
    """Whether the input was refused; anything but a UserError of one short line fails the test."""
    counted[kind] = counted.get(kind, 0) + 1
    began = time.monotonic()
    try:
        use()
    except UserError as error:
        message = str(error)
        assert message.isprintable(), message
        assert 10 < len(message) <= LONGEST, message
        return True
    finally:
        assert time.monotonic() - began < SLOWEST
    return False


@pytest.fixture(autouse=True, scope="module")
def built_in_plugins_once(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The built-in plugins are registered: that they are looked for again in each command is left out.

    Folders of drawn names are made in a folder that is not the checkout.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("here"))
        patch.setattr(plugins, "_modules", lambda package: [])
        patch.setattr(installed, "entry_points", lambda group: ())
        yield


def listed(asked: Settings) -> None:
    """What --dry-run does with these settings."""
    print_plan(asked, Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=80))


def planned(arguments: list[str], results: Path) -> None:
    """What --dry-run does with these arguments, on the tiny task unless they name another."""
    base = ["--tasks", "tiny_task", "--results-dir", str(results), "--baselines", "kd"]
    listed(parse([*base, *arguments]))


@drawn
@given(arguments=command_lines())
def test_command_lines(arguments: list[str], tmp_path: Path) -> None:
    used_or_refused(lambda: planned(arguments, tmp_path), "command lines")


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_with_every_odd_value(name: str, tmp_path: Path) -> None:
    """A third of them for each flag: parsed and checked."""
    values = [*NUMBERS.elements, *ODD.elements]  # pyright: ignore[reportAttributeAccessIssue]
    spelt = "--" + name.replace("_", "-")
    for value in values[FLAGS.index(name) % 3 :: 3]:
        used_or_refused(lambda spelt=spelt, value=value: parse([f"{spelt}={value}"]), "flags")


@drawn
@given(text=YAML_TEXTS, cut=st.integers(0, 40))
def test_yaml_files(text: str, cut: int, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass")[: -cut if cut > 30 else None])
    used_or_refused(lambda: planned(["--config", str(file), "--dry-run"], tmp_path), "YAML files")


@pytest.mark.parametrize("text", RAW.elements)  # pyright: ignore[reportAttributeAccessIssue]
def test_odd_yaml_as_a_value(text: str, registry: Registry) -> None:
    def use() -> None:
        parse_overrides((f"kd.temperature={text}",), registry)

    assert used_or_refused(use, "values of --set")


@drawn
@given(target=TARGETS | st.text(max_size=8), value=VALUES | STRUCTURES.map(str) | RAW, equals=st.booleans())
def test_overrides(target: str, value: str, equals: bool, tmp_path: Path) -> None:
    entry = f"{target}={value}" if equals else target + value
    asked = Settings(("tiny_task",), results_dir=tmp_path, baselines=("kd", "kd+crd"), set=(entry,))

    def use() -> None:
        asked.check()
        listed(asked)

    used_or_refused(use, "--set entries")


def imported(text: str, file: Path, entry: str, results: Path) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    entries = (entry,) if entry else ()
    names = ("my_method", "kd")
    listed(Settings(("tiny_task",), results_dir=results, baselines=names, plugin=(file,), set=entries))


@pytest.fixture
def unregistered(registry: Registry) -> Callable[[], None]:
    """Forgets what plugins have registered since."""
    before = dict(registry.baselines)

    def forget() -> None:
        registry.baselines.clear()
        registry.baselines.update(before)

    return forget


@pytest.mark.parametrize("part", CHANGES)
def test_plugins_with_one_mistake(part: str, tmp_path: Path, unregistered: Callable[[], None]) -> None:
    for number, changed in enumerate(CHANGES[part]):
        for entry in SETS[:2]:
            file = tmp_path / f"plugin{number}.py"
            text = plugin(**{part: changed})
            used_or_refused(lambda t=text, f=file, e=entry: imported(t, f, e, tmp_path), "plugins")
            unregistered()


@settings(drawn, max_examples=150)
@given(
    mistakes=st.fixed_dictionaries({}, optional={part: st.sampled_from(CHANGES[part]) for part in CHANGES}),
    name=st.sampled_from(
        ["a.py", "a b.py", "a+b.py", "é.py", "a.b.py", "kd.py", "-x.py", "noext", "x.txt", "a\nb.py"]
    ),
    entry=st.sampled_from(SETS),
    cut=st.integers(0, 400),
)
def test_plugins(
    mistakes: dict[str, str],
    name: str,
    entry: str,
    cut: int,
    tmp_path: Path,
    unregistered: Callable[[], None],
) -> None:
    text = plugin(**mistakes)
    text = text[:cut] if cut > 300 else text
    used_or_refused(lambda: imported(text, tmp_path / name, entry, tmp_path), "plugins")
    unregistered()


def test_a_sound_plugin_is_used(tmp_path: Path, unregistered: Callable[[], None]) -> None:
    for text in (plugin(), PLUGIN):
        assert not used_or_refused(
            lambda t=text: imported(t, tmp_path / "sound.py", "my_method.weight=3", tmp_path), "sound"
        )
        unregistered()


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build("tiny_small", [IMAGE], 6).state_dict()


@settings(drawn, max_examples=250)
@given(
    change=changes(),
    damage=st.sampled_from(["", "", "flip", "cut", "zip", "legacy"]),
    place=st.floats(0, 1),
    suffix=st.sampled_from([".pth", ".safetensors", ""]),
)
@pytest.mark.filterwarnings("ignore")
def test_checkpoints(
    change: Callable[[dict[str, Any]], Any],
    damage: str,
    place: float,
    suffix: str,
    weights: dict[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    file = tmp_path / f"teacher{suffix}"
    stream = io.BytesIO()
    try:
        torch.save(change(weights), stream, _use_new_zipfile_serialization=damage != "legacy")
    except (NotImplementedError, UnicodeEncodeError, RuntimeError):
        return
    content = bytearray(stream.getvalue())
    at = int(place * (len(content) - 1))
    if damage == "flip":
        content[at] ^= 1 << (at % 8)
    elif damage == "cut":
        del content[at:]
    elif damage == "zip":
        squeezed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(squeezed, "w") as new:
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry), zipfile.ZIP_DEFLATED)
        content = bytearray(squeezed.getvalue())
    file.write_bytes(content)
    network = build("tiny_small", [IMAGE], 6)
    used_or_refused(lambda: load_checkpoint(network, file), "checkpoints")
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())


def test_that_was_a_thousand_inputs() -> None:
    if len(counted) < 8:
        pytest.skip("runs behind the others, in one process")
    assert sum(counted.values()) >= 1000, counted
    assert counted["checkpoints"] >= 150, counted
