"""Arguments of a command line or of a YAML file -> a dataclass. What is malformed is one line: UserError."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tyro

from benchmark.errors import UserError, reason_of, unknown
from benchmark.program import program
from benchmark.reading import LARGEST, parse_yaml, read_bytes

Kind = TypeVar("Kind")
LISTS_BY_PRESET = ("seeds",)
"""Settings that take several values and have none of their own."""
REMEDY = "give a YAML file of settings such as 'epochs: 10'"


def parsed(
    kind: type[Kind], arguments: list[str], default: Kind | None = None, prog: str | None = None
) -> Kind:
    """What tyro makes of arguments; `prog` is what --help calls the command.

    Raises UserError where it would print a box, and exit.
    """
    told, prog = io.StringIO(), prog or program()
    try:
        with contextlib.redirect_stderr(told):
            if default is None:
                return tyro.cli(kind, args=arguments, prog=prog)
            return tyro.cli(kind, args=arguments, prog=prog, default=default)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_complaint(told.getvalue())) from None


def _complaint(box: str) -> str:
    """The line that tyro's box stands for: what is wrong, and the flags that may have been meant."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│ ") for line in box.splitlines()]
    lines = [line for line in lines if line and line[0] not in "╭╰"]
    rules = [number for number, line in enumerate(lines) if re.fullmatch("─{9,}|-{9,}", line)]
    if rules and "╭" not in box:  # where only ASCII is printed the title stands above a rule of its own
        lines, rules = lines[rules[0] + 1 :], [number - rules[0] - 1 for number in rules[1:]]
    rules = rules or [len(lines)]
    wrong = " ".join(lines[: rules[0]]).partition(" Got errors:")[0].removeprefix("Error parsing ")
    if told := _mistyped(" ".join(wrong.split())):
        return told
    meant = [line.split()[0] for line in lines[rules[0] :] if re.match(r"--\w", line)]
    if meant and "Unrecognized" in wrong:
        return f"{wrong.rstrip('.')}; did you mean {' or '.join(dict.fromkeys(meant))}?"
    return f"{wrong.rstrip('.')}; --help lists what there is"


_MISTYPED = (
    (r"(\S+): no type matching (.*) could be instantiated from \[(.*)\]", None),
    (r"(\S+): (Could not find valid parse) for arguments: \[(.*)\]", "whole numbers, each by itself"),
    (r"(\S+): (invalid literal for int)\(\) with base 10: (.*)", "a whole number"),
    (r"(\S+): (could not convert string to float): (.*)", "a number"),
)
"""What tyro says of a value of the wrong type -> what to give; by default told by the type it names."""
_WANTED = (("[INT", "whole numbers, each by itself"), ("INT", "a whole number"), ("FLOAT", "a number"))


def _mistyped(wrong: str) -> str | None:
    """The line on a value that is no number; None where that is not what is wrong."""
    for pattern, wanted in _MISTYPED:
        if found := re.fullmatch(pattern, wrong.rstrip(".")):
            name, kind, values = found.groups()
            wanted = wanted or next((words for sign, words in _WANTED if sign in kind), None)
            return wanted and f"{name} {values}: give {wanted}"
    return None


def flag(name: str) -> str:
    """The command line's spelling of a setting."""
    return "--" + name.replace("_", "-")


def merged(arguments: list[str], lists: set[str]) -> list[str]:
    """The same arguments with every list flag once: `--set a --set b` means `--set a b`, not its last one.

    Raises UserError for one without a value: `--tasks $NAMES` would mean all where the variable isn't set.
    """
    merged: dict[str, list[str]] = {}
    rest: list[str] = []
    target = rest
    for argument in arguments:
        name, equals, value = argument.partition("=")
        name = flag(name.lstrip("-")) if name.startswith("--") else name
        if name in lists:
            target = merged.setdefault(name, [])
            target += [value] if equals else []
            continue
        if argument.startswith("--"):
            target = rest
        target.append(argument)
    if empty := next((name for name, values in merged.items() if not values), None):
        raise UserError(f"{empty}: it has no value: give one or more, or leave it out")
    return rest + [word for name, values in merged.items() for word in (name, *values)]


def file_arguments(file: Path, known: Mapping[str, Any]) -> list[str]:
    """A YAML mapping as command-line arguments, so that both go through the same checks.

    known   the settings that a file may give, with their defaults

    Raises UserError where the file can't be read or says something else.
    """
    content = read_bytes(file, f"--config {file}", REMEDY, LARGEST)
    try:
        text = content.decode("utf-8-sig")
        settings = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"--config {file} is not valid YAML: {reason_of(error, 400)}") from error
    if not isinstance(settings, dict):
        raise UserError(f"--config {file}: give a mapping of settings such as 'epochs: 10'")
    given: dict[str, list[str]] = {}
    for key, value in settings.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise UserError(f"--config {file}: {unknown('setting', str(key), known, '--help')}")
        if name in given:
            raise UserError(f"--config {file}: {name} is given twice")
        try:
            given[name] = [] if value is None else [*_arguments(name, value, known[name])]
        except ValueError as error:
            raise UserError(f"--config {file}: {name}: {error}") from error
    return [argument for arguments in given.values() for argument in arguments]


def _arguments(name: str, value: Any, default: Any) -> Iterator[str]:
    """One setting's arguments. Raises ValueError for a value of a kind that the setting hasn't."""
    if isinstance(default, bool) and isinstance(value, bool):
        if value != default:
            yield flag(name if value else f"no_{name}")
        return
    if isinstance(default, bool) or isinstance(value, bool):
        raise ValueError(f"{value!r}: give {'true or false' if isinstance(default, bool) else 'a value'}")
    if isinstance(value, dict) and name != "set":
        raise ValueError(f"{value!r}: give a value or a list of values")
    if isinstance(value, list) and not isinstance(default, tuple) and name not in LISTS_BY_PRESET:
        raise ValueError(f"{value!r}: give one value")
    words = _words(value)
    if bad := next((word for word in words if re.match(r"-(?!\d)", word)), None):
        raise ValueError(f"{bad!r}: a value does not begin with '-'")
    yield flag(name)
    yield from words


def _words(value: Any, prefix: str = "") -> list[str]:
    """A YAML value as words; nested mappings (of `set`) become dotted assignments."""
    if isinstance(value, dict):
        return [
            word
            for key, each in value.items()
            for word in _words(each, f"{prefix}.{key}" if prefix else str(key))
        ]
    if prefix:
        return [f"{prefix}={'null' if value is None else value}"]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
