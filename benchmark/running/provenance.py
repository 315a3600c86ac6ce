"""Where a record comes from: code, versions, device, command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]


@cache
def code() -> dict[str, Any]:
    """The git commit of the code and whether its tree was clean; None outside a repository."""
    commit = _git("rev-parse", "HEAD")
    return {
        "commit": commit,
        "clean": None if commit is None else not _git("status", "--porcelain", "--", ROOT),
    }


def provenance(device: torch.device, **further: Any) -> dict[str, Any]:
    """Everything that a reader needs to judge and repeat a run."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        **code(),
        "versions": {"python": platform.python_version()}
        | {
            package: version(package) for package in ("torch", "torchvision", "numpy", "scipy", "wcord-bench")
        },
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
        "command": shlex.join(["python", *sys.argv]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **further,
    }


def _git(*arguments: object) -> str | None:
    try:
        done = subprocess.run(
            ["git", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
