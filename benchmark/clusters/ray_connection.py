"""A connection to a Ray cluster: our code on its nodes, what they have and see, and a board for news."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmark.errors import UserError, reason_of
from benchmark.program import CHECKOUT, CODE, ROOT
from benchmark.settings import Settings

PROJECT = "pyproject.toml"
"""Where a checkout's version stands."""
MARK = ".ray-"
"""What files that are there for a while only are called in the results folder."""
PATIENCE = 600.0
"""Seconds that nodes have to say whether they see the results folder."""


def import_ray() -> Any:
    """The library, an optional one. Raises UserError."""
    os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")  # it would put a `print` of its own in Python's place
    try:
        import ray
        import ray.util.queue
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UserError("--executor ray needs Ray: install it with pip install 'wcord-bench[ray]'") from error
    return ray


@contextmanager
def connected(ray: Any, settings: Settings) -> Iterator[None]:
    """A connection to the cluster, with our code and the user's plugins on every node."""
    _check_address(settings.ray_address)
    if ray.is_initialized():
        yield
        return
    with tempfile.TemporaryDirectory() as shipped:
        _ship(settings, Path(shipped))
        try:
            ray.init(
                address=settings.ray_address or None,
                runtime_env={"working_dir": shipped},
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if not settings.ray_address else None,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(settings.ray_address, error) from error
        try:
            yield
        finally:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Raises UserError where nobody answers: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not address or address == "auto":
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> UserError:
    return UserError(
        f"--ray-address {address}: {reason_of(error)}; give the address of a running cluster (HOST:PORT, or "
        "auto), or none to start one on this machine"
    )


def shipped_plugins(files: Iterable[Path]) -> dict[Path, Path]:
    """Each file of the user's plugins, and where it stands on every node, from where tasks start.

    Two of one name stand in folders of their own.
    """
    files = dict.fromkeys(file.resolve() for file in files)
    names = Counter(file.name for file in files)
    return {
        file: Path(file.name) if names[file.name] == 1 else Path(str(number), file.name)
        for number, file in enumerate(files, start=1)
    }


def _ship(settings: Settings, place: Path) -> None:
    """Puts what every node needs into a folder: the user's plugins, and a checkout's code (an installed copy
    is on the nodes already)."""
    for file, shipped in shipped_plugins(settings.plugin).items():
        (place / shipped).parent.mkdir(exist_ok=True)
        shutil.copy(file, place / shipped)
    if (ROOT / CHECKOUT).exists():
        for name in CODE:
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / PROJECT, place)


@contextmanager
def seen_by_all(ray: Any, folder: Path) -> Iterator[Path | None]:
    """A file in a folder that every node can write to under the same path; None where one can't."""
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy

    @ray.remote(num_cpus=0)
    def writable(file: str) -> bool:  # in here Ray ships its code, and nodes need not import ours
        return os.access(file, os.R_OK | os.W_OK)

    with tempfile.NamedTemporaryFile(prefix=MARK, dir=folder) as mark:
        seen = [
            writable.options(scheduling_strategy=affinity(node["NodeID"], soft=False)).remote(mark.name)
            for node in ray.nodes()
            if node["Alive"]
        ]
        try:
            shared = all(ray.get(seen, timeout=PATIENCE))
        except ray.exceptions.RayError:
            shared = False
        yield Path(mark.name) if shared else None


@contextmanager
def board_of(ray: Any) -> Iterator[Any]:
    """Where tasks tell how far they are: on this node, which outlives every other."""
    here = ray.get_runtime_context().get_node_id()
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    board = ray.util.queue.Queue(actor_options={"num_cpus": 0, "scheduling_strategy": affinity})
    try:
        yield board
    finally:
        with suppress(Exception):
            board.shutdown(force=True)


def share_of_a_task(ray: Any, settings: Settings) -> tuple[int, float]:
    """Cores and GPUs of a task: the cluster's, among as many as train at a time; no more than a node has."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = 0 if settings.device == "cpu" else sum(node.get("GPU", 0) for node in nodes)
    largest = max(node.get("CPU", 0) for node in nodes)
    return int(max(1, min(cpus // settings.jobs, largest))), min(1.0, gpus / settings.jobs)
