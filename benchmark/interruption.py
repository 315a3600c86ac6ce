"""Being asked to stop: by Ctrl-C, or by a scheduler's SIGTERM.

A training in steps finishes its step and writes a snapshot before it ends; everything else ends at once. A
second signal ends everything at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop.

    signum      by which signal
    exit_code   what a shell expects then: 130 after SIGINT, 143 after SIGTERM
    """

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum, self.exit_code = signum, 128 + signum

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        # By its signal: pickle would give the constructor what the message is made of, the signal's name.
        return type(self), (self.signum,)


class _State:
    """Of this process: whether a signal waits for the end of a step, and the signal that does."""

    waiting = 0
    asked: int | None = None


def asked() -> int | None:
    """The signal that waits for the end of the step, where one has come."""
    return _State.asked


def ask(signum: int) -> None:
    """Does what this signal would: another process, which trains along, has heard it."""
    _State.asked = signum


def end_if_asked() -> None:
    """Raises Interrupted where a signal has come."""
    if _State.asked is not None:
        signum, _State.asked = _State.asked, None
        raise Interrupted(signum)


@contextmanager
def between_steps() -> Iterator[None]:
    """Signals that come in the body wait until it calls `end_if_asked`, or for its end."""
    _State.waiting += 1
    try:
        yield
    finally:
        _State.waiting -= 1
    if not _State.waiting:
        end_if_asked()


@contextmanager
def signals_heard() -> Iterator[None]:
    """Signals raise Interrupted in the body, which the main thread runs; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, _hear) for signum in SIGNALS}
    try:
        yield
    finally:
        _State.asked = None
        for signum, handler in before.items():
            signal.signal(signum, handler)


def hear_once(signum: int, frame: FrameType | None) -> None:
    """A handler for a process that another one ends: where both are sent a signal, it is told a second time.

    Its first signal is heard as any other; that one is ignored from then on.
    """
    signal.signal(signum, signal.SIG_IGN)
    _hear(signum, frame)


def _hear(signum: int, frame: FrameType | None) -> None:
    if _State.waiting and _State.asked is None:
        _State.asked = signum
    else:
        raise Interrupted(signum)
