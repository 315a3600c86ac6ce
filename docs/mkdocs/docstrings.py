"""Our docstrings as mkdocstrings wants them: aligned lists of fields become its sections.

name     what it is,
         over several lines
others   what they are
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

NAMES = re.compile(r"[\w*]+(?:, [\w*]+)*")
ENTRY = re.compile(rf"({NAMES.pattern} {{2,}})\S")


class Fields(griffe.Extension):
    """Rewrites the docstring of each class and function before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """`Attributes:` for a class, `Args:` for a function."""
        if obj.docstring is not None and (obj.is_class or obj.is_function):
            title = "Attributes" if obj.is_class else "Args"
            obj.docstring.value = with_sections(obj.docstring.value, title)


def with_sections(text: str, title: str) -> str:
    """The docstring with each aligned list as a section of that title."""
    return "\n\n".join(_section(each, title) for each in inspect.cleandoc(text).split("\n\n"))


def _section(paragraph: str, title: str) -> str:
    lines = paragraph.split("\n")
    starts = [ENTRY.match(line) for line in lines]
    column = next((len(start[1]) for start in starts if start), 0)
    first = next((k for k, line in enumerate(lines) if _name(line, column)), None)
    if not column or first is None:
        return paragraph
    entries: list[tuple[str, list[str]]] = []
    for line in lines[first:]:
        if name := _name(line, column):
            entries.append((name, [line[column:]]))
        elif not line[:column].strip():
            entries[-1][1].append(line[column:])
        else:
            return paragraph
    items = [f"    {name}: {' '.join(words)}" for names, words in entries for name in names.split(", ")]
    before = ["\n".join(lines[:first])] if first else []
    return "\n\n".join([*before, "\n".join([f"{title}:", *items])])


def _name(line: str, column: int) -> str:
    """What stands before the column, if that is a name or several."""
    head = line[:column]
    return head.strip() if head.endswith(" ") and NAMES.fullmatch(head.strip()) else ""
