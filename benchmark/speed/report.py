"""Everything that was measured, its ratios and their bounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmark.errors import UserError, unknown
from benchmark.ranks import Fabric
from benchmark.speed.bench import Timing, Trainings
from benchmark.speed.floor import Floor
from benchmark.speed.growth import Grown
from benchmark.speed.rivals import Compared
from benchmark.speed.settings import Axis, Speed
from benchmark.speed.spread import Spread, spread, total

GIB = 2**30 / 1e6
"""In units of 10^6 bytes."""


@dataclass
class Report:
    """What the command measured; parts that it was not asked for are empty or None."""

    speed: Speed
    fabric: Fabric
    trainings: Trainings | None = None
    floor: Floor | None = None
    compared: Sequence[Compared] = ()
    grown: dict[Axis, list[Grown]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def together(self) -> list[Timing]:
        return [] if self.trainings is None else self.trainings.together

    @property
    def alone(self) -> dict[str, list[Timing]]:
        return {} if self.trainings is None else self.trainings.alone

    @property
    def plain(self) -> dict[str, Spread]:
        found = {} if self.trainings is None else self.trainings.plain
        return {name: Spread(tuple(each)) for name, each in found.items()}

    @property
    def fused(self) -> Spread | None:
        """The cohort with one pass for its students."""
        return Spread(tuple(self.trainings.fused)) if self.trainings and self.trainings.fused else None

    @property
    def graphed(self) -> Spread | None:
        """The cohort with its passes launched as CUDA graphs."""
        return Spread(tuple(self.trainings.graphed)) if self.trainings and self.trainings.graphed else None

    @property
    def runs(self) -> list[str]:
        """The names of those that were timed."""
        return [] if self.trainings is None else [run.name for run in self.trainings.runs]

    @property
    def batch_size(self) -> int:
        assert self.trainings is not None
        return self.trainings.bench.batch_size

    def ratios(self) -> dict[str, float]:
        """Every ratio that bounds can name; what several runs share is that of all of them."""
        found: dict[str, float] = {}
        together, alone, plain = self.together, self.alone, self.plain
        one_by_one = total(spread(each, lambda t: t.wall) for each in alone.values()) if alone else None
        if together:
            wall = spread(together, lambda t: t.wall)
            found["overhead"] = wall / spread(together, lambda t: t.arithmetic) - 1
            found["memory_gib"] = max(each.memory_mb for each in together) / GIB
            if one_by_one is not None:
                found["cohort/parts"] = wall / self.parts_alone()
                found["cohort/alone"] = wall / one_by_one
            if self._every_run_is(plain):
                found["cohort/plain"] = wall / total(plain.values())
            if self.fused is not None:
                found["fused/cohort"] = self.fused / wall
            if self.graphed is not None:
                found["graphs/cohort"] = self.graphed / wall
            if self.floor is not None:
                found["cohort/floor"] = wall.median / self.floor_ms(together[0])
        if one_by_one is not None and self._every_run_is(plain):
            found["alone/plain"] = one_by_one / total(plain.values())
        for each in self.compared:
            pair = Spread(tuple(each.ours)), Spread(tuple(each.theirs))
            found[each.comparison.name] = pair[0] / pair[1]
        return found

    def parts_alone(self) -> Spread:
        """One teacher pass, one data pass, second views and every run's own step, as they are alone."""
        found = []
        for number, cohort in enumerate(self.together):
            timings = {name: each[number] for name, each in self.alone.items()}
            passes = [each.teacher for each in timings.values() if each.teacher is not None]
            shared = statistics.median(each.data for each in timings.values()) + cohort.second
            shared += statistics.median(passes) if passes else 0.0
            found.append(shared + sum(each.own[name] for name, each in timings.items()))
        return Spread(tuple(found))

    def floor_ms(self, timing: Timing) -> float:
        """The arithmetic floor of a step, in milliseconds."""
        assert self.floor is not None
        return self.floor.milliseconds(len(timing.own), int(timing.teacher is not None))

    def _every_run_is(self, plain: dict[str, Spread]) -> bool:
        """Whether no run is missing among the plain loops."""
        return self.trainings is not None and len(plain) == len(self.trainings.runs)

    def above(self) -> list[str]:
        """A line for each ratio above its bound, and for each comparison that computes something else.

        Raises UserError for a bound of what was not measured.
        """
        ratios, lines = self.ratios(), []
        for name, bound in self.speed.limits().items():
            if name not in ratios:
                raise UserError(f"--bounds: {unknown('ratio', name, ratios)}, or it was not measured")
            if not ratios[name] <= bound:
                lines.append(f"{name} is {ratios[name]:.3f}, above its bound {bound:g}")
        for each in self.compared:
            if not each.agrees:
                lines.append(
                    f"{each.comparison.name} differs from {each.comparison.rival} by {each.difference:.1e}"
                )
        return lines
