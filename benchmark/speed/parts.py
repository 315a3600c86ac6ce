"""The parts of each learner's step, by torch's own hooks: the training itself knows nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from lightning_fabric import Fabric
from torch import Tensor

from benchmark.training.loop import RunState
from benchmark.training.stopwatch import Stopwatch

FORWARD, STUDENT, BACKWARD, OPTIMIZER = "forward", "student", "backward", "optimiser"


@dataclass(frozen=True)
class StepParts:
    """What the parts of a learner's own step take, in milliseconds per step.

    student     the forward pass of the student, over second views too
    loss        the distiller's forward pass, the supervised loss included
    backward    of both
    optimiser   its step
    """

    student: float
    loss: float
    backward: float
    optimiser: float

    @property
    def total(self) -> float:
        return self.student + self.loss + self.backward + self.optimiser


class _Span:
    """A part that one hook begins and another ends; one that an error left open is forgotten."""

    def __init__(self, watch: Stopwatch, part: str):
        self._watch, self._part = watch, part
        self._open: AbstractContextManager[None] | None = None

    def begin(self, *_: Any) -> None:
        self._open = self._watch.measure(self._part)
        self._open.__enter__()

    def end(self, *_: Any) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None


@contextmanager
def watched(states: Iterable[RunState], fabric: Fabric, watch: Stopwatch) -> Iterator[None]:
    """While the body trains these runs, their parts are measured: `parts_of` reads them."""
    at_work: list[str] = [""]
    with ExitStack() as stack:
        for state in states:
            forward, student, step = (
                _Span(watch, _name(state.name, part)) for part in (FORWARD, STUDENT, OPTIMIZER)
            )

            def begin(*_: Any, name: str = state.name) -> None:
                at_work[0] = name

            learner, network, optimizer = state.learner, state.learner.network, state.optimizer
            for handle in (
                learner.register_forward_pre_hook(begin),
                learner.register_forward_pre_hook(forward.begin),
                learner.register_forward_hook(forward.end),
                network.register_forward_pre_hook(student.begin),
                network.register_forward_hook(student.end),
                optimizer.register_step_pre_hook(step.begin),
                optimizer.register_step_post_hook(step.end),
            ):
                stack.callback(handle.remove)

        backward = fabric.backward

        def timed(loss: Tensor, *arguments: Any, **options: Any) -> None:
            with watch.measure(_name(at_work[0], BACKWARD)):
                backward(loss, *arguments, **options)

        stack.enter_context(patch.object(fabric, "backward", timed))
        yield


def parts_of(name: str, watch: Stopwatch, per_step: float) -> StepParts:
    """Those of a run; `per_step` makes milliseconds per step of seconds."""
    forward, student, backward, step = (
        watch.seconds(_name(name, part)) * per_step for part in (FORWARD, STUDENT, BACKWARD, OPTIMIZER)
    )
    return StepParts(student, forward - student, backward, step)


def _name(run: str, part: str) -> str:
    return f"{part} of {run}"
