"""The table of docs/losses.md: what `baselines.losses` hands out, from the functions themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from benchmark import plugins
from benchmark.catalogue.page import anchor, table
from benchmark.plugins import Registry
from benchmark.program import ROOT

PAGE = ROOT / "docs" / "losses.md"
BEGIN, END = "<!-- the functions, by python -m benchmark.catalogue -->", "<!-- end of the functions -->"


def functions() -> dict[str, Callable]:
    """Exported name -> the pure function, in alphabetical order; modules and their builder are left out."""
    library = import_module(f"{plugins.LIBRARY.parent.name}.{plugins.LIBRARY.stem}")
    found = {name: getattr(library, name) for name in sorted(library.__all__)}
    return {
        name: each for name, each in found.items() if not each.__module__.startswith("benchmark.training")
    }


def with_table(text: str, registry: Registry) -> str:
    """The page with its table made anew; the rest is written by hand."""
    before, _, rest = text.partition(BEGIN)
    return "\n".join([before + BEGIN, "", *_rows(registry), "", END + rest.partition(END)[2]])


def _rows(registry: Registry) -> list[str]:
    rows = [
        [f"`{name}`", _arguments(each), _plain(summary(each)), ", ".join(_methods(each, registry)) or "-"]
        for name, each in functions().items()
    ]
    return table(["function", "arguments", "what it is", "method"], rows)


def summary(function: Callable) -> str:
    """The first sentence or two of its docstring: what stands before the first empty line."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def _arguments(function: Callable) -> str:
    arguments = (
        name if each.default is each.empty else f"{name}={each.default!r}"
        for name, each in inspect.signature(function).parameters.items()
    )
    return f"`{', '.join(arguments)}`"


def _plain(text: str) -> str:
    """Text whose stars and angle brackets Markdown leaves alone, but for those between backticks."""
    parts = text.split("`")
    parts[::2] = [part.replace("*", "\\*").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _methods(function: Callable, registry: Registry) -> Iterator[str]:
    """The baselines of its file, each with a link to what the page of baselines says of it."""
    file = Path(inspect.getfile(inspect.unwrap(function))).resolve()
    for each in registry.baselines.values():
        if each.file == file:
            yield f"[{each.title}](baselines.md#{anchor(each)})"
