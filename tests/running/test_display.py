"""What a terminal and a pipe are told while a grid trains."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.running.display import LiveDisplay, PlainDisplay, make_display, show_seconds
from tests.command import run


def train(display: PlainDisplay) -> None:
    with display:
        display.grid(0, 4, 2)
        training = display.training("shapes, seed 0: 2 runs", counts=True)
        for epoch in range(2):
            training.epoch(epoch, 2, 3)
            for _ in range(3):
                training.step()
            training.epoch_done(epoch, 2, f"scratch 0.{epoch}  kd 0.9")
        display.grid(2, 4)


def test_a_pipe_gets_a_line_for_each_epoch_with_scores_and_units() -> None:
    console = Console(file=io.StringIO(), width=80)
    train(make_display(console))
    lines = console.file.getvalue().splitlines()
    assert re.fullmatch(r"  epoch 2/2  \d+ s, 0 s left  scratch 0\.1  kd 0\.9", lines[-2])


def test_live_bars_show_the_scores_that_pipes_show_and_units_of_time() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    display = make_display(console)
    assert isinstance(display, LiveDisplay)
    train(display)
    text = console.file.getvalue()
    for epoch in range(2):
        assert f"epoch {epoch + 1}/2  scratch 0.{epoch}  kd 0.9" in text
    assert re.search(r"\d s left", text)
    assert not re.search(r"\d:\d\d", text)


def test_lines_name_the_fold_and_what_their_numbers_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--pairs", "rgb-rgb", "--folds", "first", "second", "--epochs", "1", "--teacher-epochs", "1")
    assert run(tmp_path, *few, "--label-fraction", "0.5", task="tiny_senses") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line for line in lines if line.startswith("teacher ") and "samples" in line}) == 2
    for fold in ("first", "second"):
        assert f"tiny_senses/senses/{fold} rgb-rgb labels 0.5 seed 0: 2 runs" in lines
        assert any(line.startswith(f"teacher tiny_big on senses/{fold}: test top1") for line in lines)
        assert any(
            re.fullmatch(f"senses/{fold}: epochs show validation top1, [1-9] samples", x) for x in lines
        )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (725, "12 min 5 s"), (3600, "1 h"), (12_000, "3 h 20 min")],
)
def test_times_have_units(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown
