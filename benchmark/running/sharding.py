"""A grid in shards: each a part that some other process, on any machine, runs on the same results folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmark.planning.specs import CohortSpec
from benchmark.running.orders import balanced


def shard(cohorts: Sequence[CohortSpec], number: int, count: int) -> tuple[CohortSpec, ...]:
    """The cohorts of shard `number` (1 to `count`), whole or in part: about as many runs as in any other.

    It depends on the plan alone, and not on what is recorded: every process divides it alike.
    """
    loads = [0] * count
    mine: list[CohortSpec] = []
    for order in balanced([(cohort, cohort.runs) for cohort in cohorts], count):
        least = loads.index(min(loads))
        loads[least] += len(order.runs)
        if least == number - 1:
            mine.append(replace(order.cohort, runs=order.runs))
    return tuple(mine)


def own_first(cohorts: Sequence[CohortSpec], number: int, count: int) -> list[CohortSpec]:
    """All shards of what every process needs whole, that of `number` first: who comes to a part that another
    process is at takes the next one."""
    numbers = ((number - 1 + k) % count + 1 for k in range(count))
    return [cohort for each in numbers for cohort in shard(cohorts, each, count)]
