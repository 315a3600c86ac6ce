"""Plugins of installed packages: found by entry points, refused in one line, named by what they made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark import installed
from benchmark.catalogue.index import key_of
from benchmark.models import architecture, module_of
from benchmark.plugins import Registry
from tests.command import records, run
from tests.test_bad_input import refused
from tests.test_cli import PLUGIN

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package of one module, as pip would, for the time of a test; the module's file."""

    def installed_as(
        package: str, text: str, group: str = installed.BASELINES, value: str | None = None
    ) -> Path:
        module = package.replace("-", "_")
        about = tmp_path / f"{module}-2.5.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {package}\nVersion: 2.5\n")
        (about / "entry_points.txt").write_text(f"[{group}]\nsome = {value or module}\n")
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / f"{module}.py"

    modules = {*sys.modules}
    yield installed_as
    for name in {*sys.modules} - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_what_a_package_brings_trains_and_its_record_names_the_package(
    install: Install, tmp_path: Path
) -> None:
    install("brings-a-baseline", PLUGIN)
    assert run(tmp_path / "results", baselines=("my_method", "scratch")) == 0
    versions = {
        record.run.baseline: record.provenance.versions for record in records(tmp_path / "results").values()
    }
    assert versions["my_method"]["brings-a-baseline"] == "2.5"
    assert "brings-a-baseline" not in versions["scratch"]


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ("import nowhere\n", None, ["ModuleNotFoundError", "nowhere"]),
        (PLUGIN + "\nraise RuntimeError('no such luck')\n", None, ["RuntimeError", "no such luck"]),
        ("def broken(:\n", None, ["SyntaxError"]),
        (PLUGIN.replace("my_method", "kd"), None, ["'kd' is registered twice", "kd.py"]),
        ("", "is_broken:nothing", ["AttributeError", "nothing"]),
        ("", "is_nowhere.at_all", ["ModuleNotFoundError", "is_nowhere"]),
    ],
    ids=["import", "raises", "syntax", "duplicate", "attribute", "module"],
)
@pytest.mark.parametrize("group", [installed.BASELINES, installed.TASKS])
def test_one_that_cannot_be_imported_is_refused_in_one_line_that_names_it(
    text: str, value: str | None, words: list[str], group: str, install: Install, registry: Registry,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    install("is-broken", text, group, value)
    line = refused(capsys, "--tasks", "tiny_task", "--dry-run", "--results-dir", str(tmp_path / "results"))
    assert f"entry point some ({value or 'is_broken'}) of is-broken 2.5 raised " in line
    assert all(word in line for word in words), line
    assert line.strip().endswith("mend that package or uninstall it")
    assert "my_method" not in registry.baselines


def test_the_packages_of_modules_are_those_that_lead_into_them(install: Install) -> None:
    install("first-one", "", value="first_one.baselines:Some")
    install("second-one", "", installed.TASKS)
    assert installed.packages_of(["first_one.losses", "baselines.kd"]) == {"first-one": "2.5"}
    assert installed.packages_of(["first_one", "second_one"]) == {"first-one": "2.5", "second-one": "2.5"}
    assert installed.packages_of(["baselines.kd", ""]) == {}


def test_what_is_kept_of_the_list_is_made_anew_when_a_package_changes(install: Install) -> None:
    keys = [key_of()]
    file = install("comes-later", "x = 1\n")
    keys.append(key_of())
    file.write_text("x = 2\n")
    keys.append(key_of())
    assert len(set(keys)) == 3


def test_the_module_of_an_architecture_is_the_one_that_registered_it() -> None:
    @architecture("made_here")
    def make(shapes, num_classes):
        raise NotImplementedError

    assert module_of("made_here") == __name__
    assert module_of("resnet20").startswith("benchmark.models.")
    assert module_of("timm:resnet18") == module_of("no_such_network") == ""
