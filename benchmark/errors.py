"""Exceptions that mean 'the user can mend this': the command prints their line and exits with 2."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from benchmark.program import program

LONGEST = 600
"""Characters of a message: what a user gave may be longer than anyone would read."""


class UserError(Exception):
    """Bad input. The message is one line that names the thing and the remedy.

    It stays one printable line of bounded length, whatever it quotes: a name with a line break in it, a value
    of a megabyte, bytes that are no text.
    """

    def __init__(self, message: object = ""):
        super().__init__(one_line(str(message)))


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text without line breaks, unprintable characters escaped, its middle left out if it is too long."""
    if len(text) > longest:
        kept = longest - len(" [...] ")
        text = f"{text[: kept - kept // 3]} [...] {text[len(text) - kept // 3 :]}"
    line = " ".join(text.splitlines())
    if line.isprintable():
        return line
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return escaped if len(escaped) <= longest else one_line(escaped, longest)


def reason_of(error: BaseException, longest: int = 200) -> str:
    """What an exception of foreign code says, in one line; its kind where it says nothing."""
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except Exception:  # its own __str__ may raise
        lines = []
    return one_line(lines[0], longest) if lines else type(error).__name__


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: half a letter (a lone surrogate, of a file's name say) is escaped."""
    return text.encode(errors="backslashreplace").decode()


class Unreadable(UserError):
    """A sample on disk can't be read: whoever trains on the same batches has the same trouble."""


class RanksApart(Exception):
    """Processes that train together can't go on: one of them failed alone, has ended or gives no answer."""


class DiskFull(UserError):
    """Nothing more can be written. What was kept so far stays, and the same command goes on from there."""

    @classmethod
    def of(cls, error: OSError) -> DiskFull:
        """The line on it. No constructor of its own: another process unpickles it by its message."""
        return cls(
            f"{error.filename or 'the results folder'}: {error.strerror}; make room and start the same "
            "command again: it goes on from what is recorded"
        )


def means_full_disk(error: OSError) -> bool:
    """Whether nothing more can be written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_full_told() -> Iterator[None]:
    """Raises DiskFull for the OSErrors of the body that mean it; others pass as they are."""
    try:
        yield
    except OSError as error:
        if means_full_disk(error):
            raise DiskFull.of(error) from error
        raise


def told_of_file(error: OSError) -> UserError:
    """The line on a file or folder that the system does not let be read or written."""
    if means_full_disk(error):
        return DiskFull.of(error)
    place = f"{error.filename}: " if error.filename else ""
    return UserError(
        f"{place}{error.strerror or reason_of(error)}; mend that and start the same command again: it goes "
        "on from what is recorded"
    )


def unknown(kind: str, name: str, known: Iterable[str], listed: str = "--list") -> UserError:
    """An error for a name that is not in `known`, with the nearest known names (or all of them, when few).

    listed   the flag that prints all of them
    """
    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    parts = re.split(r"[\s,;]+", name.strip(" ,;"))
    if len(parts) > 1 and lowered.keys() >= {part.lower() for part in parts}:
        hint = f"give each {kind} by itself: {' '.join(lowered[part.lower()] for part in parts)}"
    elif near:
        hint = f"did you mean {' or '.join(near)}?"
    elif len(names) <= 12:
        hint = f"known: {', '.join(names) or 'none'}"
    else:
        hint = f"see them all with {program()} {listed}"
    return UserError(f"unknown {kind} {name!r}: {hint}")
