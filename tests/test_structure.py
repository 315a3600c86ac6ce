"""The shape of the house: the engine names no plugin, and the report needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.plugins import Registry

ROOT = Path(__file__).resolve().parent.parent
ENGINE = sorted((ROOT / "benchmark").rglob("*.py"))


@pytest.mark.parametrize("file", ENGINE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_engine_names_no_task_and_no_baseline(file: Path, registry: Registry) -> None:
    names = {*registry.baselines, *registry.tasks, *registry.headline}
    found = [
        f"line {node.lineno}: {node.value!r}"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]
    assert not found


@pytest.mark.parametrize(
    "module", ["benchmark", "benchmark.reporting", "benchmark.settings", "benchmark.running.store"]
)
def test_what_the_report_needs_imports_without_torch(module: str) -> None:
    code = f"import sys; sys.modules['torch'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_plugins_import_only_the_public_names_and_each_other() -> None:
    allowed = (
        "benchmark",
        "benchmark.contracts",
        "benchmark.data.loading",
        "benchmark.data.readers",
        "benchmark.errors",
        "benchmark.models",
    )
    for file in [*(ROOT / "baselines").glob("*.py"), *(ROOT / "tasks").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmark"):
                assert node.module in allowed, f"{file} imports {node.module}"


LAYERS = [
    ("errors", "seeds", "settings"),
    ("contracts",),
    ("plugins",),
    ("models", "data"),
    ("cohorts", "evaluation"),
    ("training",),
    ("overrides", "selection", "grid"),
    ("running", "reporting"),
    ("zoo",),
    ("zoo_page",),
    ("listing", "speed"),
    ("cli",),
]
"""From the ground up; a module imports from its own layer and from those below."""

TORCH_FREE = ("benchmark.errors", "benchmark.running.store", "benchmark.reporting")


def layer_of(module: str) -> int:
    room = module.split(".")[1]
    return next(height for height, rooms in enumerate(LAYERS) if room in rooms)


def imports_of(file: Path) -> set[str]:
    """What a file imports from the engine when it is imported itself; what only type checkers see is left
    out."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmark."):
            found.add(node.module)
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("benchmark.")}
    return found


@pytest.mark.parametrize("file", ENGINE, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    if module == "benchmark.__init__":
        return
    for imported in imports_of(file):
        assert layer_of(imported) <= layer_of(module), f"{module} imports {imported}"
        if module.startswith("benchmark.reporting"):
            assert imported.startswith(TORCH_FREE), f"{module} imports {imported}"
