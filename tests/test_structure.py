"""The shape of the house: arrows point one way, there is no circle, and the engine names no plugin."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from benchmark.plugins import Registry

ROOT = Path(__file__).resolve().parent.parent
ENGINE = sorted((ROOT / "benchmark").rglob("*.py"))
PLUGINS = [*sorted((ROOT / "baselines").rglob("*.py")), *sorted((ROOT / "tasks").rglob("*.py"))]

LAYERS = [
    (
        "arguments",
        "checksums",
        "errors",
        "interruption",
        "graphs",
        "launching",
        "migration",
        "program",
        "reading",
        "seeds",
        "telling",
        "undisturbed",
        "writing",
        "records",
    ),
    ("contracts",),
    ("settings",),
    ("declarations", "importing", "installed", "plugins"),
    ("ranks",),
    ("data", "models"),
    ("evaluation",),
    ("planning",),
    ("training",),
    ("running", "reporting"),
    ("leaderboard", "merge"),
    ("clusters",),
    ("api", "speed"),
    ("catalogue",),
    ("usage",),
    ("cli",),
    ("distribution",),
]
"""From the ground up; a module imports from its own layer and from those below, inside functions too."""

REPORTING_MAY_IMPORT = (
    "benchmark.checksums",
    "benchmark.errors",
    "benchmark.program",
    "benchmark.records",
    "benchmark.reporting",
    "benchmark.telling",
    "benchmark.writing",
)
PLUGINS_MAY_IMPORT = (
    "benchmark",
    "benchmark.contracts",
    "benchmark.data.feed",
    "benchmark.data.image_files",
    "benchmark.data.kept_samples",
    "benchmark.data.loading",
    "benchmark.data.locating",
    "benchmark.data.mat_files",
    "benchmark.data.parquet_shards",
    "benchmark.data.pictures",
    "benchmark.data.readers",
    "benchmark.data.tar_shards",
    "benchmark.errors",
    "benchmark.graphs",
    "benchmark.models",
)

Graph = dict[str, set[str]]


def name_of(file: Path) -> str:
    """`benchmark/data/__init__.py` -> `benchmark.data`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph_of(sources: Mapping[str, str]) -> Graph:
    """Module -> the modules among `sources` that its text imports, anywhere in it."""
    return {name: {*imports(text, sources.keys())} - {name} for name, text in sources.items()}


def imports(text: str, known: Iterable[str]) -> Iterable[str]:
    """What a text imports of the `known` modules; `from package import module` is the module."""
    known = set(known)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                if module in known or node.module in known:
                    yield module if module in known else node.module


def circles(graph: Graph) -> list[list[str]]:
    """The sets of modules that reach each other (Tarjan), each sorted."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            members = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(members) > 1:
                found.append(sorted(members))

    for name in graph:
        if name not in order:
            visit(name)
    return found


def layer_of(module: str) -> int:
    room = module.split(".")[1]
    return next(height for height, rooms in enumerate(LAYERS) if room in rooms)


def upward(graph: Graph) -> list[str]:
    """The arrows from a lower layer of the engine to a higher one. The engine's own front door has none."""
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others - {"benchmark"})
        if module != "benchmark" and layer_of(other) > layer_of(module)
    ]


@pytest.fixture(scope="module")
def everything() -> dict[str, str]:
    """Every module of ours and its text; the front door, which only hands names out, is left out."""
    files = [file for file in (*ENGINE, *PLUGINS) if name_of(file) != "benchmark"]
    return {name_of(file): file.read_text() for file in files}


def test_no_module_reaches_itself_through_what_it_imports(everything: dict[str, str]) -> None:
    assert circles(graph_of(everything)) == []


def test_arrows_point_down(everything: dict[str, str]) -> None:
    engine = {name: text for name, text in everything.items() if name.startswith("benchmark")}
    assert upward(graph_of(engine)) == []


def test_a_circle_or_an_upward_arrow_inside_a_function_would_be_found(everything: dict[str, str]) -> None:
    late = "\n\ndef later():\n    from benchmark.training import loop\n"
    worse = everything | {"benchmark.data.splits": everything["benchmark.data.splits"] + late}
    graph = graph_of({name: text for name, text in worse.items() if name.startswith("benchmark")})
    assert "benchmark.data.splits imports benchmark.training.loop" in upward(graph)
    own = "\n\ndef later():\n    from benchmark.data.splits import make_splits\n"
    batches = {"benchmark.seeds": everything["benchmark.seeds"] + own}
    assert any("benchmark.seeds" in circle for circle in circles(graph_of(everything | batches)))


def test_the_report_imports_records_and_itself_alone(everything: dict[str, str]) -> None:
    for name, text in everything.items():
        if name.startswith("benchmark.reporting"):
            for imported in imports(text, everything):
                assert imported.startswith(REPORTING_MAY_IMPORT), f"{name} imports {imported}"


def test_the_statistics_know_no_record(everything: dict[str, str]) -> None:
    room = "benchmark.reporting.statistics"
    for name, text in everything.items():
        if name.startswith(room):
            others = {each for each in imports(text, everything) if not each.startswith(room)}
            assert others <= {"benchmark.errors", "benchmark.telling"}, name


def test_plugins_import_only_the_public_names_and_each_other() -> None:
    for file in PLUGINS:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmark"):
                assert node.module in PLUGINS_MAY_IMPORT, f"{file} imports {node.module}"


def test_the_engine_names_no_task_and_no_baseline(registry: Registry) -> None:
    names = {*registry.baselines, *registry.tasks, *registry.headline}
    found = [
        f"{file.relative_to(ROOT)}, line {node.lineno}: {node.value!r}"
        for file in ENGINE
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]
    assert not found


def test_planning_holds_no_tensor_and_no_loaded_data() -> None:
    for file in sorted((ROOT / "benchmark" / "planning").glob("*.py")):
        text = file.read_text()
        imported = {
            getattr(node, "module", None) or alias.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not {name for name in imported if name.split(".")[0] in ("torch", "numpy")}, file


@pytest.mark.parametrize(
    "module",
    [
        "benchmark",
        "benchmark.records",
        "benchmark.leaderboard",
        "benchmark.merge",
        "benchmark.reporting",
        "benchmark.settings",
        "benchmark.usage",
        "benchmark.program",
        "benchmark.cli",
        "benchmark.planning.datasets",
        "benchmark.planning.specs",
        "benchmark.catalogue.listing",
    ],
)
def test_what_needs_no_torch_imports_without_it(module: str) -> None:
    code = f"import sys; sys.modules['torch'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_lazy_name_is_typed_where_it_is_exported() -> None:
    for package in ("benchmark", "benchmark.contracts", "benchmark.reporting"):
        file = ROOT / Path(*package.split(".")) / "__init__.py"
        tree = ast.parse(file.read_text())
        typed = {
            alias.asname
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname
        }
        code = f"import {package} as p; print(*sorted(p._HOMES))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        assert typed == set(done.stdout.split())


def test_folders_of_tests_are_packages_so_that_names_may_repeat() -> None:
    # Without `__init__.py` pytest imports by base name, and a second file of one name ends the collection.
    folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py")}
    assert [each for each in sorted(folders) if not (each / "__init__.py").exists()] == []
