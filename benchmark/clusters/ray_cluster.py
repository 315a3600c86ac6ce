"""Cohorts as tasks of a Ray cluster: an existing one, or one that is started on this machine.

Where every node sees the results folder, tasks train in it as processes of one machine do, and go on from
the snapshots of those that were lost. Where one does not, a task trains in a folder of its own node and gives
back what it leaves, packed; the command's own process stores it. Ray places the tasks, ships the code, hands
teachers to whoever learns from them, and repeats what a lost node was at.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.clusters.ray_connection import (
    MARK,
    board_of,
    connected,
    import_ray,
    seen_by_all,
    share_of_a_task,
    shipped_plugins,
)
from benchmark.clusters.ray_tasks import RESULTS, Errand, Parcel, packed, train, unpack
from benchmark.errors import UserError, reason_of, told_of_file
from benchmark.merge import merge
from benchmark.planning.specs import CohortSpec
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import Ledger, Pending, runs_in
from benchmark.running.local import without_teacher
from benchmark.running.locks import Claim
from benchmark.running.orders import ATTEMPTS, Done, Order, balanced
from benchmark.running.provenance import origin
from benchmark.running.store import RunFolder
from benchmark.running.teachers import is_kept
from benchmark.settings import Settings

REPEATS = 3
"""How often Ray repeats a task whose node or process was lost, before its order is halved."""
LOOK = 0.2
"""Seconds between two looks at what tasks tell."""


class RayExecutor:
    """Executes what is not yet recorded on a Ray cluster, as `Executor` does in one process.

    failures   a line for each run that can't be recorded, or only as a failure
    """

    def __init__(self, ledger: Ledger, settings: Settings, display: PlainDisplay):
        self._ledger, self._settings, self._display = ledger, settings, display
        self._teachers = settings.results_dir / "teachers"
        self.failures: list[str] = []

    def execute(self, cohorts: Sequence[CohortSpec]) -> None:
        """Trains every run without a record; those that another command is at are waited for in the end."""
        total = sum(len(cohort.runs) for cohort in cohorts)
        pending = self._ledger.opened(cohorts, self._display.say)
        done = total - runs_in(pending)
        self._display.grid(done, total)
        if pending:
            ray = import_ray()
            with (
                connected(ray, self._settings),
                seen_by_all(ray, self._settings.results_dir.absolute()) as shared,
                board_of(ray) as board,
            ):
                while pending:
                    with Claim() as claim:
                        # In a shared folder the tasks themselves claim what they train.
                        ours, theirs = (pending, []) if shared else self._claimed(pending, claim)
                        for order in self._carried_out(ray, board, shared, ours):
                            done += len(order.runs)
                            if order.runs:
                                self._display.grid(done, total)
                    pending = self._awaited(theirs)
                    done += runs_in(theirs) - runs_in(pending)
        self._ledger.sweep()

    def _claimed(self, pending: Pending, claim: Claim) -> tuple[Pending, Pending]:
        """What of it no other command is at, and the rest."""
        ours: Pending = []
        theirs: Pending = []
        for cohort, runs in pending:
            free = {run.name for run in self._ledger.claimed(runs, claim)}
            ours.append((cohort, tuple(run for run in runs if run.name in free)))
            theirs.append((cohort, tuple(run for run in runs if run.name not in free)))
        return [each for each in ours if each[1]], [each for each in theirs if each[1]]

    def _awaited(self, theirs: Pending) -> Pending:
        """What other commands leave of it, once they are done."""
        left = [(cohort, self._ledger.awaited(cohort, runs, self._display.say)) for cohort, runs in theirs]
        return [each for each in left if each[1]]

    def _carried_out(self, ray: Any, board: Any, shared: Path | None, pending: Pending) -> Iterator[Order]:
        """Every order whose result is stored."""
        cpus, gpus = share_of_a_task(ray, self._settings)
        send = ray.remote(train).options(num_cpus=cpus, num_gpus=gpus, max_retries=REPEATS).remote
        checkpoint = self._settings.teacher_checkpoint
        errand = ray.put(
            Errand(
                _for_tasks(self._settings),
                origin(),
                cpus,
                shared,
                b"" if checkpoint is None else checkpoint.read_bytes(),
            )
        )
        teachers: dict[str, Any] = {}
        orders: dict[Any, Order] = {}
        for cohort, _ in pending:
            teacher = cohort.teacher
            if teacher.id in teachers:
                continue
            if is_kept(self._teachers, teacher):
                content = b"" if shared else packed(self._teachers, self._teachers / teacher.slug)
                teachers[teacher.id] = ray.put(Parcel(Done(), content))
            else:
                teachers[teacher.id] = send(Order(cohort), errand, board, Parcel(Done()))
                orders[teachers[teacher.id]] = Order(cohort)

        def start(order: Order) -> None:
            folders = [self._ledger.run_folder(run).path for run in order.runs]
            begun = b"" if shared else packed(self._ledger.folder, *folders)
            taught_by = teachers[order.cohort.teacher.id]
            orders[send(order, errand, board, taught_by, begun)] = order

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
                    continue
                if left := parcel.done.left:
                    start(Order(order.cohort, left, patient=True))
                if self._stored(order, parcel):
                    yield order.without(left)
        self._tell(board)

    def _received(self, ray: Any, task: Any, order: Order) -> Parcel | None:
        """What a task gives back; None where its process was lost again and again."""
        try:
            return ray.get(task)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise UserError(str(error.cause)) from error
            if isinstance(error.cause, OSError):
                raise told_of_file(error.cause) from error
            raise RuntimeError(f"in a task of the cluster: {error}") from error
        except ray.exceptions.RayError as loss:
            self._display.say(f"{order.title}: its task was lost ({reason_of(loss)})")
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
        if not parcel.content:
            return True  # it trained in the results folder
        with tempfile.TemporaryDirectory(prefix=MARK, dir=self._settings.results_dir) as place:
            unpack(parcel.content, Path(place))
            if not order.runs:
                self._keep_teacher(Path(place) / order.cohort.teacher.slug)
                return True
            for run in order.runs:
                record = self._ledger.record(run)
                if record is None or record.status == "failed":  # of a killed command, or tried again
                    shutil.rmtree(self._ledger.run_folder(run).path, ignore_errors=True)
            self.failures += merge([Path(place) / RESULTS], self._ledger.folder).left_out
        return True

    def _keep_teacher(self, folder: Path) -> None:
        target = self._teachers / folder.name
        if not RunFolder(target).record.exists():
            self._teachers.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)

    def _tell(self, board: Any) -> None:
        """Shows what tasks have told since the last look."""
        with suppress(Exception):  # the board is a courtesy: losing it loses no number
            for kind, *content in board.get_nowait_batch(board.qsize()):
                if kind == "progress":
                    self._display.elsewhere(*content)
                else:
                    self._display.say_once(*content)


def _for_tasks(settings: Settings) -> Settings:
    """The settings with paths as they are on every node: plugins were shipped to where tasks start."""
    return replace(
        settings,
        plugin=tuple(shipped_plugins(settings.plugin).values()),
        data_dir=None if settings.data_dir is None else settings.data_dir.resolve(),
        jobs=1,
    )
