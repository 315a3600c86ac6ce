"""Finds baselines and tasks: files in baselines/, folders in tasks/, entry points, and files given with
--plugin."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from benchmark.contracts import Choice, Distiller, Range, Task
from benchmark.errors import UserError, unknown

ROLES = ("method", "control", "reference")
NEEDS = frozenset({"logits", "embedding", "maps", "preactivations", "labels"})
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Hyperparameter:
    """A keyword argument of a baseline: its default, its type, and its search range where it declares one."""

    name: str
    default: Any
    type: type
    search: Range | Choice | None = None


@dataclass(frozen=True)
class Baseline:
    """A registered baseline and what tables and pages say of it.

    anchor       the row that differences are taken to (normalised score 0)
    companion    "few_labels": stands in every few-label table; "all_labels": the same, trained on all labels
    """

    name: str
    title: str
    role: str
    distiller: type[Distiller]
    file: Path
    paper: str = ""
    arxiv: str = ""
    anchor: bool = False
    companion: str = ""
    hyperparameters: dict[str, Hyperparameter] = field(default_factory=dict)

    @property
    def year(self) -> str:
        """The year that `paper` names; empty where it names none."""
        found = re.findall(r"\b(?:19|20)\d\d\b", self.paper)
        return found[-1] if found else ""

    @cached_property
    def code_checksum(self) -> str:
        """16 hexadecimal digits of the SHA-256 of its code: its file and what that imports from the files
        beside it; comments and layout don't count."""
        code = "".join(ast.dump(tree) for _, tree in sorted(_sources(self.file, {}).items()))
        return hashlib.sha256(code.encode()).hexdigest()[:16]


def _sources(file: Path, found: dict[str, ast.Module]) -> dict[str, ast.Module]:
    """The syntax trees of a file and of the files in its folder that it imports, by name."""
    if file.name not in found:
        tree = found[file.name] = ast.parse(file.read_text())
        for node in ast.walk(tree):
            beside = file.with_name(f"{(getattr(node, 'module', None) or '').rpartition('.')[2]}.py")
            if isinstance(node, ast.ImportFrom) and beside.is_file():
                _sources(beside, found)
    return found


@dataclass
class Registry:
    """Every plugin that was found, by name."""

    baselines: dict[str, Baseline] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    headline: tuple[str, ...] = ()

    def baseline(self, name: str) -> Baseline:
        if name not in self.baselines:
            raise unknown("baseline", name, self.baselines)
        return self.baselines[name]

    def parts(self, name: str) -> tuple[Baseline, ...]:
        """The baselines that a name such as `crd+kd` is made of."""
        parts = tuple(self.baseline(part) for part in name.split("+"))
        if len({part.name for part in parts}) < len(parts):
            raise UserError(f"baseline {name!r} composes a baseline with itself: name each part once")
        return parts

    def task(self, name: str) -> Task:
        if name not in self.tasks:
            raise unknown("task", name, self.tasks)
        return self.tasks[name]


registry = Registry()


def baseline(
    name: str,
    *,
    title: str,
    role: str = "method",
    paper: str = "",
    arxiv: str = "",
    anchor: bool = False,
    companion: str = "",
) -> Callable[[type[Distiller]], type[Distiller]]:
    """Registers a Distiller under `name` (keywords: see `Baseline`); ValueError if the name is taken."""

    def register(distiller: type[Distiller]) -> type[Distiller]:
        file = Path(inspect.getfile(distiller)).resolve()
        if role not in ROLES:
            raise ValueError(f"{file}: baseline {name!r} has role {role!r}; known roles: {', '.join(ROLES)}")
        if "+" in name or "." in name:
            raise ValueError(f"{file}: baseline name {name!r} may hold neither '+' nor '.'")
        if extra := distiller.needs - NEEDS:
            raise ValueError(f"{file}: baseline {name!r} needs unknown {', '.join(sorted(extra))}")
        _refuse_duplicate("baseline", name, file, registry.baselines.get(name))
        registry.baselines[name] = Baseline(
            name, title, role, distiller, file, paper, arxiv, anchor, companion, hyperparameters_of(distiller)
        )
        return distiller

    return register


def task(name: str, *, title: str) -> Callable[[type[Task]], type[Task]]:
    """Registers a Task class under `name`. Raises ValueError on a duplicate name."""

    def register(plugin: type[Task]) -> type[Task]:
        file = Path(inspect.getfile(plugin)).resolve()
        _refuse_duplicate("task", name, file, registry.tasks.get(name))
        plugin.name, plugin.title = name, title
        instance = plugin()
        registry.tasks[name] = instance
        return plugin

    return register


def _refuse_duplicate(kind: str, name: str, file: Path, found: Baseline | Task | None) -> None:
    if found is None:
        return
    other = found.file if isinstance(found, Baseline) else Path(inspect.getfile(type(found))).resolve()
    raise ValueError(f"{kind} {name!r} is registered twice: in {other} and in {file}")


def hyperparameters_of(distiller: type[Distiller]) -> dict[str, Hyperparameter]:
    """The keyword arguments of a distiller, those it passes on to its base classes included."""
    found: dict[str, Hyperparameter] = {}
    for cls in reversed(distiller.__mro__):
        constructor = cls.__dict__.get("__init__")
        if constructor is None or not issubclass(cls, Distiller):
            continue
        hints = typing.get_type_hints(constructor, include_extras=True)
        signature = inspect.signature(constructor)
        if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            found = {}
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                hint = hints.get(parameter.name, type(parameter.default))
                kind, *extras = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
                search = next((each for each in extras if isinstance(each, Range | Choice)), None)
                found[parameter.name] = Hyperparameter(parameter.name, parameter.default, kind, search)
    return found


def load(plugin_files: tuple[Path, ...] = ()) -> Registry:
    """Imports every plugin once and returns the registry. A plugin that can't be imported is a UserError."""
    _make_importable()
    for folder, package in ((ROOT / "baselines", "baselines"), (ROOT / "tasks", "tasks")):
        modules = sorted(
            path
            for path in folder.iterdir()
            if not path.name.startswith(("_", "."))
            and (path.suffix == ".py" or (path / "__init__.py").exists())
        )
        for module in modules:
            _import(f"{package}.{module.stem}", module)
    for group in ("wcord_bench.baselines", "wcord_bench.tasks"):
        for entry in entry_points(group=group):
            _guarded(entry.load, f"entry point {entry.name} ({entry.value})")
    for file in plugin_files:
        _import_file(file)
    registry.headline = importlib.import_module("baselines").HEADLINE
    return registry


def _make_importable() -> None:
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


def _import(module: str, path: Path) -> None:
    _guarded(lambda: importlib.import_module(module), f"plugin {path}")


def _import_file(file: Path) -> None:
    file = file.resolve()
    if not file.is_file():
        raise UserError(f"plugin file {file} does not exist")
    if any(known.file == file for known in registry.baselines.values()):
        return
    name = f"wcord_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin file {file} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _guarded(lambda: spec.loader.exec_module(module), f"plugin {file}")


def _guarded(action: Callable[[], Any], what: str) -> None:
    try:
        action()
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")
        raise UserError(f"{what} raised {type(error).__name__} on import: {line}") from error
