"""What a plugin declares, and whether the engine would understand it; imports without torch."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import typing
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from benchmark.contracts import Choice, Pair, Preset, Range, Task
from benchmark.contracts.task import check_choice
from benchmark.errors import UserError, reason_of
from benchmark.records import Role
from benchmark.settings import PresetName

if TYPE_CHECKING:
    from benchmark.contracts import Distiller

Companion = Literal["", "few_labels", "all_labels"]
ROLES: tuple[Role, ...] = get_args(Role)
LONGEST_NAME = 80
"""Characters of a baseline's name, which is part of the names of folders."""
RECIPES = ("recipe", "teacher_recipe")
"""What --set takes for the recipes of students and of teachers."""
RESERVED = ("all", *RECIPES)
"""What --baselines and --set take for something else than a baseline."""


@dataclass(frozen=True)
class Hyperparameter:
    """A keyword argument of a baseline: its default, its type, and its search range where it declares one."""

    name: str
    default: Any
    type: type
    search: Range | Choice | None = None

    @property
    def searched(self) -> bool:
        """Whether tuning may vary it: a number, in a range or among some.

        A word or a switch picks another form of the method, which may be another row's: it is set by hand.
        """
        if isinstance(self.search, Choice):
            values = self.search.values
            return bool(values) and all(isinstance(v, int | float) and type(v) is not bool for v in values)
        return self.search is not None


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
        code = "".join(text for _, text in sorted(_sources(self.file, {}).items()))
        return hashlib.sha256(code.encode()).hexdigest()[:16]


def _sources(file: Path, found: dict[str, str]) -> dict[str, str]:
    """The syntax trees, as text, of a file and of the files in its folder that it imports, by name."""
    if file.name not in found:
        try:
            content = file.read_bytes()
            tree = ast.parse(content)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise UserError(f"{file} can't be read as Python ({reason_of(error)}): mend it") from error
        try:
            found[file.name] = _text(tree)
        except RecursionError:  # a sum of a thousand terms: here comments and layout do count
            found[file.name] = repr(content)
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            for name in ((node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)):
                beside = file.with_name(f"{name}.py")
                if beside.is_file():
                    _sources(beside, found)
    return found


def _text(tree: ast.Module) -> str:
    """A syntax tree as text, the same in every Python: 3.12 has one more list in functions and classes, and
    at first empty parts in f-strings; 3.13 leaves empty lists out unless it is asked for them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            node.values = [each for each in node.values if getattr(each, "value", None) != ""]
    options = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(tree, **options).replace(", type_params=[]", "")


def check_baseline(found: Baseline) -> None:
    """Raises ValueError for the first thing declared that the engine would not understand."""
    from benchmark.contracts.distiller import LearnsFrom, Need, SecondView

    check_choice("role", found.role, Role)
    check_choice("companion", found.companion, Companion)
    if not re.fullmatch(r"\w[\w-]*", found.name) or len(found.name) > LONGEST_NAME:
        raise ValueError(f"a name has up to {LONGEST_NAME} letters, digits, '_' and '-', and no '-' first")
    if found.name in RESERVED:
        raise ValueError(f"{found.name!r} means something else on the command line: give another name")
    for what in ("title", "paper", "arxiv"):
        if not isinstance(getattr(found, what), str):
            raise ValueError(f"its {what} is {getattr(found, what)!r}: give a text")
    distiller = found.distiller
    _check_calls(found)
    if not isinstance(distiller.needs, Set):  # the letters of a text would be taken for needs
        raise ValueError(f'its needs are {distiller.needs!r}: give a set of names, frozenset({{"logits"}})')
    for need in sorted(distiller.needs, key=str):
        check_choice("an entry of needs", need, Need)
    check_choice("learns_from", distiller.learns_from, LearnsFrom)
    check_choice("second_view", distiller.second_view, SecondView)
    if hasattr(distiller, "preludes"):
        raise ValueError("preludes() is called first_stages() now, and returns Stage objects")
    for name in distiller.in_composition:
        if name not in found.hyperparameters:
            raise ValueError(f"in_composition names {name!r}, which is no hyper-parameter of it")


def _check_calls(found: Baseline) -> None:
    """Raises ValueError where the class can't be built, or called, in the way that the engine does it."""
    for name, each in found.hyperparameters.items():
        if each.default is inspect.Parameter.empty:
            raise ValueError(f"its hyper-parameter {name!r} has no default: give one")
        if isinstance(each.default, Range | Choice):
            kind = type(each.default).__name__
            raise ValueError(
                f"the default of {name!r} is its {kind}: write Annotated[TYPE, {kind}(...)] = DEFAULT"
            )
    for each in [*inspect.signature(found.distiller).parameters.values()][1:]:
        if each.kind is each.POSITIONAL_OR_KEYWORD:  # --set would not know it
            raise ValueError(
                f"it takes (context, *, hyper-parameters with defaults): {each.name!r} stands before the *"
            )
    try:
        inspect.signature(found.distiller).bind(None, **dict.fromkeys(found.hyperparameters))
    except TypeError as error:
        raise ValueError(f"it takes (context, *, hyper-parameters with defaults): {error}") from None
    try:
        inspect.signature(found.distiller.forward).bind(None, None, None, None, None)
    except TypeError as error:
        raise ValueError(f"its forward takes (self, teacher, student, batch, progress): {error}") from None


def check_task(found: Task) -> None:
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


def hyperparameters_of(distiller: type[Distiller]) -> dict[str, Hyperparameter]:
    """The keyword arguments of a distiller, those it passes on to its base classes included."""
    from benchmark.contracts.distiller import Distiller

    if not (inspect.isclass(distiller) and issubclass(distiller, Distiller)):
        raise ValueError(f"{distiller!r} is no class that derives from Distiller")
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
