"""The parts of each learner's step, by torch's own hooks: the training itself knows nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from torch import Tensor

from benchmark.ranks import Fabric
from benchmark.training.run_state import RunState
from benchmark.training.stopwatch import Stopwatch

STUDENT, LOSS, BACKWARD, OPTIMIZER = "student", "loss", "backward", "optimiser"


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
    at_work: list[tuple[str, _Span]] = []
    with ExitStack() as stack:
        for state in states:
            student, loss, step = (
                _Span(watch, _name(state.name, part)) for part in (STUDENT, LOSS, OPTIMIZER)
            )

            def begin(*_: Any, name: str = state.name, student: _Span = student, loss: _Span = loss) -> None:
                at_work[:] = [(name, loss)]
                loss.end()  # between the passes over two views
                student.begin()

            def end(*_: Any, student: _Span = student, loss: _Span = loss) -> None:
                student.end()
                loss.begin()

            network, optimizer = state.learner.network, state.optimizer
            for handle in (
                network.register_forward_pre_hook(begin),
                network.register_forward_hook(end),
                optimizer.register_step_pre_hook(step.begin),
                optimizer.register_step_post_hook(step.end),
            ):
                stack.callback(handle.remove)

        backward = fabric.backward

        def timed(loss: Tensor, *arguments: Any, **options: Any) -> None:
            ((name, span),) = at_work
            span.end()
            with watch.measure(_name(name, BACKWARD)):
                backward(loss, *arguments, **options)

        stack.enter_context(patch.object(fabric, "backward", timed))
        yield


def parts_of(name: str, watch: Stopwatch, per_step: float) -> StepParts:
    """Those of a run; `per_step` makes milliseconds per step of seconds."""
    return StepParts(
        *(watch.seconds(_name(name, part)) * per_step for part in (STUDENT, LOSS, BACKWARD, OPTIMIZER))
    )


def _name(run: str, part: str) -> str:
    return f"{part} of {run}"
