"""What a baseline's name, `a+b` included, means: its order, its teacher, its hyper-parameters resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.errors import UserError, reason_of
from benchmark.plugins import ROLES, Baseline, Registry
from benchmark.settings import Settings

if TYPE_CHECKING:
    from benchmark.contracts import LearnsFrom, PublishedSettings


MOST_SHARE = 100.0
"""Of the run's epochs, for one first stage."""


def baseline_names(settings: Settings, registry: Registry) -> tuple[str, ...]:
    """The baselines of a command in its order: those named, or the headline set; 'all' adds every one."""
    names = list(settings.baselines or registry.headline)
    if "all" in names:
        names = [*(name for name in names if name != "all"), *registry.headline, *registry.baselines]
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        registry.parts(name)
    return unique


def order_of(name: str, registry: Registry) -> int:
    """A baseline's place in tables: headline set, references, controls, methods, compositions.

    Within a role, older papers come first.
    """
    if name in registry.headline:
        return registry.headline.index(name)
    if name not in registry.baselines:
        return 10_000
    role = ROLES[::-1].index(registry.baselines[name].role)
    by_year = sorted(registry.baselines.values(), key=lambda each: (each.year, each.name))
    return 1000 * (role + 1) + [each.name for each in by_year].index(name)


def learns_from(parts: tuple[Baseline, ...]) -> LearnsFrom:
    """Which teacher a baseline made of `parts` has: a trained one unless a part asks for another."""
    asked: set[LearnsFrom] = {part.distiller.learns_from for part in parts}
    others = asked - {"trained"}
    return next(iter(others)) if len(others) == 1 else "trained"


def stage_epochs(share: float, epochs: int) -> int:
    """How many epochs a first stage takes before `epochs` of joint training; at least one."""
    return max(1, round(share * epochs))


def stage_shares(parts: tuple[Baseline, ...], hyperparameters: Mapping[str, Any]) -> tuple[float, ...]:
    """The shares of all first stages of a baseline made of `parts`, in order."""
    shares: list[float] = []
    for part in parts:
        prefix = f"{part.name}." if len(parts) > 1 else ""
        # In a composition `task_weight` is the whole's: a part sees its own default.
        own = {
            name: hyperparameters.get(prefix + name, x.default) for name, x in part.hyperparameters.items()
        }
        try:
            found = [float(share) for share in part.distiller.stage_shares(own)]
        except Exception as error:  # a plugin's code
            raise UserError(
                f"{part.file}: stage_shares of {part.name} raised {type(error).__name__} ({reason_of(error)})"
            ) from error
        if not all(0 <= share <= MOST_SHARE for share in found):
            raise UserError(f"{part.file}: stage_shares of {part.name}: {found}: give shares of the epochs")
        shares += found
    return tuple(shares)


def resolve_hyperparameters(
    parts: tuple[Baseline, ...],
    published: Mapping[str, PublishedSettings],
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Every hyper-parameter of a baseline, by name; in a composition as `part.name`, plus its `task_weight`.

    published   the pair's own values, per baseline; they beat the baseline's defaults
    overrides   the user's, keyed like the result; they beat everything
    """
    alone = len(parts) == 1
    resolved: dict[str, Any] = {} if alone else {"task_weight": 1.0}
    for part in parts:
        values = {name: each.default for name, each in part.hyperparameters.items()}
        if not alone:
            values.update(part.distiller.in_composition)
        values.update(_values(published, part.name))
        if not alone:
            values.pop("task_weight", None)  # there is one supervised term, and it is the composition's
        resolved |= {name if alone else f"{part.name}.{name}": value for name, value in values.items()}
    if not alone:
        own = {part.name for part in parts}
        for name in published:
            if set(name.split("+")) == own:
                resolved |= _values(published, name)
    return {**resolved, **overrides}


def _values(published: Mapping[str, PublishedSettings], name: str) -> Mapping[str, Any]:
    return published[name].values if name in published else {}
