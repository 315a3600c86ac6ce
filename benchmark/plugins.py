"""Finds baselines and tasks: files in baselines/, folders in tasks/, entry points, and files given with
--plugin; checks what they declare. Nothing here needs torch until a baseline is imported."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.abc import Loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from benchmark import installed
from benchmark.contracts import Task
from benchmark.declarations import ROLES as ROLES
from benchmark.declarations import Baseline as Baseline
from benchmark.declarations import Companion as Companion
from benchmark.declarations import Hyperparameter as Hyperparameter
from benchmark.declarations import check_baseline, check_task
from benchmark.declarations import hyperparameters_of as hyperparameters_of
from benchmark.errors import UserError, unknown
from benchmark.importing import guarded
from benchmark.program import ROOT
from benchmark.reading import check_regular, read_bytes
from benchmark.records import Role

if TYPE_CHECKING:
    from benchmark.contracts import Distiller

LIBRARY = ROOT / "baselines" / "losses.py"
"""The one module beside the baselines that registers none: it hands out their functions."""
COMPARISONS = ROOT / "baselines" / "_comparisons.py"
"""What times the parts that baselines share beside other code; imported by `benchmark.speed` alone."""
LARGEST_PLUGIN = 10_000_000
"""Bytes of a plugin file."""
PLUGIN_REMEDY = "give the path of a Python file"


@dataclass
class Registry:
    """Every plugin that was found, by name; an architecture is the function that builds its networks."""

    baselines: dict[str, Baseline] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    architectures: dict[str, Callable[..., Any]] = field(default_factory=dict)
    headline: tuple[str, ...] = ()

    def baseline(self, name: str) -> Baseline:
        if name not in self.baselines:
            raise unknown("baseline", name, self.baselines)
        return self.baselines[name]

    def parts(self, name: str) -> tuple[Baseline, ...]:
        """The baselines that a name such as `crd+kd` is made of."""
        parts = tuple(self.baseline(part) for part in parts_of(name))
        if len({part.name for part in parts}) < len(parts):
            raise UserError(f"baseline {name!r} composes a baseline with itself: name each part once")
        return parts

    def task(self, name: str) -> Task:
        if name not in self.tasks:
            raise unknown("task", name, self.tasks)
        return self.tasks[name]

    def kept(self) -> tuple[dict[str, Any], ...]:
        """What is registered now, for `restore`."""
        return dict(self.baselines), dict(self.tasks), dict(self.architectures)

    def restore(self, kept: tuple[dict[str, Any], ...]) -> None:
        """Forgets what was registered since."""
        for found, before in zip((self.baselines, self.tasks, self.architectures), kept, strict=True):
            found.clear()
            found.update(before)


registry = Registry()


def parts_of(name: str) -> list[str]:
    """The names in `a+b`. Raises UserError where one is missing."""
    parts = name.split("+")
    if len(parts) > 1 and "" in parts:
        raise UserError(f"baseline {name!r} lacks a part: write a+b, without spaces")
    return parts


def baseline(
    name: str,
    *,
    title: str,
    role: Role = "method",
    paper: str = "",
    arxiv: str = "",
    anchor: bool = False,
    companion: Companion = "",
) -> Callable[[type[Distiller]], type[Distiller]]:
    """Registers a Distiller under `name` (keywords: see `Baseline`); ValueError if the name is taken."""

    def register(distiller: type[Distiller]) -> type[Distiller]:
        file = Path(inspect.getfile(distiller)).resolve()
        try:
            found = Baseline(name, title, role, distiller, file, paper, arxiv, anchor, companion,
                             hyperparameters_of(distiller))  # fmt: skip
            check_baseline(found)
        except ValueError as fault:
            raise ValueError(f"{file}: baseline {name!r}: {fault}") from None
        _refuse_duplicate("baseline", name, file, registry.baselines.get(name))
        registry.baselines[name] = found
        return distiller

    return register


def task(name: str, *, title: str) -> Callable[[type[Task]], type[Task]]:
    """Registers a Task class under `name`. Raises ValueError on a duplicate name."""

    def register(plugin: type[Task]) -> type[Task]:
        file = Path(inspect.getfile(plugin)).resolve()
        _refuse_duplicate("task", name, file, registry.tasks.get(name))
        plugin.name, plugin.title = name, title
        instance = plugin()
        try:
            check_task(instance)
        except ValueError as fault:
            raise ValueError(f"{file}: task {name!r}: {fault}") from None
        registry.tasks[name] = instance
        return plugin

    return register


def _refuse_duplicate(kind: str, name: str, file: Path, found: Baseline | Task | None) -> None:
    if found is None:
        return
    other = found.file if isinstance(found, Baseline) else Path(inspect.getfile(type(found))).resolve()
    raise ValueError(f"{kind} {name!r} is registered twice: in {other} and in {file}")


def load(plugin_files: tuple[Path, ...] = (), *, installed_too: bool = True) -> Registry:
    """Imports every plugin once, those of other installed packages too, and returns the registry. A plugin
    that can't be imported is a UserError."""
    load_tasks(installed_too=installed_too)
    importlib.import_module("benchmark.contracts.distiller")  # torch: no plugin is to be blamed for its time
    for module in _modules("baselines"):
        _import_baseline(f"baselines.{module.stem}", module)
    if installed_too:
        _load_installed(installed.BASELINES)
    for file in plugin_files:
        _import_file(file)
    return registry


def load_tasks(*, installed_too: bool = True) -> Registry:
    """Imports the tasks alone, which needs no torch, and returns the registry."""
    _make_importable()
    for module in _modules("tasks"):
        _import(f"tasks.{module.stem}", module)
    if installed_too:
        _load_installed(installed.TASKS)
    registry.headline = importlib.import_module("baselines").HEADLINE
    return registry


def baseline_files(plugin_files: tuple[Path, ...] = ()) -> list[Path]:
    """The files in which baselines may be registered, but for those of entry points."""
    return [*_modules("baselines"), *(file.resolve() for file in plugin_files)]


def declared_baselines(plugin_files: tuple[Path, ...] = ()) -> frozenset[str] | None:
    """The names that are registered already, and those that plugins will register, read from their text
    without importing them.

    None where the text doesn't tell: a name that is computed, a package installed with an entry point, a
    file that can't be parsed (importing it will say why). Raises UserError for a file that is not there.
    """
    for file in plugin_files:
        check_regular(file, f"plugin file {file}", PLUGIN_REMEDY)
    if installed.brought(installed.BASELINES):
        return None
    names = set(registry.baselines)
    for file in baseline_files(plugin_files):
        if file.is_dir():
            return None
        try:
            tree = ast.parse(read_bytes(file, f"plugin file {file}", PLUGIN_REMEDY, LARGEST_PLUGIN))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if getattr(call.func, "id", getattr(call.func, "attr", "")) != "baseline":
                continue
            name = call.args[0] if call.args else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                return None
            names.add(name.value)
    return frozenset(names)


def _load_installed(group: str) -> None:
    """Imports what installed packages bring. UserError where one can't be imported, as with every plugin."""
    for entry in installed.brought(group):
        try:
            with _whole():
                guarded(entry.load, installed.described(entry))
        except UserError as error:
            raise UserError(f"{error}; mend that package or uninstall it") from error


@contextmanager
def _whole() -> Iterator[None]:
    """Half of a plugin is none: what it registered before it failed would pass for the whole.

    Architectures stay: those of our own modules, which it may have imported first, are registered once.
    """
    baselines, tasks, _ = registry.kept()
    try:
        yield
    except BaseException:
        registry.restore((baselines, tasks, registry.kept()[2]))
        raise


def _modules(package: str) -> list[Path]:
    """The modules and packages in a plugin folder; names that begin with an underscore are shared parts."""
    return sorted(
        path
        for path in (ROOT / package).iterdir()
        if path != LIBRARY
        and not path.name.startswith(("_", "."))
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    )


def _make_importable() -> None:
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


def _import(module: str, path: Path) -> None:
    file = path / "__init__.py" if path.is_dir() else path
    guarded(lambda: importlib.import_module(module), f"plugin {path}", file)


def _import_baseline(module: str, path: Path) -> None:
    """What others imported before may be shared by them; what nobody asks for and registers nothing is a
    baseline without its decorator."""
    first, before = module not in sys.modules, registry.kept()
    _import(module, path)
    if first and registry.kept() == before:
        del sys.modules[module]
        raise UserError(
            f"{path} registers nothing: is @baseline missing above its class? A file of shared parts has a "
            "name that begins with an underscore"
        )


def _import_file(file: Path) -> None:
    check_regular(file, f"plugin file {file}", PLUGIN_REMEDY)
    file = file.resolve()
    if file in _registering_files():
        return
    # Two files of one name in two folders are two modules.
    name = f"wcord_plugin_{file.stem}_{zlib.crc32(os.fsencode(file)):08x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin file {file} is not a Python file (.py)")
    once_more = name in sys.modules
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    before = registry.kept()
    try:
        with _whole():
            guarded(partial(_executed, spec.loader, module), f"plugin {file}", file)
        if registry.kept() == before and not once_more:
            raise UserError(
                f"plugin file {file} registers nothing: is @baseline, @task or @architecture missing above "
                "what it defines?"
            )
    except BaseException:
        del sys.modules[name]
        raise


def _executed(loader: Loader, module: ModuleType) -> None:
    from benchmark.undisturbed import torch_undisturbed  # torch: the tasks alone need none

    with torch_undisturbed():
        loader.exec_module(module)


def _registering_files() -> set[Path]:
    """The files that have registered a baseline or a task."""
    tasks = {Path(inspect.getfile(type(each))).resolve() for each in registry.tasks.values()}
    return {each.file for each in registry.baselines.values()} | tasks
