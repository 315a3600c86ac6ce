"""What `make gpu` can be asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from benchmark import plugins
from benchmark.arguments import flag
from benchmark.errors import UserError, unknown

Part = Literal["tests", "speed", "study"]

PARTS: dict[Part, float] = {"tests": 0.45, "speed": 0.65, "study": 1.0}
"""In this order, and by which share of the time each has to be done; what one leaves is the next one's."""


@dataclass(frozen=True)
class Everything:
    """Test, time and train on a GPU, and leave one JSON file."""

    data_dir: Path | None = None
    """Folder that holds the real datasets."""
    json: Path = Path("results/gpu.json")
    """File for everything that came of it."""
    parts: tuple[Part, ...] = get_args(Part)
    """tests: all that are marked gpu; speed: the cohort, its runs alone, and its students in one pass; study:
    the same runs trained to the end."""
    minutes: float = 10.0
    """What all of it may take."""
    device: str = "cuda"
    """cuda or cuda:N; cpu tries the command itself."""
    workers: int = 8
    """Processes that test side by side."""
    tests: tuple[str, ...] = ("tests",)
    """Files and folders of tests."""
    pair: str = "resnet32x4-resnet8x4"
    """Teacher-student pair of table and study."""
    dataset: str = "cifar10"
    """Dataset of both."""
    baselines: tuple[str, ...] = (
        *("scratch", "kd", "fitnet", "at", "sp", "cc", "vid", "rkd", "pkt", "nst", "crd", "wcord"),
    )
    """Methods of both."""
    batch_size: int = 64
    """Samples per batch of both."""
    steps: int = 20
    """Timed steps per repeat."""
    repeats: int = 3
    """Repeats of what is timed."""
    samples: int = 50_000
    """Size of the train split that is timed on (it decides the memory banks)."""
    epochs: int = 20
    """Epochs of the study."""
    train_samples: int = 5_000
    """Size of the study's pool."""
    teacher_epochs: int = 12
    """Epochs of its teacher."""
    teacher_samples: int = 20_000
    """Size of the teacher's pool."""

    def check(self) -> None:
        """Raises UserError on the first setting that can't be meant, before anything is run."""
        if self.device != "cpu" and not torch.cuda.is_available():
            raise UserError(
                "no CUDA device is here, and all of this is meant for one (--device cpu tries it)"
            )
        if not self.parts:
            raise UserError(f"--parts: give some of {', '.join(PARTS)}")
        if not 0 < self.minutes < math.inf:
            raise UserError(f"--minutes {self.minutes}: give a number above 0")
        for name, least in (("batch_size", 2), ("steps", 1), ("repeats", 1), ("samples", 2), ("epochs", 1),
                            ("train_samples", 1), ("teacher_epochs", 1), ("teacher_samples", 1),
                            ("workers", 0)):  # fmt: skip
            if getattr(self, name) < least:
                raise UserError(f"{flag(name)} {getattr(self, name)}: give a whole number from {least} up")
        if not self.baselines or "all" in self.baselines:
            raise UserError("--baselines: give the names themselves, such as scratch kd wcord")
        if twice := next((name for name in self.baselines if self.baselines.count(name) > 1), None):
            raise UserError(f"--baselines: {twice} is given twice: give it once")
        if {*self.parts} == {"tests"}:
            return
        cards = {
            n: card for task in plugins.load_tasks().tasks.values() for n, card in task.datasets().items()
        }
        if self.dataset not in cards:
            raise unknown("dataset", self.dataset, cards)
        if not cards[self.dataset].synthetic and (self.data_dir is None or not self.data_dir.is_dir()):
            given = "" if self.data_dir is None else f" {self.data_dir}"
            raise UserError(
                f"--data-dir{given}: give the folder that holds {self.dataset}, as in make gpu DATA=FOLDER"
            )

    @property
    def where(self) -> list[str]:
        """The arguments that say which data, for table and study."""
        folder = [] if self.data_dir is None else ["--data-dir", str(self.data_dir)]
        return [*folder, "--batch-size", str(self.batch_size), "--device", self.device]
