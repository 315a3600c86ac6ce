"""Plugins of installed packages: which entry points there are, whose they are, and where their code lies."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

BASELINES, TASKS = "wcord_bench.baselines", "wcord_bench.tasks"
"""The groups of entry points that bring plugins."""


def brought(*groups: str) -> list[EntryPoint]:
    """The entry points of the groups, in an order that doesn't depend on where the packages lie."""
    found = [entry for group in groups for entry in entry_points(group=group)]
    return sorted(found, key=lambda entry: (entry.group, entry.name, entry.value))


def described(entry: EntryPoint) -> str:
    """An entry point in a message: its name, where it leads, and the package that has it."""
    package = f" of {entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
    return f"entry point {entry.name} ({entry.value}){package}"


def packages_of(modules: Iterable[str]) -> dict[str, str]:
    """The installed packages that brought these modules: name -> version."""
    owners = {module.partition(".")[0] for module in modules}
    return {
        entry.dist.name: entry.dist.version
        for entry in brought(BASELINES, TASKS)
        if entry.dist is not None and _owner(entry) in owners
    }


def sources() -> list[Path]:
    """The Python files of the packages that entry points lead into; nothing is imported."""
    found: set[Path] = set()
    for owner in {_owner(entry) for entry in brought(BASELINES, TASKS)}:
        try:
            spec = importlib.util.find_spec(owner)
        except (ImportError, ValueError):
            continue  # loading it will say why
        if spec is not None and spec.submodule_search_locations is not None:
            for folder in spec.submodule_search_locations:
                found.update(Path(folder).rglob("*.py"))
        elif spec is not None and spec.origin is not None:
            found.add(Path(spec.origin))
    return sorted(found)


def _owner(entry: EntryPoint) -> str:
    """The top-level package, or module, that an entry point leads into."""
    return entry.value.partition(":")[0].partition(".")[0].strip()
