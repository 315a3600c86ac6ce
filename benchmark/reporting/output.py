"""Files of a report: each written whole or not at all, and an error in writing is one line that names it."""

import re
from pathlib import Path

from benchmark.errors import UserError
from benchmark.reporting.identity import stable_id
from benchmark.writing import write_whole


def file_name(stem: str) -> str:
    """The stem as the name of a file: records may hold any text, a way out of the folder among it."""
    plain = re.sub(r"[^\w.+-]", "_", stem).lstrip(".")
    return plain if len(plain) <= 120 else f"{plain[:100]}_{stable_id(stem)}"


def make_folder(folder: Path) -> Path:
    """The folder, made where it is missing. Raises UserError where it can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write(path: Path, content: str | bytes) -> Path:
    """Writes text (UTF-8) or bytes; what stood there before stays until the whole is written.

    Raises:
        UserError: where it can't be written: a folder without permission, a full disk.
    """
    try:
        write_whole(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"{path} can't be written ({reason}): make room or give the right to write, then --report-only"
    )
