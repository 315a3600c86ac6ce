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
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from benchmark import interruption, plugins
from benchmark.errors import UserError, told_of_file
from benchmark.planning.specs import CohortSpec
from benchmark.running.device import crowding
from benchmark.running.display import PlainDisplay, RemoteDisplay
from benchmark.running.ledger import Ledger, Pending, runs_in
from benchmark.running.local import make_executor, without_teacher
from benchmark.running.orders import ATTEMPTS, Done, Order, balanced, carry_out
from benchmark.running.provenance import code
from benchmark.running.teachers import is_kept
from benchmark.settings import Settings

PATIENCE = 30.0
"""Seconds that a worker has to end its step and keep its trainings, once it is told to stop."""


def send(connection: Connection, message: tuple[Any, ...]) -> None:
    """Tells the parent; a worker that has none any more ends at once: nobody would record what it does."""
    try:
        connection.send(message)
    except OSError:
        os._exit(1)


def serve(connection: Connection, settings: Settings, number: int) -> None:
    """What a worker process does: one order after another, until it is told None."""
    with interruption.signals_heard():
        # Ctrl-C reaches the parent too, which ends its workers by SIGTERM, and so may a scheduler's SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, interruption.hear_once)
        try:
            _serve(connection, settings, number)
        except interruption.Interrupted as stop:
            sys.exit(stop.exit_code)


def _serve(connection: Connection, settings: Settings, number: int) -> None:
    torch.set_num_threads(own_threads(settings.jobs))
    code()  # its own: it may have been started long after the command, in a dead one's place
    try:
        executor = make_executor(
            replace(settings, device=device_of(settings.device, number)),
            plugins.load(settings.plugin),
            RemoteDisplay(partial(send, connection)),
        )
        while (order := connection.recv()) is not None:
            send(connection, ("done", carry_out(order, executor)))
    except EOFError:
        pass
    except UserError as error:
        send(connection, ("refused", str(error)))
    except OSError as error:
        send(connection, ("refused", str(told_of_file(error))))
    except Exception:
        send(connection, ("broken", traceback.format_exc()))


def own_threads(jobs: int) -> int:
    """How many threads each of `jobs` workers computes with: its share of this process's."""
    return max(1, torch.get_num_threads() // jobs)


def device_of(device: str, number: int) -> str:
    """The device of a worker: the GPUs that are there, in turn, unless one is named."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{number % torch.cuda.device_count()}"
    return device


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
        self._idle_deaths = 0
        self.failures: list[str] = []

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record; the first order that can't be carried out ends the command."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        pending = self._ledger.opened(cohorts, self._display.say)
        jobs = self._settings.jobs
        if pending and (advice := crowding(device_of(self._settings.device, 0), own_threads(jobs), jobs)):
            self._display.say(advice)
        done = total - runs_in(pending)
        self._display.grid(done, total)
        try:
            for order in self._carried_out(pending):
                done += len(order.runs)
                if order.runs:
                    self._display.grid(done, total)
        finally:
            self._end()
        self._ledger.sweep()

    def _end(self) -> None:
        """Tells the workers to stop; kills those that don't in time, and all at a second signal."""
        try:
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.join(PATIENCE)
        finally:
            for worker in self._workers:
                worker.process.kill()

    def _carried_out(self, pending: Pending) -> Iterator[Order]:
        """Every order, as it is done: teachers first, each before whoever learns from it."""
        jobs = self._settings.jobs
        teachers = self._settings.results_dir / "teachers"
        awaited = {
            cohort.teacher.id: cohort for cohort, _ in pending if not is_kept(teachers, cohort.teacher)
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

    def _give(self, worker: _Worker, orders: deque[Order], awaited: Any) -> None:
        """Sends a worker the next order whose teacher is there."""
        order = next((o for o in orders if not o.runs or o.cohort.teacher.id not in awaited), None)
        if order is not None:
            try:
                worker.connection.send(order)
            except OSError:
                return  # it has died; `_heard` puts another one in its place
            orders.remove(order)
            worker.order = order

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
                self._display.say_once(*content)
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
        return order.without(done.left)

    def _lose_teacher(self, order: Order, failure: str, orders: deque[Order]) -> None:
        """Takes back what was to learn from a teacher that can't be had."""
        lost = [each for each in orders if each.cohort.teacher.id == order.cohort.teacher.id]
        for each in lost:
            orders.remove(each)
        self.failures.append(without_teacher(failure, sum(len(each.runs) for each in lost)))

    def _bury(self, worker: _Worker, orders: deque[Order]) -> None:
        """Puts another worker in the place of a dead one, and decides what becomes of its order."""
        worker.process.join()
        code, order = worker.process.exitcode, worker.order
        cause = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with {code}"
        self._workers[self._workers.index(worker)] = self._started(worker.number)
        if order is None:
            self._idle_deaths += 1
            if self._idle_deaths > ATTEMPTS * self._settings.jobs:
                raise RuntimeError(f"worker process {worker.number} {cause} before it had anything to do")
            return
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
        # No daemon: those may not start the processes that read data ahead. `execute` ends them all.
        process = self._context.Process(target=serve, args=(theirs, self._settings, number))
        process.start()
        theirs.close()  # so that the pipe ends with the worker
        return _Worker(process, ours, number)
