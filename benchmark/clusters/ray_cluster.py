"""Cohorts as tasks of a Ray cluster: an existing one, or one that is started on this machine.

A task trains in a folder of its own node and gives back what it leaves, packed; the command's own process
stores it. No shared file system is needed. Ray places the tasks, ships the code, hands teachers to whoever
learns from them, and repeats what a lost node was at.
"""

from __future__ import annotations

import getpass
import io
import logging
import os
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmark import plugins
from benchmark.errors import UserError
from benchmark.merge import merge
from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.program import CHECKOUT
from benchmark.running.display import PlainDisplay, RemoteDisplay
from benchmark.running.ledger import Ledger
from benchmark.running.local import make_executor, without_teacher
from benchmark.running.locks import Claim, sweep
from benchmark.running.orders import ATTEMPTS, Done, Order, balanced, carry_out
from benchmark.running.provenance import ROOT, Origin, origin, work_for
from benchmark.running.teachers import is_kept
from benchmark.settings import Settings

REPEATS = 3
"""How often Ray repeats a task whose node or process was lost, before its order is halved."""
LOOK = 0.2
"""Seconds between two looks at what tasks tell."""
CODE = ("benchmark", "baselines", "tasks")
PROJECT = "pyproject.toml"
"""Where a checkout's version stands."""
RESULTS = "t"
"""The results folder's name where a task trains."""


@dataclass(frozen=True)
class Parcel:
    """What a task gives back: what it tells of its order, and the folders that it leaves, as a tar file."""

    done: Done
    content: bytes = b""


@dataclass(frozen=True)
class Errand:
    """What all tasks of a command are told: its settings, where it comes from, and the cores of each."""

    settings: Settings
    origin: Origin
    cpus: int


class RayExecutor:
    """Executes what is not yet recorded on a Ray cluster, as `Executor` does in one process.

    failures   a line for each run that can't be recorded, or only as a failure
    """

    def __init__(self, ledger: Ledger, settings: Settings, display: PlainDisplay):
        self._ledger, self._settings, self._display = ledger, settings, display
        self._teachers = settings.results_dir / "teachers"
        self._said: set[str] = set()
        self.failures: list[str] = []

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record, those that another command is at apart."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        with Claim() as claim:
            pending = list(self._claimed(cohorts, claim))
            for line in (*self._ledger.problems, *self._ledger.outdated()):
                self._display.say(line)
            done = total - sum(len(runs) for _, runs in pending)
            self._display.grid(done, total)
            for order in self._carried_out(pending) if pending else ():
                done += len(order.runs)
                if order.runs:
                    self._display.grid(done, total)
        sweep(self._ledger.folder / "runs")

    def _claimed(
        self, cohorts: Sequence[CohortSpec], claim: Claim
    ) -> Iterator[tuple[CohortSpec, tuple[RunSpec, ...]]]:
        for cohort in cohorts:
            pending = self._ledger.pending(cohort)
            free = tuple(run for run in pending if claim.take(self._ledger.run_folder(run).lock))
            if elsewhere := len(pending) - len(free):
                self.failures.append(
                    f"{cohort.title}: {elsewhere} runs are left to another command that is at them; "
                    "start this one again when it is done"
                )
            if free:
                yield cohort, free

    def _carried_out(self, pending: list[tuple[CohortSpec, tuple[RunSpec, ...]]]) -> Iterator[Order]:
        """Every order whose result is stored."""
        ray = _ray()
        with _connected(ray, self._settings), _board(ray) as board:
            cpus, gpus = _share(ray, self._settings)
            train = ray.remote(_train).options(num_cpus=cpus, num_gpus=gpus, max_retries=REPEATS)
            errand = ray.put(Errand(_for_tasks(self._settings), origin(), cpus))
            teachers: dict[str, Any] = {}
            orders: dict[Any, Order] = {}
            for cohort, _ in pending:
                teacher = cohort.teacher
                if teacher.id in teachers:
                    continue
                if is_kept(self._teachers, teacher):
                    teachers[teacher.id] = ray.put(Parcel(Done(), packed(self._teachers / teacher.slug)))
                else:
                    teachers[teacher.id] = train.remote(Order(cohort), errand, board, Parcel(Done()))
                    orders[teachers[teacher.id]] = Order(cohort)

            def start(order: Order) -> None:
                taught_by = teachers[order.cohort.teacher.id]
                orders[train.remote(order, errand, board, taught_by)] = order

            for order in balanced(pending, self._settings.jobs):
                start(order)
            while orders:
                ready, _ = ray.wait(list(orders), timeout=LOOK)
                self._tell(board)
                for task in ready:
                    order = orders.pop(task)
                    parcel = self._received(ray, task, order)
                    if parcel is None:
                        for again in self._again(order):
                            start(again)
                    elif self._stored(order, parcel):
                        yield order
            self._tell(board)

    def _received(self, ray: Any, task: Any, order: Order) -> Parcel | None:
        """What a task gives back; None where its process was lost again and again."""
        try:
            return ray.get(task)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from error
            raise RuntimeError(f"in a task of the cluster: {error}") from error
        except ray.exceptions.RayError as loss:
            cause = next(iter(str(loss).splitlines()), type(loss).__name__)
            self._display.say(f"{order.title}: its task was lost ({cause})")
            return None

    def _again(self, order: Order) -> tuple[Order, ...]:
        """The halves of an order whose task was lost; Ray has repeated the whole already."""
        again = replace(order, attempt=ATTEMPTS).after_a_death() if order.runs else ()
        if not order.runs:
            self.failures.append(f"{order.title}: its task was lost, {REPEATS + 1} times")
        for run in () if again else order.runs:
            self.failures.append(f"{run.slug} failed: its task was lost, {REPEATS + 1} times")
        return again

    def _stored(self, order: Order, parcel: Parcel) -> bool:
        """Puts what a task left into the results folder; False where it had no teacher."""
        self.failures += parcel.done.failures
        if parcel.done.no_teacher:
            if order.runs:
                self.failures.append(without_teacher(parcel.done.no_teacher, len(order.runs)))
            return False
        with tempfile.TemporaryDirectory(prefix=".ray-", dir=self._settings.results_dir) as place:
            unpack(parcel.content, Path(place))
            if not order.runs:
                self._keep_teacher(Path(place) / order.cohort.teacher.slug)
                return True
            for run in order.runs:  # what a killed command left of it, or a failure that was tried again
                shutil.rmtree(self._ledger.run_folder(run).path, ignore_errors=True)
            self.failures += merge([Path(place) / RESULTS], self._ledger.folder).left_out
        return True

    def _keep_teacher(self, folder: Path) -> None:
        target = self._teachers / folder.name
        if not (target / "record.json").exists():
            self._teachers.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)

    def _tell(self, board: Any) -> None:
        """Shows what tasks have told since the last look."""
        with suppress(Exception):  # the board is a courtesy: losing it loses no number
            for kind, *content in board.get_nowait_batch(board.qsize()):
                if kind == "progress":
                    self._display.elsewhere(*content)
                elif content[0] not in self._said:
                    self._said.add(content[0])
                    self._display.say(content[0])


def _train(order: Order, errand: Errand, board: Any, teacher: Parcel) -> Parcel:
    """What a task does: an order, in a folder of its own."""
    if teacher.done.no_teacher:
        return Parcel(Done(no_teacher=teacher.done.no_teacher))
    work_for(errand.origin)
    torch.set_num_threads(errand.cpus)

    def tell(message: tuple[str, ...]) -> None:
        with suppress(Exception):
            board.put_nowait(message)

    node = Path(tempfile.gettempdir()) / f"wcord-bench-{getpass.getuser()}"
    (node / "cache").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=node) as place:
        results = Path(place)
        (results / "cache").symlink_to(node / "cache", target_is_directory=True)
        unpack(teacher.content, results / "teachers")
        own = replace(errand.settings, results_dir=results, name=RESULTS)
        executor = make_executor(own, plugins.load(own.plugin), RemoteDisplay(tell))
        done = carry_out(order, executor)
        if done.no_teacher:
            return Parcel(done)
        if order.runs:
            return Parcel(done, packed(results / RESULTS))
        return Parcel(done, packed(results / "teachers" / order.cohort.teacher.slug))


def packed(folder: Path) -> bytes:
    """A folder with all that is in it, as a tar file; empty where it is not there."""
    if not folder.is_dir():
        return b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(folder, arcname=folder.name)
    return stream.getvalue()


def unpack(content: bytes, place: Path) -> None:
    """Puts what `packed` packed into a folder; nothing of it gets out of there."""
    place.mkdir(parents=True, exist_ok=True)
    if content:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(place, filter="data")


def _ray() -> Any:
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
def _connected(ray: Any, settings: Settings) -> Iterator[None]:
    """A connection to the cluster, with our code and the user's plugins on every node."""
    if ray.is_initialized():
        yield
        return
    _check_address(settings.ray_address)
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
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return UserError(
        f"--ray-address {address}: {reason}; give the address of a running cluster (HOST:PORT, or auto), or "
        "none to start one on this machine"
    )


def _ship(settings: Settings, place: Path) -> None:
    """Puts what every node needs into a folder: the user's plugins, and a checkout's code (an installed copy
    is on the nodes already)."""
    for file in settings.plugin:
        shutil.copy(file, place)
    if (ROOT / CHECKOUT).exists():
        for name in CODE:
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / PROJECT, place)


@contextmanager
def _board(ray: Any) -> Iterator[Any]:
    """Where tasks tell how far they are: on this node, which outlives every other."""
    here = ray.get_runtime_context().get_node_id()
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
    board = ray.util.queue.Queue(actor_options={"num_cpus": 0, "scheduling_strategy": affinity})
    try:
        yield board
    finally:
        with suppress(Exception):
            board.shutdown(force=True)


def _share(ray: Any, settings: Settings) -> tuple[int, float]:
    """Cores and GPUs of a task: the cluster's, among as many as train at a time; no more than a node has."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = 0 if settings.device == "cpu" else sum(node.get("GPU", 0) for node in nodes)
    largest = max(node.get("CPU", 0) for node in nodes)
    return int(max(1, min(cpus // settings.jobs, largest))), min(1.0, gpus / settings.jobs)


def _for_tasks(settings: Settings) -> Settings:
    """The settings with paths as they are on every node: plugins were shipped to where tasks start."""
    return replace(
        settings,
        plugin=tuple(Path(file.name) for file in settings.plugin),
        data_dir=None if settings.data_dir is None else settings.data_dir.resolve(),
        jobs=1,
    )
