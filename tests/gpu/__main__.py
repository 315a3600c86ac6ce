"""`make gpu`: all that needs a GPU by one command, and one JSON file of what came of it.

Its parts are processes of their own, one after another: the tests marked gpu, the speed table, and a study.
The file is written after each, so that one that fails or is out of time costs the others nothing. The exit
code is 1 where a part did not pass, and 2 without a GPU.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark import records
from benchmark.arguments import parsed
from benchmark.errors import UserError
from benchmark.running.device import make_fabric
from benchmark.speed.content import machine
from tests.gpu.parts import PREPARE, carried_out
from tests.gpu.settings import PARTS, Everything

FORMAT = 1


def report_of(asked: Everything, place: Path) -> dict[str, Any]:
    """Carries out the parts in folders of `place`, and writes the file after each. Raises UserError."""
    began = time.monotonic()
    found: dict[str, Any] = {
        "format": FORMAT,
        "machine": machine(make_fabric(asked.device, "32"))
        | {"command": shlex.join(["python", "-m", "tests.gpu", *sys.argv[1:]])},
        "settings": vars(asked),
        "seconds": 0.0,
        "parts": {part: {"outcome": "not run"} for part in asked.parts},
    }
    _write(found, asked.json)
    for part in (name for name in PARTS if name in asked.parts):
        folder = place / part
        folder.mkdir()
        prepared = PREPARE[part](asked, folder)
        done = carried_out(prepared.words, began + 60 * asked.minutes * PARTS[part] - time.monotonic())
        content = prepared.content()
        passed = not done.code and prepared.passed(content)
        outcome = "out of time" if done.out_of_time else "passed" if passed else "failed"
        found["parts"][part] = {
            "outcome": outcome,
            "seconds": done.seconds,
            "command": shlex.join(["python", *prepared.words]),
            "exit_code": done.code,
            **({} if outcome == "passed" else {"last_lines": done.last_lines}),
            **content,
        }
        found["seconds"] = time.monotonic() - began
        _write(found, asked.json)
        print(f"{part}: {outcome} after {done.seconds:.0f} s", flush=True)
    return found


def _write(found: dict[str, Any], file: Path) -> None:
    try:
        records.write_json(file, found)
    except OSError as error:
        raise UserError(f"--json {file}: can't be written ({error.strerror or error})") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        asked = parsed(Everything, given, prog="python -m tests.gpu")
        asked.check()
        with tempfile.TemporaryDirectory() as place:
            found = report_of(asked, Path(place))
    except UserError as error:
        print(f"tests.gpu: {error}", file=sys.stderr)
        return 2
    print(f"{asked.json}: all of it, {found['seconds']:.0f} s")
    return int(any(part["outcome"] != "passed" for part in found["parts"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
