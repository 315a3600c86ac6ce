"""What the user asked for: a typed dataclass that the command line and YAML files fill."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
import tyro

from benchmark import launching
from benchmark.arguments import file_arguments, flag, merged, parsed
from benchmark.contracts import BadSamples, TeacherData
from benchmark.errors import UserError

Precision = Literal["32", "bf16"]
BatchNorm = Literal["rank", "sync"]
PresetName = Literal["quick", "standard", "paper"]
ExecutorName = Literal["local", "ray", "slurm"]
LARGEST_COUNT = 2**31 - 1
LARGEST_SEED = 2**63 - 1
MOST_JOBS = 1024
MOST_TRIALS = 1000
LONGEST_NAME = 200
"""Bytes of --name, which is a folder's name."""
RESERVED_NAMES = ("teachers", "cache", "reported", "reference")


@dataclass(frozen=True)
class Settings:
    """Train a student with every distillation method under one recipe, and report.

    What is left open comes from the preset of each task. A flag beats the YAML file, and
    the file beats the preset.
    """

    tasks: tuple[str, ...] = ()
    """Tasks to run; all by default."""
    datasets: tuple[str, ...] = ()
    """Datasets; by default those of the preset."""
    folds: tuple[str, ...] = ()
    """Protocols that divide train from test, by name or pattern ('leave_out_*'); by default the first of each
    dataset."""
    pairs: tuple[str, ...] = ()
    """Teacher-student pairs; by default those of the preset, or the dataset's first."""
    baselines: tuple[str, ...] = ()
    """Methods, 'a+b' for a composition, 'all' for every registered one; by default the headline set."""
    seeds: tuple[int, ...] | None = None
    """Seeds of the runs (initial weights, batches, augmentation)."""
    preset: PresetName = "quick"
    """quick: embedded data, minutes on two CPU cores; standard and paper: real data, published recipe."""
    epochs: int | None = None
    """Epochs of every student."""
    batch_size: int | None = None
    """Samples per batch, for students and teacher."""
    train_samples: int | None = None
    """Size of the students' stratified pool, from which validation is held out."""
    label_fraction: float | None = None
    """Share of the pool whose labels may be used, validation included."""
    validation: float | None = None
    """Share of the pool held out for validation; 0 trains on everything."""
    split_seeds: tuple[int, ...] = (0,)
    """Seeds of the splits, and so of which labels may be used; apart from the seeds of the runs."""
    teacher_data: TeacherData | None = None
    """shared: the teacher learns from the students' samples; disjoint: from a half of its own, the default
    where labels are few or a task's preset says so (of a teacher that is loaded: shared)."""
    teacher_epochs: int | None = None
    """Epochs of the teacher."""
    teacher_samples: int | None = None
    """Size of the teacher's pool; by default the students' pool (shared) or its whole half (disjoint)."""
    teacher_seeds: tuple[int, ...] = (0,)
    """Seeds of the teachers; each is a teacher of its own."""
    teacher_checkpoint: Path | None = None
    """Load the teacher's weights from this file instead of training it."""
    data_dir: Path | None = None
    """Folder that holds the real datasets."""
    bad_samples: BadSamples = "stop"
    """What to do with a sample that can't be used: stop and name it, or skip it with a counted warning."""
    memory_gb: float = 4.0
    """What a dataset's samples may take in memory, and what the learners of a cohort may keep there. A larger
    dataset stays on disk, if its reader can leave it there, and is read batch by batch; a larger cohort is
    divided into several, with the same numbers."""
    num_workers: int | None = None
    """Processes that read ahead what stays on disk; by default one for each core of a job."""
    tune: int = 0
    """Trials of tuning per baseline, the default among them; chosen on validation, run beside the default."""
    probes: bool = True
    """Probe the frozen features of every network: linear, k-NN, few-shot, transfer."""
    corruptions: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Test every network on corrupted images too: noise, blur, brightness, contrast, low resolution."""
    results_dir: Path = Path("results")
    """Folder that holds all results, the trained teachers and the cache of decoded data."""
    report: bool = True
    """Write tables, figures and the page at the end; the jobs of a grid leave it to a last --report-only."""
    name: str = ""
    """Results go to RESULTS_DIR/NAME; by default the preset's name."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""
    jobs: int = 1
    """Processes that train cohorts side by side; cores and GPUs are shared out among them."""
    devices: int = 1
    """GPUs (with --device cpu: processes) of a machine that train every cohort together, each a share of
    every batch. torchrun tells it by itself."""
    nodes: int = 1
    """Machines that do so, each with as many devices."""
    batch_norm: BatchNorm = "rank"
    """With several devices, batch norms take the statistics of: rank: each device's share of a batch; sync:
    the whole batch (CUDA)."""
    executor: ExecutorName = "local"
    """local: on this machine; ray: as tasks of a Ray cluster; slurm: write (and submit, where sbatch is) an
    array of --jobs jobs, each a shard."""
    ray_address: str = ""
    """The running Ray cluster to use; without one, Ray is started on this machine."""
    slurm: tuple[str, ...] = ()
    """Options for sbatch, such as partition=gpu gres=gpu:1 time=4:00:00."""
    shard: str = ""
    """I/N: run the I-th of N parts of the grid; others run the rest, on the same results folder."""
    snapshot_minutes: float = 1.0
    """Minutes between two snapshots of a training, from which a stopped command goes on; 0: after each
    step."""
    precision: Precision = "32"
    """32: float32; bf16: bfloat16 autocast."""
    fuse: bool = False
    """Compute the students of a cohort, which are alike, in one pass: faster where launches bind (small
    networks on a GPU). Last digits then depend on who trains beside."""
    graphs: bool = False
    """Launch passes over networks, and transport plans, as CUDA graphs: faster where launches bind. Last
    digits may differ from those without."""
    fold: bool = False
    """Compute teachers with their batch norms folded into the convolutions before them: faster, most of all
    for one run alone. Last digits differ from those without."""
    set: tuple[str, ...] = ()
    """Overrides: BASELINE.HYPERPARAMETER=VALUE, recipe.FIELD=VALUE, teacher_recipe.FIELD=VALUE."""
    config: Path | None = None
    """YAML file with any of these settings."""
    plugin: tuple[Path, ...] = ()
    """Python files that register further baselines, networks and tasks."""
    download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fetch a missing dataset into DATA_DIR where its publisher allows."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print every task, dataset, pair and baseline, and stop."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print how much would run and what is already recorded, and stop; reads no data that is known."""
    estimate: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --dry-run, or --figures: the hours that it takes on this device, from a few timed steps of each
    pair."""
    verbose: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """With --dry-run: every cohort with its runs, instead of sums."""
    report_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Rebuild tables, figures and the page from the records, and stop."""
    figures: tuple[str, ...] = ()
    """Make the tables and figures of published papers again from the records, name the runs that are missing
    with their commands, and stop: 'paper' for every list in results/reported/, or a list's name."""

    def __post_init__(self) -> None:
        """Raises UserError for a value of another type, which Python lets through."""
        for name, kind in get_type_hints(Settings).items():
            value = getattr(self, name)
            try:
                msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                told = str(error)
                several = any(get_origin(each) is tuple for each in (kind, *get_args(kind)))
                if several and not isinstance(value, tuple | list):
                    told = f"give a tuple, such as {_as_tuple(value)!r}"
                raise UserError(f"{name} {value!r}: {told}") from None

    @property
    def folder(self) -> Path:
        """Where this command's records and reports stand."""
        return self.results_dir / (self.name or self.preset)

    @property
    def reports(self) -> bool:
        """Whether this command trains nothing and reports what others left: their options may stay in it."""
        return self.report_only or bool(self.figures)

    @property
    def readers(self) -> int:
        """How many processes read ahead."""
        sharing = self.jobs * self.processes[0]
        return max(1, len(launching.own_cores()) // sharing) if self.num_workers is None else self.num_workers

    @property
    def processes(self) -> tuple[int, int]:
        """How many processes train a cohort together: on a machine, and on how many machines."""
        if launching.by_torchrun():
            return launching.local_world(), launching.world() // launching.local_world()
        return self.devices, self.nodes

    @property
    def ranks(self) -> int:
        """How many processes train a cohort together, in all."""
        devices, nodes = self.processes
        return devices * nodes

    @property
    def follows(self) -> bool:
        """Whether this process is not the first of them: it takes orders, and keeps nothing."""
        return self.ranks > 1 and not launching.leads()

    @property
    def batch_parts(self) -> int:
        """Into how many parts a batch falls for the statistics of batch norms."""
        return self.ranks if self.batch_norm == "rank" else 1

    @property
    def cache(self) -> Path:
        """Where decoded and rendered data is kept for all commands."""
        return self.results_dir / "cache"

    def check(self) -> None:
        """Raises UserError on the first setting that is out of range or contradicts another."""
        self._check_texts()
        for name in ("epochs", "batch_size", "train_samples", "teacher_epochs", "teacher_samples"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= LARGEST_COUNT:
                raise UserError(f"{flag(name)} {value}: give a whole number from 1 up{_above(value)}")
        if self.label_fraction is not None and not 0 < self.label_fraction <= 1:
            raise UserError(f"--label-fraction {self.label_fraction}: give a share above 0 and up to 1")
        if self.validation is not None and not 0 <= self.validation < 1:
            raise UserError(
                f"--validation {self.validation}: give a share from 0 to below 1 (0: no validation split)"
            )
        if not 1 <= self.jobs <= MOST_JOBS:
            raise UserError(f"--jobs {self.jobs}: give a whole number from 1 up to {MOST_JOBS}")
        for name in ("devices", "nodes"):
            value = getattr(self, name)
            if not 1 <= value <= MOST_JOBS:
                raise UserError(f"{flag(name)} {value}: give a whole number from 1 up to {MOST_JOBS}")
        if not 0 < self.memory_gb < math.inf:
            raise UserError(f"--memory-gb {self.memory_gb}: give a number of gigabytes above 0")
        if self.num_workers is not None and not 0 <= self.num_workers <= MOST_JOBS:
            raise UserError(f"--num-workers {self.num_workers}: give a whole number from 0 up to {MOST_JOBS}")
        if not 0 <= self.snapshot_minutes < math.inf:
            raise UserError(f"--snapshot-minutes {self.snapshot_minutes}: give a number of minutes from 0 up")
        if self.tune < 0 or self.tune == 1 or self.tune > MOST_TRIALS:
            raise UserError(
                f"--tune {self.tune}: give 2 or more trials (the default is one), up to {MOST_TRIALS}, or 0"
            )
        for name in ("seeds", "teacher_seeds", "split_seeds"):
            seeds = getattr(self, name)
            if seeds is not None and (
                len(set(seeds)) < len(seeds) or not seeds or min(seeds) < 0 or max(seeds) > LARGEST_SEED
            ):
                raise UserError(
                    f"{flag(name)} {' '.join(map(str, seeds))}: give different whole numbers from 0 up"
                    + _above(max(seeds, default=0), LARGEST_SEED)
                )
        if Path(self.name).name != self.name or self.name in (*RESERVED_NAMES, ".", ".."):
            raise UserError(
                f"--name {self.name}: give a plain folder name other than {', '.join(RESERVED_NAMES)}"
            )
        if len(self.name.encode()) > LONGEST_NAME:
            raise UserError(f"--name {self.name}: give a name of at most {LONGEST_NAME} bytes")
        if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", self.device, re.ASCII):
            raise UserError(f"--device {self.device}: give auto, cpu, cuda or cuda:N")
        self.shard_of()
        self._check_contradictions()

    def shard_of(self) -> tuple[int, int]:
        """The number of the shard, from 1, and of how many; (1, 1) for the whole grid. Raises UserError."""
        if not self.shard:
            return 1, 1
        parts = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", self.shard, re.ASCII)
        if parts and int(parts[1]) <= int(parts[2]):
            return int(parts[1]), int(parts[2])
        raise UserError(f"--shard {self.shard}: give a part and how many there are, such as 1/4")

    def _check_texts(self) -> None:
        """Names and paths are printed, and kept in records: no line breaks, no bytes that are no text."""
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                text = str(each) if isinstance(each, str | Path) else ""
                # The values of --set are YAML, which may have line breaks and refuses the rest itself.
                forbidden = {"Cs"} if name == "set" else {"Cc", "Cs"}
                if any(unicodedata.category(letter) in forbidden for letter in text):
                    raise UserError(f"{flag(name)} {text}: it has a character that can't be printed")

    def _check_contradictions(self) -> None:
        if not self.report and (self.report_only or self.figures):
            raise UserError("--no-report forbids what --report-only and --figures ask for: leave it out")
        modes = [flag(name) for name in ("list", "dry_run", "report_only") if getattr(self, name)]
        modes += ["--figures"] if self.figures and not self.report_only else []
        if len(modes) > 1:
            raise UserError(f"{' and '.join(modes)} exclude each other: give one of them")
        if self.teacher_checkpoint is not None:
            given = {
                "teacher_epochs": self.teacher_epochs is not None,
                "teacher_samples": self.teacher_samples is not None,
                "teacher_seeds": self.teacher_seeds != (0,),
            }
            if against := [flag(name) for name, is_given in given.items() if is_given]:
                raise UserError(
                    f"--teacher-checkpoint loads a finished teacher: leave out {' and '.join(against)}"
                )
        if self.estimate and not (self.dry_run or self.figures):
            raise UserError("--estimate goes with --dry-run or --figures: give one of them, too")
        if self.verbose and not self.dry_run:
            raise UserError("--verbose goes with --dry-run: give both")
        for name, executor in (("ray_address", "ray"), ("slurm", "slurm")):
            if getattr(self, name) and self.executor != executor and not self.reports:
                raise UserError(f"{flag(name)} goes with --executor {executor}: give both")
        if self.shard and self.executor != "local":
            raise UserError(f"--shard is a part of a grid, and --executor {self.executor} divides it itself")
        self._check_processes()
        if self.download and self.data_dir is None:
            raise UserError("--download needs a folder to put the data in: give --data-dir DIR")

    def _check_processes(self) -> None:
        """Whether several processes may train a cohort together, and can meet."""
        given = (self.devices, self.nodes)
        if launching.by_torchrun() and given not in ((1, 1), self.processes):
            raise UserError(
                f"--devices {self.devices} --nodes {self.nodes}: torchrun has started "
                f"{launching.local_world()} processes on each of {self.processes[1]} machines: leave them out"
            )
        if self.batch_norm == "sync" and self.device == "cpu":
            raise UserError(
                "--batch-norm sync: torch synchronises batch norms on CUDA devices alone: give rank"
            )
        if self.graphs and (self.fuse or self.ranks > 1):
            other = "--fuse" if self.fuse else "--devices and --nodes"
            raise UserError(f"--graphs goes without {other}: leave one out")
        if self.ranks == 1:
            return
        if self.executor == "ray":
            raise UserError("--executor ray gives a cohort one device: leave out --devices and --nodes")
        if self.jobs > 1 and self.executor == "local" and not self.reports:
            raise UserError(
                "--jobs trains cohorts side by side, --devices each on several devices: give one of them"
            )
        if self.device.startswith("cuda:"):
            raise UserError(f"--device {self.device} is one device, --devices asks for several: give cuda")
        if self.executor == "slurm" and (self.nodes > 1 or launching.by_torchrun()):
            raise UserError("--executor slurm gives a job one machine: leave out --nodes")
        lacking = [name for name in launching.MEETING_POINT if name not in os.environ]
        alone = self.dry_run or self.reports
        if self.nodes > 1 and lacking and not launching.by_torchrun() and not alone:
            raise UserError(
                f"--nodes {self.nodes}: start the command on each machine, with {', '.join(lacking)} in the "
                "environment (the machine's number from 0, where number 0 answers), or use torchrun"
            )


def arguments_of(settings: Settings) -> list[str]:
    """The command line that `parse` makes these settings of; what --config gave is spelt out."""
    words: list[str] = []
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if value == each.default or each.name == "config":
            continue
        if isinstance(value, bool):
            words.append(flag(each.name) if value else f"--no-{each.name.replace('_', '-')}")
        elif isinstance(value, tuple):
            words += [flag(each.name), *map(str, value)]
        else:
            words += [flag(each.name), str(value)]
    return words


def _spelt(argument: str) -> str:
    """A flag as --help spells it."""
    return flag(argument.removeprefix("--")) if argument.startswith("--") else argument


def _as_tuple(value: object) -> tuple[object, ...]:
    """What was meant by a value in a tuple's place."""
    if isinstance(value, Mapping):
        return tuple(f"{name}={each}" for name, each in value.items())
    return () if value is None else (value,)


def _above(value: int, most: int = LARGEST_COUNT) -> str:
    return f" to {most}" if value > most else ""


def parse(arguments: list[str]) -> Settings:
    """Settings from the command line and the YAML file that it names. Raises UserError for what is malformed.

    --help and the like print, and raise SystemExit(0).
    """
    lists = {flag(field.name) for field in fields(Settings) if str(field.type).startswith("tuple")}
    arguments = merged(arguments, lists)
    settings = parsed(Settings, arguments)
    if settings.config is not None:
        known = {field.name: field.default for field in fields(Settings) if field.name != "config"}
        given = file_arguments(settings.config, known)
        try:
            from_file = parsed(Settings, given)
        except UserError as error:
            raise UserError(f"--config {settings.config}: {error}") from error
        # Where the file has switched one on, tyro knows the flag that switches it off alone.
        on = {flag(each.name) for each in fields(Settings) if getattr(from_file, each.name) is True}
        settings = parsed(Settings, [word for word in arguments if _spelt(word) not in on], from_file)
        settings = replace(settings, config=None)  # it is in them
    settings.check()
    return settings
