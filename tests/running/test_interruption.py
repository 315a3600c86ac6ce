"""Stopped by a signal, a training keeps what it has done, to the step, and goes on to the same numbers."""

from __future__ import annotations

import os
import pickle
import signal
import time
from pathlib import Path

import pytest

from benchmark import Distiller, Stage, baseline, interruption
from benchmark.interruption import Interrupted, between_steps, end_if_asked, signals_heard
from benchmark.training import loop
from tests.command import run
from tests.training.test_law_of_the_cohort import weights_and_numbers

NAMES = ("kd", "crd", "mlkd")
ARGUMENTS = ("--epochs", "3", "--pairs", "tiny_big-tiny_dropout", "--label-fraction", "0.5")


@pytest.mark.parametrize("signum", interruption.SIGNALS)
def test_an_interruption_comes_whole_out_of_another_process(signum: int) -> None:
    found = pickle.loads(pickle.dumps(Interrupted(signum)))
    assert isinstance(found, Interrupted)
    assert (found.signum, found.exit_code, str(found)) == (signum, 128 + signum, signal.Signals(signum).name)


class Signaller:
    """Sends this process a signal in the middle of its n-th step of a learner; counts those steps."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int = 10**9, signum: int = signal.SIGTERM):
        self.steps: list[str] = []
        step = loop.RunState.step

        def counted(state, *arguments):
            self.steps.append(state.name)
            if len(self.steps) == at:
                os.kill(os.getpid(), signum)
            return step(state, *arguments)

        patch.setattr(loop.RunState, "step", counted)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_step_and_a_second_one_does_not(signum: int) -> None:
    reached = []

    def step(signals: int) -> None:
        with signals_heard(), between_steps():
            for _ in range(signals):
                os.kill(os.getpid(), signum)
            reached.append(signals)
            assert interruption.asked()
            end_if_asked()

    for signals in (1, 2):
        with pytest.raises(Interrupted) as stop:
            step(signals)
        assert stop.value.exit_code == 128 + signum
        assert not interruption.asked()
    assert reached == [1]


def test_outside_of_steps_a_signal_ends_at_once_and_handlers_are_given_back() -> None:
    before = [signal.getsignal(each) for each in interruption.SIGNALS]

    def work() -> None:
        with signals_heard():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the signal waited")

    with pytest.raises(Interrupted):
        work()
    assert [signal.getsignal(each) for each in interruption.SIGNALS] == before


@pytest.mark.parametrize(
    ("at", "signum", "code"),
    [(5, signal.SIGTERM, 143), (20, signal.SIGINT, 130), (33, signal.SIGTERM, 143)],
    ids=["in the teacher", "in the cohort", "later in the cohort"],
)
def test_a_stopped_training_goes_on_after_the_step_at_which_it_was_stopped(
    at: int, signum: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        whole = Signaller(patch)
        assert run(tmp_path / "whole", *ARGUMENTS, baselines=NAMES) == 0
    with monkeypatch.context() as patch:
        began = time.monotonic()
        stopped = Signaller(patch, at, signum)
        assert run(tmp_path / "stopped", *ARGUMENTS, baselines=NAMES) == code
        assert time.monotonic() - began < 60
    assert list((tmp_path / "stopped").rglob("snapshot.pt"))
    assert len(stopped.steps) - at < len(NAMES)  # the others of the cohort came to the end of the same step
    with monkeypatch.context() as patch:
        rest = Signaller(patch)
        assert run(tmp_path / "stopped", *ARGUMENTS, baselines=NAMES) == 0
    assert len(stopped.steps) + len(rest.steps) == len(whole.steps)
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "stopped")
    assert not [file for file in (tmp_path / "stopped").rglob("*") if "snapshot" in file.name]


def test_under_another_teacher_a_stopped_training_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights were lost, say, and are made anew on another machine."""
    assert run(tmp_path, *ARGUMENTS, baselines=("scratch",)) == 0  # the teacher
    with monkeypatch.context() as patch:
        stopped = Signaller(patch, 5)
        assert run(tmp_path, *ARGUMENTS, baselines=("kd",)) == 143
    with monkeypatch.context() as patch:
        again = Signaller(patch)
        patch.setattr("benchmark.training.teacher.checksum", lambda network: "another")
        assert run(tmp_path, *ARGUMENTS, baselines=("kd",)) == 0
    assert stopped.steps == ["kd"] * 5
    assert len(again.steps) == 9


@pytest.fixture
def staged() -> None:
    """Registers a baseline with two first stages of two epochs each."""

    @baseline("staged", title="Staged")
    class Staged(Distiller):
        @classmethod
        def stage_shares(cls, hyperparameters):
            return (0.5, 0.5)

        def first_stages(self):
            return tuple(
                Stage(name, 0.5, lambda t, s, b, p: {"s": s.embedding.square().mean()}, trains_student=True)
                for name in ("first", "second")
            )


@pytest.mark.parametrize("at", [3, 9, 14, 20])
def test_first_stages_go_on_where_they_were_stopped(
    at: int, staged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, names = ("--epochs", "4", "--teacher-epochs", "1"), ("scratch", "staged")
    run(tmp_path / "stopped", *arguments, baselines=names[:1])  # the teacher, in all cases the same
    run(tmp_path / "whole", *arguments, baselines=names[:1])
    with monkeypatch.context() as patch:
        whole = Signaller(patch)
        assert run(tmp_path / "whole", *arguments, baselines=names) == 0
    with monkeypatch.context() as patch:
        stopped = Signaller(patch, at)
        assert run(tmp_path / "stopped", *arguments, baselines=names) == 143
    with monkeypatch.context() as patch:
        rest = Signaller(patch)
        assert run(tmp_path / "stopped", *arguments, baselines=names) == 0
    assert len(stopped.steps) + len(rest.steps) == len(whole.steps)
    assert weights_and_numbers(tmp_path / "whole") == weights_and_numbers(tmp_path / "stopped")
