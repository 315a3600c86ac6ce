"""What the speed command can be asked for."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from benchmark.arguments import flag
from benchmark.errors import UserError, unknown
from benchmark.settings import Precision

Way = Literal["fused", "graphs"]
"""How the passes of a cohort may be computed otherwise."""
Part = Literal["cohort", "alone", "plain", "fused", "graphs", "floor", "comparisons", "choices"]
Axis = Literal["baselines", "batch", "classes", "bank", "image"]

AXES: dict[Axis, tuple[int, ...]] = {
    "baselines": (1, 2, 4, 8, 12, 20, 30),
    "batch": (16, 32, 64, 128, 256),
    "classes": (10, 100, 1000),
    "bank": (1_000, 10_000, 50_000, 100_000),
    "image": (32, 48, 64),
}
"""What can grow: how many baselines share a teacher pass, samples per batch, classes, samples of the train
split (a row of a memory bank stands for each) and the side of an image in pixels."""


@dataclass(frozen=True)
class Speed:
    """Time the parts of every learner's step, and the cohort beside its runs one by one and as plain loops.

    Samples are drawn from the task's embedded dataset, with random labels, or from a real one; weights are
    random.
    """

    pair: str
    """Teacher-student pair, as in run_all.py --list."""
    baselines: tuple[str, ...] = ()
    """Methods; by default the headline set, 'all' for every registered one."""
    steps: int = 10
    """Timed steps per repeat, at most an epoch."""
    repeats: int = 3
    """Repeats; medians are printed, with the least and the most."""
    batch_size: int | None = None
    """Samples per batch; by default the pair's."""
    samples: int = 50_000
    """Size of the train split (it decides the memory banks)."""
    classes: int = 100
    """Number of classes of random samples."""
    image_size: int | None = None
    """Side of random images in pixels; by default the dataset's."""
    dataset: str = ""
    """Dataset; by default the first one of the pair: embedded, or with --data-dir real and there."""
    data_dir: Path | None = None
    """Folder that holds the real datasets: samples are those of one, and plain loops are timed beside."""
    workers: int = 0
    """Processes that load data for a plain loop, which has no other way to read ahead."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""
    fold: bool = False
    """Compute the teacher with its norms folded, as run_all.py --fold does; plain loops don't."""
    precision: Precision = "32"
    """32: float32; bf16: bfloat16 autocast."""
    measure: tuple[Part, ...] = ("cohort", "alone", "plain", "floor", "comparisons")
    """cohort: all runs on one teacher pass; alone: each by itself; plain: each as a plain PyTorch loop on
    real images; fused: the cohort with one pass for all of its students (run_all.py --fuse); graphs: the
    cohort with its passes launched as CUDA graphs (run_all.py --graphs); floor: the arithmetic at the rate of
    a matrix product; comparisons: parts that baselines share beside other code for the same; choices: what is
    done beside what could be, in one process."""
    grow: tuple[str, ...] = ()
    """Instead: how the cohort's step grows with baselines, batch, classes, bank or image, as AXIS or
    AXIS=VALUE,VALUE."""
    bounds: tuple[str, ...] = ()
    """NAME=VALUE: what a ratio may be at most; the exit code is 1 where one is above its bound."""
    json: Path | None = None
    """File for everything that was measured."""

    def check(self) -> None:
        """Raises UserError on the first setting that is out of range or contradicts another."""
        for name, least in (("steps", 1), ("repeats", 1), ("batch_size", 2), ("samples", 2), ("classes", 2),
                            ("image_size", 8), ("workers", 0)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{flag(name)} {value}: give a whole number from {least} up")
        if self.data_dir is not None and self.image_size is not None:
            raise UserError("--image-size is that of random images: leave out --data-dir or --image-size")
        if not self.measure:
            raise UserError(f"--measure: give some of {', '.join(get_args(Part))}")
        if self.json is not None and not self.json.parent.is_dir():
            raise UserError(f"--json {self.json}: there is no folder {self.json.parent}: make it first")
        if self.json is not None and (self.json.is_dir() or not os.access(self.json.parent, os.W_OK)):
            raise UserError(f"--json {self.json}: can't be written: give the path of a file")
        self.axes()
        self.limits()

    def axes(self) -> dict[Axis, tuple[int, ...]]:
        """What grows, through which values. Raises UserError for what can't be meant."""
        found: dict[Axis, tuple[int, ...]] = {}
        for each in self.grow:
            name, equals, values = each.partition("=")
            axis: Axis | None = next((known for known in AXES if known == name), None)
            if axis is None:
                raise unknown("axis", name, AXES)
            if equals and not re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", values):
                raise UserError(f"--grow {each}: give whole numbers from 1 up, such as {name}=16,64")
            found[axis] = tuple(map(int, values.split(","))) if equals else AXES[axis]
        return found

    def limits(self) -> dict[str, float]:
        """Ratio -> its upper bound. Raises UserError for what is no number above 0."""
        found = {}
        for each in self.bounds:
            name, _, text = each.partition("=")
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not (name and 0 < value < math.inf):
                raise UserError(f"--bounds {each}: give NAME=VALUE with a number above 0")
            found[name] = value
        return found
