"""Reads files that a user names, and YAML: in bounded time and memory, whatever they hold."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import UserError, reason_of

LARGEST = 256 * 1024
"""Characters of YAML, every alias written out."""
MOST_VALUES = 10_000
"""Values in YAML, every alias written out."""
DEEPEST = 20
"""Lists and mappings within each other."""
LARGEST_NUMBER = 2**63

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_regular(file: Path, named: str, remedy: str) -> None:
    """Raises UserError unless `file` is a regular file: opening a pipe or a device may never come to an end.

    named    what the message begins with, the path in it
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise UserError(f"{named}: {getattr(error, 'strerror', None) or error}; {remedy}") from error
    if not stat.S_ISREG(mode):
        raise UserError(f"{named} is {kind_of(mode)}: {remedy}")


def kind_of(mode: int) -> str:
    """What a path is that is no regular file, by its `st_mode`: "a folder", "a named pipe"."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "no regular file")


def read_bytes(file: Path, named: str, remedy: str, most: int) -> bytes:
    """The content of a regular file. Raises UserError, also for one of more than `most` bytes."""
    check_regular(file, named, remedy)
    try:
        with file.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise UserError(f"{named}: {error.strerror}; {remedy}") from error
    if len(content) > most:
        raise UserError(f"{named} has more than {most:,} bytes: {remedy}")
    return content


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, of plain types. Raises ValueError with the reason in one line.

    Refused as well: more than `LARGEST` characters or `MOST_VALUES` values (an alias counts as what it stands
    for: a few lines of aliases to aliases stand for billions of values), lists and mappings nested more than
    `DEEPEST` deep, a key that is given twice, whole numbers beyond 64 bits.
    """
    if len(text) > LARGEST:
        raise ValueError(f"it has {len(text):,} characters, more than {LARGEST:,}")
    try:
        _check_extent(text)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_keys(node)
            value = loader.construct_document(node)
        finally:
            loader.dispose()
        _check_numbers(value)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except _Refused:
        raise
    except Exception as error:  # 2021-13-45, 0b, `!!bool maybe`, `!!timestamp x`: PyYAML lets these through
        raise ValueError(f"a value doesn't fit its type ({reason_of(error)})") from error
    return value


class _Refused(ValueError):
    """YAML that is valid, and that no one means."""


def _check_extent(text: str) -> None:
    """Raises ValueError for what is too large or too deep, before anything of it is built."""
    values = characters = 0
    sizes: dict[str, tuple[int, int]] = {}
    opened: list[tuple[str | None, int, int]] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, values_before, characters_before = opened.pop()
            if anchor is not None:
                sizes[anchor] = values - values_before, characters - characters_before
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        size = (1, len(event.value) if isinstance(event, yaml.ScalarEvent) else 0)
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, *_ in opened):
                raise _Refused(f"*{event.anchor} stands for what contains it")
            size = sizes.get(event.anchor, size)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, values, characters))
        elif event.anchor is not None:
            sizes[event.anchor] = size
        values, characters = values + size[0], characters + size[1]
        if len(opened) > DEEPEST:
            raise _Refused(f"lists and mappings are nested more than {DEEPEST} deep")
        if values > MOST_VALUES:
            raise _Refused(f"it stands for more than {MOST_VALUES:,} values")
        if characters > LARGEST:
            raise _Refused(f"it stands for more than {LARGEST:,} characters")


def _check_keys(root: yaml.Node) -> None:
    """Raises ValueError for a mapping that gives a key twice: PyYAML would take the last."""
    left, seen = [root], set()
    while left:
        node = left.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if not isinstance(node, yaml.MappingNode):
            left += node.value
            continue
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((key for key, count in keys.items() if count > 1 and key != "<<"), None):
            raise _Refused(f"{twice!r} is given twice")
        left += [each for pair in node.value for each in pair]


def _check_numbers(value: Any) -> None:
    if isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
        raise _Refused("a whole number has more than 64 bits")
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    for each in parts if isinstance(parts, list | tuple | set) else ():
        _check_numbers(each)
