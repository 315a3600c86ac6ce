"""The installed suite, `wcord_bench`: its folders `benchmark`, `baselines` and `tasks` in one namespace.

A wheel puts nothing else into site-packages. The code and every plugin import the three by their own names
(`from benchmark import Distiller, baseline`), as in a checkout. Importing this package makes these names
importable in the process that does it, and refuses where they mean something else there already.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark import *  # noqa: F403

NAMES = ("benchmark", "baselines", "tasks")


def _home() -> Path:
    """The folder that holds the three: this one in a wheel, the checkout's own in an editable install."""
    here = Path(__file__).resolve().parent
    return here if (here / "baselines").is_dir() else here.parents[1]


HOME = _home()


class _Finder(MetaPathFinder):
    """Finds the three names where they lie, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package == __name__ and name.partition(".")[0] in NAMES:
            raise ImportError(
                f"import {name} instead of {fullname}: each module is there once", name=fullname
            )
        return PathFinder.find_spec(fullname, [str(HOME)]) if fullname in NAMES else None


def _claim() -> None:
    """Raises ImportError where one of the names means another module in this process."""
    for name in NAMES:
        there = sys.modules.get(name)
        folders = [Path(each).resolve() for each in getattr(there, "__path__", ())]
        if there is not None and HOME / name not in folders:
            place = getattr(there, "__file__", None) or "no file"
            raise ImportError(
                f"{__name__} needs the module name {name!r}, which this process has imported from {place}: "
                f"rename that module, or import {__name__} in a process of its own"
            )
    if not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


_claim()


def main() -> int:
    """The console command `wcord-bench`; its exit code."""
    from benchmark.cli import main as command

    return command()


def __getattr__(name: str) -> Any:
    import benchmark

    try:
        return getattr(benchmark, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
