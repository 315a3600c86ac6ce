"""Imports code that others wrote: what it raises is one line that names it, and its time is bounded."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from benchmark.errors import UserError, reason_of
from benchmark.interruption import Interrupted
from benchmark.program import program

PATIENCE = 60.0
"""Seconds that an import may take: a slow library on a slow disk takes some."""
VARIABLE = "WCORD_IMPORT_SECONDS"
"""The environment variable that says otherwise."""
REPEATS = 5
"""How often, a second apart, code that catches everything is told to stop before the process ends."""


class _Overdue(BaseException):
    """Raised inside an import that takes too long; no `except Exception` of its catches it."""


class _Watch:
    """What became of an import besides what it raised; `interrupted`: the user pressed Ctrl-C."""

    interrupted = False
    line = 0


def guarded(action: Callable[[], Any], what: str, file: Path | None = None) -> None:
    """Calls `action`, which imports `what`. Raises UserError for everything that it raises, an exit included.

    file   its source, of which the message names the line

    An import that has not come to an end after `PATIENCE` seconds is stopped. Only the main thread of a
    system with alarms can do that; elsewhere a line names what is being waited for. Ctrl-C stays Ctrl-C, and
    SIGTERM is nobody's fault.
    """
    seconds, watch = _patience(), _Watch()
    try:
        with _watched(watch, seconds, what, file):
            action()
    except _Overdue:
        raise UserError(_overdue(what, seconds, watch.line)) from None
    except Interrupted:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and watch.interrupted:
            raise
        place = _line_of(error.__traceback__, file)
        where = f", in line {place}" if place else ""
        raise UserError(f"{what} raised {type(error).__name__} on import{where}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"a plugin is imported, and must not end the program (exit code {reason_of(error)})"
    return reason_of(error)


def _overdue(what: str, seconds: float, line: int) -> str:
    where = f"; it stands in line {line}" if line else ""
    return (
        f"{what} has not been imported after {seconds:g} s{where}: "
        f"let it come to an end, or give it longer with {VARIABLE}={10 * seconds:g}"
    )


def _patience() -> float:
    given = os.environ.get(VARIABLE, "")
    try:
        seconds = float(given or PATIENCE)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 1e8:
        raise UserError(f"{VARIABLE}={given}: give a number of seconds")
    return seconds


@contextmanager
def _watched(watch: _Watch, seconds: float, what: str, file: Path | None) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        line = f"{program()}: warning: {what} has not been imported after {seconds:g} s"
        timer = threading.Timer(seconds, lambda: print(line, file=sys.stderr))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        return
    with _interrupts_noted(watch), _alarm(watch, seconds, what, file):
        yield


@contextmanager
def _interrupts_noted(watch: _Watch) -> Iterator[None]:
    """Tells Ctrl-C from a KeyboardInterrupt that the code itself raises."""
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        watch.interrupted = True
        if callable(before):
            before(number, frame)

    if callable(before):
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _alarm(watch: _Watch, seconds: float, what: str, file: Path | None) -> Iterator[None]:
    """Raises `_Overdue` in the body when its time is up; an alarm that was set before goes on afterwards."""
    told, ended = 0, False

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if ended:
            return
        told += 1
        watch.line = watch.line or _line_of_frame(frame, file)
        if told > REPEATS:  # it catches everything: nothing else would ever end it
            print(f"{program()}: {_overdue(what, seconds, watch.line)}", file=sys.stderr, flush=True)
            os._exit(2)
        raise _Overdue

    handler, began = signal.signal(signal.SIGALRM, ring), time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        ended = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 1e-3), interval)


def _line_of_frame(frame: FrameType | None, file: Path | None) -> int:
    """The line of `file` that is being executed, 0 where none is."""
    while frame is not None:
        if file is not None and frame.f_code.co_filename == str(file):
            return frame.f_lineno
        frame = frame.f_back
    return 0


def _line_of(trace: TracebackType | None, file: Path | None) -> int:
    """The line of `file` that raised, or called what did; 0 where none did."""
    line = 0
    while trace is not None:
        if file is not None and trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
