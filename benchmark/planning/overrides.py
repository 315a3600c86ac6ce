"""--set NAME.FIELD=VALUE: hyper-parameters of baselines and fields of the recipes, checked and typed.

`NAME.own_recipe.FIELD=VALUE` changes the recipe for one baseline alone.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.contracts import Choice, Range, Recipe
from benchmark.declarations import RECIPES
from benchmark.errors import UserError, unknown
from benchmark.planning.specs import OWN_RECIPE
from benchmark.plugins import Baseline, Hyperparameter, Registry
from benchmark.reading import parse_yaml

SHARED_FIELDS = ("epochs", "batch_size")
"""What students that train in lockstep have in common."""
SWEEP = "; for several values give the command once for each"


@dataclass(frozen=True)
class Overrides:
    """What --set changes: (owner, field) -> value, where the owner is a baseline, a composition or a
    recipe."""

    values: dict[tuple[str, str], Any]

    def of_owner(self, owner: str) -> dict[str, Any]:
        """What is overridden of a recipe, a baseline or a composition, by that name alone: field -> value."""
        return {field: value for (who, field), value in self.values.items() if who == owner}

    def changed(self, owner: str, recipe: Recipe) -> Recipe:
        """The recipe with the overridden fields. Raises UserError where no training could have it."""
        return _changed(recipe, f"{owner}.", self.of_owner(owner))

    def of_baseline(self, name: str) -> dict[str, Any]:
        """The overridden hyper-parameters of a baseline; a composition inherits those of its parts.

        `own_recipe.FIELD` is among them where --set changes the recipe for this baseline alone.
        """
        if "+" not in name:
            return self.of_owner(name)
        inherited = {
            f"{part}.{field}": value
            for part in name.split("+")
            for field, value in self.of_owner(part).items()
            if field != "task_weight" and not field.startswith(OWN_RECIPE)
        }
        return inherited | self.of_owner(name)

    def check_own_recipe(self, name: str, recipe: Recipe) -> None:
        """Raises UserError where a baseline's own fields make a recipe that no training could have."""
        own = self.of_baseline(name).items()
        fields = {n.removeprefix(OWN_RECIPE): value for n, value in own if n.startswith(OWN_RECIPE)}
        _changed(recipe, f"{name}.{OWN_RECIPE}", fields)

    def reaching(self, name: str) -> dict[str, Any]:
        """Every override that reaches a baseline: its own, then `recipe.FIELD` and `teacher_recipe.FIELD`.

        Sequences are lists, as JSON has them.
        """
        own = self.of_baseline(name)
        recipes = {f"{who}.{field}": value for (who, field), value in self.values.items() if who in RECIPES}
        found = [*sorted(own.items()), *sorted(recipes.items())]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found}

    def out_of_range(self, registry: Registry) -> Iterator[str]:
        """A line for each value outside of the range that its baseline gives to search in."""
        for (owner, field), value in self.values.items():
            if owner in RECIPES or field.startswith(OWN_RECIPE):
                continue
            search = hyperparameter_of(owner, field, registry).search
            if isinstance(search, Range) and not search.low <= value <= search.high:
                yield (
                    f"note: --set {owner}.{field}={value:g} is outside of {search.low:g} to {search.high:g}, "
                    "where --tune searches"
                )


def _changed(recipe: Recipe, prefix: str, fields: Mapping[str, Any]) -> Recipe:
    try:
        return dataclasses.replace(recipe, **fields)
    except ValueError as error:
        entries = " ".join(f"{prefix}{field}={value}" for field, value in fields.items())
        raise UserError(f"--set {entries}: {error}") from error


def parse_overrides(entries: tuple[str, ...], registry: Registry) -> Overrides:
    """Reads the entries of --set. Raises UserError for unknown names and values of the wrong type."""
    values: dict[tuple[str, str], Any] = {}
    for entry in entries:
        target, equals, text = entry.partition("=")
        owner, dot, field = target.partition(".")
        if not (equals and dot and owner and field):
            raise UserError(
                f"--set {entry}: write BASELINE.HYPERPARAMETER=VALUE, for example --set recipe.epochs=10"
            )
        if (owner, field) in values:
            raise UserError(f"--set gives {target} twice, the second time in {entry}: give one value{SWEEP}")
        value = _read(entry, text)
        if owner in RECIPES:
            values[owner, field] = _recipe_value(entry, field, value)
        elif field.startswith(OWN_RECIPE):
            registry.parts(owner)
            values[owner, field] = _own_recipe_value(entry, field.removeprefix(OWN_RECIPE), value)
        else:
            values[owner, field] = typed(f"--set {entry}", hyperparameter_of(owner, field, registry), value)
    return Overrides(values)


def hyperparameter_of(owner: str, field: str, registry: Registry) -> Hyperparameter:
    """The one that `field` names, in a composition `part.name` or `task_weight`. Raises UserError."""
    parts = registry.parts(owner)
    if len(parts) == 1:
        return _named(parts[0], field)
    if field == "task_weight":
        return Hyperparameter(field, 1.0, float)
    part, dot, name = field.partition(".")
    for each in parts:
        if dot and each.name == part:
            return _named(each, name)
    raise UserError(f"{owner}.{field}: a composition takes task_weight and PART.HYPERPARAMETER")


def _named(baseline: Baseline, field: str) -> Hyperparameter:
    if field not in baseline.hyperparameters:
        raise unknown(f"hyper-parameter of {baseline.name}", field, baseline.hyperparameters)
    return baseline.hyperparameters[field]


def typed(told: str, parameter: Hyperparameter, value: Any) -> Any:
    """The value in the hyper-parameter's own type. Raises UserError, which begins with what was `told`."""
    if parameter.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if parameter.type is float and isinstance(value, str):
        value = _number(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{told}: give a finite number")
    values = parameter.search.values if isinstance(parameter.search, Choice) else ()
    if values and value not in values:
        raise UserError(f"{told}: choose one of {', '.join(map(str, values))}")
    expected = parameter.type
    if any(expected is plain for plain in (int, float, str, bool)):
        fits = isinstance(value, expected) and isinstance(value, bool) == (expected is bool)
        if not fits:
            several = SWEEP if isinstance(value, list) or (isinstance(value, str) and "," in value) else ""
            raise UserError(
                f"{told}: {parameter.name} is a {expected.__name__}, and {value!r} is none{several}"
            )
    return value


def _number(text: str) -> float | str:
    try:
        return float(text)  # YAML reads 1e-3 (no dot) as a string
    except ValueError:
        return text


def _read(entry: str, text: str) -> Any:
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"--set {entry}: the value can't be read ({error})") from error


def _own_recipe_value(entry: str, field: str, value: Any) -> Any:
    if field in SHARED_FIELDS:
        raise UserError(
            f"--set {entry}: students train in lockstep, and {field} is one for all: set recipe.{field}"
        )
    return _recipe_value(entry, field, value)


def _recipe_value(entry: str, field: str, value: Any) -> Any:
    """The value in the field's own type. A recipe made with it tells whether a training could have it."""
    fields = {each.name: each for each in dataclasses.fields(Recipe)}
    if field not in fields:
        raise unknown("field of a recipe", field, fields)
    if field == "milestones":
        if not isinstance(value, list):
            raise UserError(f"--set {entry}: give a list of shares of the training, for example [0.5, 0.75]")
        value = tuple(_number(each) if isinstance(each, str) else each for each in value)
    else:
        hint = typing.get_type_hints(Recipe)[field]
        choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        search = Choice(choices) if choices else None
        kind = str if choices else next(iter(typing.get_args(hint)), hint)  # `float | None` takes a float
        value = typed(f"--set {entry}", Hyperparameter(field, fields[field].default, kind, search), value)
    try:
        return getattr(Recipe(**{"epochs": 1, field: value}), field)
    except ValueError as error:
        raise UserError(f"--set {entry}: {error}") from error
