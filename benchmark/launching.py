"""What a process is told of where it runs: its cores, and by torchrun's variables or our own its company; and
whether another one is at work there."""

from __future__ import annotations

import os

MEETING_POINT = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What processes of several machines are told, where torchrun does not."""


def own_cores() -> list[int]:
    """The numbers of the cores that this process may run on: in a job of a cluster, say, not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


def by_torchrun() -> bool:
    """Whether torchrun has started this process, and all others."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def world() -> int:
    """How many processes torchrun has started, on all machines."""
    return int(os.environ["WORLD_SIZE"])


def local_world() -> int:
    """How many it has started on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"])


def node() -> int:
    """The number of this machine."""
    return int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))


def local() -> int:
    """The number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def leads() -> bool:
    """Whether this process is the first of all."""
    return node() == 0 and local() == 0


def is_alive(process: int) -> bool:
    """Whether a process of this machine is at work."""
    if os.name != "posix":
        return True  # where signal 0 would end it
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
