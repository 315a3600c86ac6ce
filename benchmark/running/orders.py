"""Orders: what one process, wherever it runs, is told to train, and what it tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.planning.specs import CohortSpec, RunSpec
from benchmark.running.ledger import Pending, kept_together, runs_in
from benchmark.running.local import Executor
from benchmark.running.teachers import TeacherFailed

OVERLOAD = 1.05
"""How much more than its share of the runs a worker may get before a cohort is divided."""
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
            return self.cohort.teacher_title
        return self.cohort.title

    def without(self, left: Sequence[RunSpec]) -> Order:
        """The order as far as it was carried out."""
        names = {run.name for run in left}
        return replace(self, runs=tuple(run for run in self.runs if run.name not in names))

    def after_a_death(self) -> tuple[Order, ...]:
        """What is tried next: the same once more, then its halves; nothing where it can't be halved."""
        if self.attempt < ATTEMPTS:
            return (replace(self, attempt=self.attempt + 1),)
        parts = parts_of(self.runs, 2)
        return tuple(Order(self.cohort, runs) for runs in parts) if len(parts) > 1 else ()


def parts_of(runs: Sequence[RunSpec], count: int) -> list[tuple[RunSpec, ...]]:
    """The runs in up to `count` parts of about one size; none parts what is `kept_together`."""
    groups = kept_together(runs)
    count = min(count, len(groups))
    return [tuple(run for group in groups[k::count] for run in group) for k in range(count)]


def balanced(pending: Pending, jobs: int) -> list[Order]:
    """The orders of a grid, the largest first: whole cohorts, of which each pays one teacher pass.

    A cohort is shared out among all workers where it would leave one with more runs than its share.
    """
    share = OVERLOAD * runs_in(pending) / jobs
    orders, loads = [], [0] * jobs
    for cohort, runs in sorted(pending, key=lambda each: len(each[1]), reverse=True):
        whole = min(loads) + len(runs) <= share
        for part in [runs] if whole else parts_of(runs, jobs):
            orders.append(Order(cohort, part))
            loads[loads.index(min(loads))] += len(part)
    return orders


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


def carry_out(order: Order, executor: Executor) -> Done:
    """Does what an order says."""
    executor.failures.clear()
    if not order.runs:
        try:
            executor.train_teacher(order.cohort)
        except TeacherFailed as failure:
            return Done(no_teacher=str(failure))
        return Done()
    if order.patient:
        executor.wait_and_perform(order.cohort, order.runs)
        return Done(tuple(executor.failures))
    left = executor.perform(order.cohort, order.runs)
    return Done(tuple(executor.failures), left)
