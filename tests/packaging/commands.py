"""Commands in processes of their own, which see no checkout and no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHEEL = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")


def command(*arguments: object, cwd: Path, fails: bool = False, path: Path | None = None) -> str:
    """What a command prints; its errors where it is meant to fail.

    path   a folder of packages that Python sees beside its own
    """
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(cwd), "COLUMNS": "200"}
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, capture_output=True, text=True, timeout=400,
        env=environment | ({} if path is None else {"PYTHONPATH": str(path)}),
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def built(source: Path, folder: Path) -> Path:
    """The wheel that pip builds in `folder` of a source tree or a source distribution."""
    folder.mkdir()
    command(sys.executable, *WHEEL, folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files() -> list[str]:
    """Every file of the checkout that is the project's own, or of the source distribution that this is."""
    kept = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(kept, cwd=ROOT, capture_output=True, text=True, timeout=60)
    unpacked = ROOT / "wcord_bench.egg-info" / "SOURCES.txt"
    text = unpacked.read_text() if listed.returncode else listed.stdout
    return [name for name in text.splitlines() if (ROOT / name).is_file()]
