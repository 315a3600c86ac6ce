"""Cohorts in several processes of this machine: each has its share of the cores and a GPU of those there.

A worker is told which runs of a cohort to train, and trains them as one process would. One that dies costs
its own order only: that is tried once more, then halved until the run that kills it is known.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from benchmark import interruption, plugins
from benchmark.errors import UserError
from benchmark.planning.specs import CohortSpec, RunSpec, TeacherSpec
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import Ledger
from benchmark.running.local import Executor, make_executor, without_teacher
from benchmark.running.locks import sweep
from benchmark.running.teachers import TeacherFailed, is_kept
from benchmark.settings import Settings

OVERLOAD = 1.05
"""How much more than its share of the runs a worker may get before a cohort is divided."""
PATIENCE = 30.0
"""Seconds that a worker has to end its step and keep its trainings, once it is told to stop."""
ATTEMPTS = 2
"""How often the same order may kill its worker before it is halved."""


@dataclass(frozen=True)
class Order:
    """What one worker is to do: train these runs of a cohort, or (none) its teacher alone.

    patient   whether it waits for another command that is at them
    """

    cohort: CohortSpec
    runs: tuple[RunSpec, ...] = ()
    attempt: int = 1
    patient: bool = False

    @property
    def title(self) -> str:
        """What the user calls it."""
        if not self.runs:
            return f"teacher {self.cohort.teacher.architecture} on {self.cohort.data.dataset}"
        return self.cohort.title

    def after_a_death(self) -> tuple[Order, ...]:
        """What is tried next: the same once more, then its halves; nothing where a single run is to blame."""
        if self.attempt < ATTEMPTS:
            return (replace(self, attempt=self.attempt + 1),)
        return (
            tuple(Order(self.cohort, runs) for runs in parts_of(self.runs, 2)) if len(self.runs) > 1 else ()
        )


def parts_of(runs: Sequence[RunSpec], count: int) -> list[tuple[RunSpec, ...]]:
    """The runs in up to `count` parts of about one size; those that train alike stay together."""
    alike: dict[str, list[RunSpec]] = {}
    for run in runs:
        alike.setdefault(run.training_id, []).append(run)
    groups = list(alike.values())
    count = min(count, len(groups))
    return [tuple(run for group in groups[k::count] for run in group) for k in range(count)]


def balanced(pending: Sequence[tuple[CohortSpec, tuple[RunSpec, ...]]], jobs: int) -> list[Order]:
    """The orders of a grid, the largest first: whole cohorts, of which each pays one teacher pass.

    A cohort is shared out among all workers where it would leave one with more runs than its share.
    """
    share = OVERLOAD * sum(len(runs) for _, runs in pending) / jobs
    orders, loads = [], [0] * jobs
    for cohort, runs in sorted(pending, key=lambda each: len(each[1]), reverse=True):
        whole = min(loads) + len(runs) <= share
        for part in [runs] if whole else parts_of(runs, jobs):
            orders.append(Order(cohort, part))
            loads[loads.index(min(loads))] += len(part)
    return orders


class RemoteDisplay(PlainDisplay):
    """A worker's display: what it says goes to the process that the user looks at."""

    def __init__(self, connection: Connection):
        super().__init__(None)
        self._connection, self._title = connection, ""

    def say(self, line: str) -> None:
        send(self._connection, ("say", line))

    def grid(self, done: int, total: int, underway: int = 0) -> None:
        pass

    def training(self, title: str, counts: bool = False) -> PlainDisplay:
        self._title = title
        return super().training(title, counts)

    def told(self, line: str) -> None:
        send(self._connection, ("progress", self._title, line))


def send(connection: Connection, message: tuple[Any, ...]) -> None:
    """Tells the parent; a worker that has none any more ends at once: nobody would record what it does."""
    try:
        connection.send(message)
    except OSError:
        os._exit(1)


def serve(connection: Connection, settings: Settings, number: int) -> None:
    """What a worker process does: one order after another, until it is told None."""
    with interruption.signals_heard():
        # Ctrl-C reaches the parent too, which ends its workers by SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            _serve(connection, settings, number)
        except interruption.Interrupted as stop:
            sys.exit(stop.exit_code)


def _serve(connection: Connection, settings: Settings, number: int) -> None:
    torch.set_num_threads(max(1, torch.get_num_threads() // settings.jobs))
    try:
        executor = make_executor(
            replace(settings, device=device_of(settings.device, number)),
            plugins.load(settings.plugin),
            RemoteDisplay(connection),
        )
        while (order := connection.recv()) is not None:
            send(connection, ("done", _carry_out(order, executor)))
            executor.failures.clear()
    except EOFError:
        pass
    except UserError as error:
        send(connection, ("refused", str(error)))
    except Exception:
        send(connection, ("broken", traceback.format_exc()))


def _carry_out(order: Order, executor: Executor) -> Done:
    if order.runs and order.patient:
        executor.wait_and_perform(order.cohort, order.runs)
        return Done(tuple(executor.failures))
    if order.runs:
        left = executor.perform(order.cohort, order.runs)
        return Done(tuple(executor.failures), left)
    try:
        executor.train_teacher(order.cohort)
    except TeacherFailed as failure:
        return Done(no_teacher=str(failure))
    return Done()


def device_of(device: str, number: int) -> str:
    """The device of a worker: the GPUs that are there, in turn, unless one is named."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{number % torch.cuda.device_count()}"
    return device


@dataclass(frozen=True)
class Done:
    """What a worker tells of an order that it carried out.

    failures     a line for each run that can't be recorded, or only as a failure
    left         runs that another command is at
    no_teacher   why the teacher that it was to train can't be had
    """

    failures: tuple[str, ...] = ()
    left: tuple[RunSpec, ...] = ()
    no_teacher: str = ""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    number: int
    order: Order | None = None


class WorkerPool:
    """Executes what is not yet recorded in `jobs` processes, as `Executor` does in one.

    failures   a line for each run that ended in an error of its baseline's code, or that killed its worker
    """

    def __init__(self, ledger: Ledger, settings: Settings, display: PlainDisplay):
        self._ledger, self._settings, self._display = ledger, settings, display
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._said: set[str] = set()
        self.failures: list[str] = []

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record; the first order that can't be carried out ends the command."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        found = [(cohort, self._ledger.pending(cohort)) for cohort in cohorts]
        for line in (*self._ledger.problems, *self._ledger.outdated()):
            self._display.say(line)
        pending = [(cohort, runs) for cohort, runs in found if runs]
        done = total - sum(len(runs) for _, runs in pending)
        self._display.grid(done, total)
        try:
            for order in self._carried_out(pending):
                done += len(order.runs)
                if order.runs:
                    self._display.grid(done, total)
        finally:
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.join(PATIENCE)
                worker.process.kill()
        sweep(self._ledger.folder / "runs")

    def _carried_out(self, pending: list[tuple[CohortSpec, tuple[RunSpec, ...]]]) -> Iterator[Order]:
        """Every order, as it is done: teachers first, each before whoever learns from it."""
        jobs = self._settings.jobs
        awaited = {
            cohort.teacher.id: cohort for cohort, _ in pending if not self._has_teacher(cohort.teacher)
        }
        orders = deque(Order(cohort) for cohort in awaited.values())
        orders += balanced(pending, jobs)
        count = min(jobs, len(orders))
        self._workers = [self._started(number) for number in range(count)]
        while orders or any(worker.order for worker in self._workers):
            for worker in self._workers:
                if worker.order is None:
                    self._give(worker, orders, awaited.keys())
            yield from self._heard(orders, awaited.pop)

    def _has_teacher(self, teacher: TeacherSpec) -> bool:
        folder = self._settings.results_dir / "teachers"
        return teacher.kind == "untrained" or bool(teacher.checkpoint) or is_kept(folder, teacher)

    def _give(self, worker: _Worker, orders: deque[Order], awaited: Any) -> None:
        """Sends a worker the next order whose teacher is there."""
        order = next((o for o in orders if not o.runs or o.cohort.teacher.id not in awaited), None)
        if order is not None:
            orders.remove(order)
            worker.order = order
            worker.connection.send(order)

    def _heard(self, orders: deque[Order], ready: Callable[[str, None], object]) -> Iterator[Order]:
        """Waits for one message or death of each worker that has something to tell."""
        by_source = {worker.connection: worker for worker in self._workers}
        for source in wait(list(by_source)):
            worker = by_source[source]  # pyright: ignore[reportArgumentType]
            try:
                kind, *content = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker, orders)
                continue
            if kind == "say":
                self._say_once(content[0])
            elif kind == "progress":
                self._display.elsewhere(*content)
            elif kind == "refused":
                raise UserError(content[0])
            elif kind == "broken":
                raise RuntimeError(f"in a worker process:\n{content[0]}")
            else:
                order, worker.order = worker.order, None
                assert order is not None
                yield self._noted(order, content[0], orders, ready)

    def _noted(
        self, order: Order, done: Done, orders: deque[Order], ready: Callable[[str, None], object]
    ) -> Order:
        """The order as far as it was carried out; what it left over comes last."""
        self.failures += done.failures
        if done.no_teacher:
            self._lose_teacher(order, done.no_teacher, orders)
        elif not order.runs:
            ready(order.cohort.teacher.id, None)
        if done.left:
            orders.append(Order(order.cohort, done.left, patient=True))
        return replace(order, runs=tuple(run for run in order.runs if run not in done.left))

    def _lose_teacher(self, order: Order, failure: str, orders: deque[Order]) -> None:
        """Takes back what was to learn from a teacher that can't be had."""
        lost = [each for each in orders if each.cohort.teacher.id == order.cohort.teacher.id]
        for each in lost:
            orders.remove(each)
        self.failures.append(without_teacher(failure, sum(len(each.runs) for each in lost)))

    def _say_once(self, line: str) -> None:
        """Several workers load one teacher, and each would tell of it."""
        if line not in self._said:
            self._said.add(line)
            self._display.say(line)

    def _bury(self, worker: _Worker, orders: deque[Order]) -> None:
        """Puts another worker in the place of a dead one, and decides what becomes of its order."""
        worker.process.join()
        code, order = worker.process.exitcode, worker.order
        cause = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with {code}"
        self._workers[self._workers.index(worker)] = self._started(worker.number)
        if order is None:
            raise RuntimeError(f"worker process {worker.number} {cause} before it had anything to do")
        again = order.after_a_death()
        names = ", ".join(run.name for run in order.runs) or "the teacher"
        self._display.say(f"{order.title}: the process that trained {names} {cause}")
        orders.extendleft(reversed(again))
        if not again and not order.runs:
            self._lose_teacher(order, f"{order.title}: its process {cause} {ATTEMPTS} times", orders)
        for run in () if again else order.runs:
            self.failures.append(f"{run.slug} failed: its process {cause}, {ATTEMPTS} times")

    def _started(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._settings, number), daemon=True)
        process.start()
        theirs.close()  # so that the pipe ends with the worker
        return _Worker(process, ours, number)
