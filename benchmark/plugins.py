"""Finds baselines and tasks: files in baselines/, folders in tasks/, entry points, and files given with
--plugin; checks what they declare. Nothing here needs torch until a baseline is imported."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from benchmark.contracts import Choice, Pair, Preset, Range, Task
from benchmark.contracts.task import check_choice
from benchmark.errors import UserError, unknown
from benchmark.records import Role
from benchmark.settings import PresetName

if TYPE_CHECKING:
    from benchmark.contracts import Distiller

Companion = Literal["", "few_labels", "all_labels"]
ROLES: tuple[Role, ...] = get_args(Role)
ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `benchmark`, `baselines` and `tasks`."""
LIBRARY = ROOT / "baselines" / "losses.py"
"""The one module beside the baselines that registers none: it hands out their functions."""


@dataclass(frozen=True)
class Hyperparameter:
    """A keyword argument of a baseline: its default, its type, and its search range where it declares one."""

    name: str
    default: Any
    type: type
    search: Range | Choice | None = None

    @property
    def searched(self) -> bool:
        """Whether tuning may vary it: an open name has no values to choose from."""
        return isinstance(self.search, Range) or (
            isinstance(self.search, Choice) and bool(self.search.values)
        )


@dataclass(frozen=True)
class Baseline:
    """A registered baseline and what tables and pages say of it.

    anchor       the row that differences are taken to: a student without a teacher
    companion    "few_labels": stands in every few-label table; "all_labels": the same, trained on all labels
    """

    name: str
    title: str
    role: Role
    distiller: type[Distiller]
    file: Path
    paper: str = ""
    arxiv: str = ""
    anchor: bool = False
    companion: Companion = ""
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
    role: Role = "method",
    paper: str = "",
    arxiv: str = "",
    anchor: bool = False,
    companion: Companion = "",
) -> Callable[[type[Distiller]], type[Distiller]]:
    """Registers a Distiller under `name` (keywords: see `Baseline`); ValueError if the name is taken."""

    def register(distiller: type[Distiller]) -> type[Distiller]:
        file = Path(inspect.getfile(distiller)).resolve()
        found = Baseline(name, title, role, distiller, file, paper, arxiv, anchor, companion,
                         hyperparameters_of(distiller))  # fmt: skip
        try:
            _check_baseline(found)
        except ValueError as fault:
            raise ValueError(f"{file}: baseline {name!r}: {fault}") from None
        _refuse_duplicate("baseline", name, file, registry.baselines.get(name))
        registry.baselines[name] = found
        return distiller

    return register


def _check_baseline(found: Baseline) -> None:
    """Raises ValueError for the first thing declared that the engine would not understand."""
    from benchmark.contracts.distiller import LearnsFrom, Need, SecondView

    check_choice("role", found.role, Role)
    check_choice("companion", found.companion, Companion)
    if not re.fullmatch(r"[\w-]+", found.name):
        raise ValueError("a name has letters, digits, '_' and '-' only")
    distiller = found.distiller
    for need in sorted(distiller.needs):
        check_choice("an entry of needs", need, Need)
    check_choice("learns_from", distiller.learns_from, LearnsFrom)
    check_choice("second_view", distiller.second_view, SecondView)
    if hasattr(distiller, "preludes"):
        raise ValueError("preludes() is called first_stages() now, and returns Stage objects")
    for name in distiller.in_composition:
        if name not in found.hyperparameters:
            raise ValueError(f"in_composition names {name!r}, which is no hyper-parameter of it")


def task(name: str, *, title: str) -> Callable[[type[Task]], type[Task]]:
    """Registers a Task class under `name`. Raises ValueError on a duplicate name."""

    def register(plugin: type[Task]) -> type[Task]:
        file = Path(inspect.getfile(plugin)).resolve()
        _refuse_duplicate("task", name, file, registry.tasks.get(name))
        plugin.name, plugin.title = name, title
        instance = plugin()
        try:
            _check_task(instance)
        except ValueError as fault:
            raise ValueError(f"{file}: task {name!r}: {fault}") from None
        registry.tasks[name] = instance
        return plugin

    return register


def _check_task(found: Task) -> None:
    """Raises ValueError for a preset or a pair that doesn't fit the task's own datasets."""
    cards, presets = found.datasets(), found.presets()
    if missing := [each for each in get_args(PresetName) if each not in presets]:
        raise ValueError(f"presets() lacks {', '.join(missing)}")
    for dataset, card in cards.items():
        for name, pair in found.pairs(dataset).items():
            _check_pair(name, pair, card.shapes)
    for name, preset in presets.items():
        _check_preset(name, preset, found, set(cards))


def _check_pair(name: str, pair: Pair, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for modality in (*pair.teacher_modalities, *pair.student_modalities):
        if shapes and modality not in shapes:
            raise ValueError(f"pair {name} sees {modality!r}, of which the dataset's card has no shape")
    if not (pair.teacher_modalities and pair.student_modalities):
        raise ValueError(f"pair {name} leaves a network without a modality")


def _check_preset(name: str, preset: Preset, task: Task, datasets: set[str]) -> None:
    if lost := set(preset.datasets) - datasets:
        raise ValueError(f"preset {name} names {', '.join(sorted(lost))}, which datasets() doesn't have")
    known = {pair for dataset in preset.datasets for pair in task.pairs(dataset)}
    if lost := set(preset.pairs) - known:
        raise ValueError(
            f"preset {name} names the pair {', '.join(sorted(lost))}, which no dataset of it has"
        )


def _refuse_duplicate(kind: str, name: str, file: Path, found: Baseline | Task | None) -> None:
    if found is None:
        return
    other = found.file if isinstance(found, Baseline) else Path(inspect.getfile(type(found))).resolve()
    raise ValueError(f"{kind} {name!r} is registered twice: in {other} and in {file}")


def hyperparameters_of(distiller: type[Distiller]) -> dict[str, Hyperparameter]:
    """The keyword arguments of a distiller, those it passes on to its base classes included."""
    from benchmark.contracts.distiller import Distiller

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
    load_tasks()
    for module in _modules("baselines"):
        _import(f"baselines.{module.stem}", module)
    for entry in entry_points(group="wcord_bench.baselines"):
        _guarded(entry.load, f"entry point {entry.name} ({entry.value})")
    for file in plugin_files:
        _import_file(file)
    return registry


def load_tasks() -> Registry:
    """Imports the tasks alone, which needs no torch, and returns the registry."""
    _make_importable()
    for module in _modules("tasks"):
        _import(f"tasks.{module.stem}", module)
    for entry in entry_points(group="wcord_bench.tasks"):
        _guarded(entry.load, f"entry point {entry.name} ({entry.value})")
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
        if not file.is_file():
            raise UserError(f"plugin file {file} does not exist")
    if list(entry_points(group="wcord_bench.baselines")):
        return None
    names = set(registry.baselines)
    for file in baseline_files(plugin_files):
        try:
            tree = ast.parse(file.read_text())
        except (OSError, SyntaxError, ValueError):
            return None
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if getattr(call.func, "id", getattr(call.func, "attr", "")) != "baseline":
                continue
            name = call.args[0] if call.args else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                return None
            names.add(name.value)
    return frozenset(names)


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
    _guarded(partial(spec.loader.exec_module, module), f"plugin {file}")


def _guarded(action: Callable[[], Any], what: str) -> None:
    try:
        action()
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")
        raise UserError(f"{what} raised {type(error).__name__} on import: {line}") from error
