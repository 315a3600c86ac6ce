"""Progress: live bars on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from benchmark.telling import tell


def show_seconds(seconds: float) -> str:
    """`45 s`, `12 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    for unit, size, smaller, share in (("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // share
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


class PlainDisplay:
    """A line for each thing that happens and for each epoch."""

    def __init__(self, console: Console | None):
        self._console = console
        self._began = time.monotonic()
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def say(self, line: str) -> None:
        """Prints a line."""
        assert self._console is not None  # a display without one says what it has to say elsewhere
        tell(self._console, line)

    def say_once(self, line: str) -> None:
        """Prints a line of another process: several load one teacher, and each would tell of it."""
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    def grid(self, done: int, total: int, underway: int = 0) -> None:
        """Says how many runs of the grid are recorded; `underway` more train in the cohort that follows."""
        self.say(f"[{done}/{total} runs]")

    def training(self, title: str, counts: bool = False) -> PlainDisplay:
        """Announces a teacher, or the cohort that is underway (it `counts`); its epochs follow."""
        self._began = time.monotonic()
        self.say(title)
        return self

    def epoch(self, epoch: int, epochs: int, steps: int) -> None:
        pass

    def step(self) -> None:
        pass

    def epoch_done(self, epoch: int, epochs: int, line: str) -> None:
        """Prints where everyone stands after an epoch, and how long the rest will take."""
        spent = time.monotonic() - self._began
        left = spent / (epoch + 1) * (epochs - epoch - 1)
        self.told(f"epoch {epoch + 1}/{epochs}  {show_seconds(spent)}, {show_seconds(left)} left  {line}")

    def told(self, line: str) -> None:
        """Shows how far the training that was announced last is."""
        self.say(f"  {line}")

    def elsewhere(self, title: str, line: str) -> None:
        """Shows how far a training in another process is."""
        self.say(f"{title}: {line}")


class RemoteDisplay(PlainDisplay):
    """The display of another process: it tells ("say", line) and ("progress", title, line) to the one that
    the user looks at."""

    def __init__(self, tell: Callable[[tuple[str, ...]], None]):
        super().__init__(None)
        self._tell, self._title = tell, ""

    def say(self, line: str) -> None:
        self._tell(("say", line))

    def grid(self, done: int, total: int, underway: int = 0) -> None:
        pass

    def training(self, title: str, counts: bool = False) -> PlainDisplay:
        self._title = title
        return super().training(title, counts)

    def told(self, line: str) -> None:
        self._tell(("progress", self._title, line))


class _TimeLeft(ProgressColumn):
    """The time that a bar still takes, with its unit."""

    def render(self, task: Task) -> Text:
        return Text("" if task.time_remaining is None else f"{show_seconds(task.time_remaining)} left")


class LiveDisplay(PlainDisplay):
    """Three bars with the time left: the grid's runs, the epochs of the cohort, the steps of the epoch.

    Below them stands what a pipe is told after each epoch: how far everyone is.
    """

    def __init__(self, console: Console):
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(),
            MofNCompleteColumn(),
            _TimeLeft(),
            speed_estimate_period=3600,
        )
        self._scores = Text()
        self._live = Live(
            get_renderable=lambda: Group(self._progress, self._scores), console=console, transient=True
        )
        self._recorded, self._underway, self._counts = 0, 0, False
        self._elsewhere: dict[str, str] = {}
        self._grid = self._progress.add_task("runs", total=None)
        self._epochs = self._progress.add_task("epochs", total=None, visible=False)
        self._steps = self._progress.add_task("steps", total=None, visible=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def grid(self, done: int, total: int, underway: int = 0) -> None:
        self._recorded, self._underway = done, underway
        self._elsewhere.clear()
        self._progress.update(self._grid, completed=done, total=total)

    def training(self, title: str, counts: bool = False) -> LiveDisplay:
        self._counts = counts
        self._scores.plain = ""
        self._progress.reset(self._epochs, description=title, visible=True)
        return self

    def epoch(self, epoch: int, epochs: int, steps: int) -> None:
        self._progress.update(self._epochs, completed=epoch, total=epochs)
        self._progress.reset(self._steps, total=steps, visible=True, description=f"epoch {epoch + 1}")

    def step(self) -> None:
        self._progress.advance(self._steps)

    def epoch_done(self, epoch: int, epochs: int, line: str) -> None:
        self._progress.update(self._epochs, completed=epoch + 1, total=epochs)
        self._scores.plain = f"epoch {epoch + 1}/{epochs}  {line}"
        self._live.refresh()
        if self._counts:
            share = self._underway * (epoch + 1) / epochs
            self._progress.update(self._grid, completed=self._recorded + share)

    def elsewhere(self, title: str, line: str) -> None:
        self._elsewhere[title] = line
        self._scores.plain = "\n".join(f"{title}: {line}" for title, line in self._elsewhere.items())
        self._live.refresh()


def make_display(console: Console) -> PlainDisplay:
    """The display that suits a console."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
