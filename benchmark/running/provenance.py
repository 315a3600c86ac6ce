"""Where a record comes from: code, versions, device, command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import benchmark
from benchmark import records
from benchmark.installed import packages_of
from benchmark.program import CODE, INSTALLED, ROOT, command, program
from benchmark.ranks import Fabric

PACKAGES = ("torch", "torchvision", "numpy", "scipy")


@dataclass(frozen=True)
class Origin:
    """Which code a command ran, and how it was typed: its processes elsewhere can't see it for themselves."""

    commit: str | None
    clean: bool | None
    command: str


_given: list[Origin] = []


def origin() -> Origin:
    """That of this process, or of the command that it works for."""
    return _given[0] if _given else Origin(*code(), shlex.join(_command()))


def work_for(origin: Origin) -> None:
    """From now on this process makes records for a command elsewhere."""
    _given[:] = [origin]


@cache
def code() -> tuple[str | None, bool | None]:
    """The git commit of the code and whether its tree was clean; (None, None) outside its own checkout.

    As it was when first asked: a process that is to leave records asks when it has imported the code, as
    another commit may be checked out before the first of them.

    An installed copy may lie in somebody else's repository (a virtual environment inside it): that one's
    commit says nothing of this code. Of files that git doesn't know, those beside the code may be part of it;
    a log or a link to data elsewhere is not.
    """
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT:
        return None, None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    added = _git("status", "--porcelain", "--", *CODE)
    clean = None if changed is None or added is None else not changed + added
    return _git("rev-parse", "HEAD"), clean


def provenance(
    fabric: Fabric,
    *,
    data_fingerprint: str = "",
    code_checksum: str = "",
    modules: Collection[str] = (),
) -> records.Provenance:
    """Everything that a reader needs to judge and repeat a run.

    modules   those that brought a part of it; what a file of the user's brought is in no commit of ours
    """
    device = fabric.device
    ours = origin()
    return records.Provenance(
        commit=ours.commit,
        clean=ours.clean and all(map(_is_known, modules)),
        versions={"python": platform.python_version()} | _versions() | packages_of(modules),
        device=device.type,
        device_name=torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        threads=torch.get_num_threads(),
        ranks=fabric.ranks.share.count,
        command=ours.command,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        data_fingerprint=data_fingerprint,
        code_checksum=code_checksum,
    )


@cache
def _is_known(module: str) -> bool:
    """Whether the file of a module is one of ours, of an installed package, or in the checkout's commit."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return False
    ours = any(Path(file).is_relative_to(ROOT / folder) for folder in CODE)
    return ours or bool(packages_of([module])) or _git("ls-files", "--error-unmatch", "--", file) is not None


def processor() -> str:
    """`AMD EPYC, AVX2`: the CPU's model where Linux tells it, else its kind; and the instructions torch uses.

    These decide in which order a sum is made, and so how it is rounded.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(named, platform.processor() or platform.machine())
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


def _command() -> list[str]:
    """The command that made the record, as a user would type it again."""
    return [*command(), *sys.argv[1:]] if program() == INSTALLED else ["python", *sys.argv]


def _versions() -> dict[str, str]:
    """The suite's own and those of libraries; what is not installed as a package has none."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    with suppress(PackageNotFoundError):
        found[INSTALLED] = benchmark.__version__
    return found


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
