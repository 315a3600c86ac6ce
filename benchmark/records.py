"""The record: what a run, or a trained teacher, leaves; its types, its one reader and its one writer.

Everything that is ever reported comes from records. This module imports neither torch nor a plugin.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from benchmark.checksums import content_checksum
from benchmark.migration import migrated
from benchmark.writing import write_whole

SCHEMA = 3
"""Raised when the shape of a record changes; `migration` brings older ones along."""

RECORD = "record.json"
"""The file of a record, in the folder of its run or teacher."""

CHECKSUM = "record_checksum"
"""Where a record file keeps the checksum of everything else that it holds (from schema 3 on)."""

REMEDY = "restore it from a copy, or run its command again"
"""What helps against a damaged record; whoever repeats a run takes it for one that has none."""
UPDATE = "update the suite, or give another results folder"
"""What helps where a later version was at work."""

Status = Literal["finished", "stopped", "diverged", "not_applicable", "failed"]
"""stopped: a trial of tuning that was not among the better half."""
Tuning = Literal["default", "tuned", "trial"]
Role = Literal["method", "control", "reference"]
Direction = Literal["max", "min"]
Scores = dict[str, float | None]
"""Metric -> its value on some split, unscaled; None where it is no finite number."""

Probes = dict[str, Scores]
"""Question -> probe -> test accuracy in [0, 1]."""

Corrupted = dict[str, Scores]
"""`gaussian_noise/2`, a kind of corruption and its strength from 1 to 3 -> the primary metric on test."""

WholeNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]

LAST, BEST, VALIDATION = "test@last", "test@best_validation", "validation@last"
"""The splits that a run is scored on: test with its last weights and with those best on validation."""


FIRM_VALIDATION = 200
"""With fewer labelled validation samples whatever is chosen on them is mostly chosen by chance."""


class CorruptRecord(Exception):
    """A record file that is there but can't be used; the message names it and says why."""


class NewerRecord(CorruptRecord):
    """A record that a later version has written: whole, and not to be replaced."""


class _Newer(ValueError):
    """What is parsed has the schema of a later version."""


@dataclass(frozen=True)
class Run:
    """Which run it was."""

    task: str
    dataset: str
    pair: str
    baseline: str
    seed: WholeNumber


@dataclass(frozen=True)
class Condition:
    """Whatever else decides the numbers: always a column, never averaged over.

    tuning      whether hyper-parameters are the default ones, those chosen on validation, or those of a trial
    updates     steps of the optimisers, first stages included; None in records that are older than it
    batch_parts into how many parts a batch fell for the statistics of batch norms: one per process
    overrides   what --set changed, as far as it reaches the run: "weight" or "part.weight" -> value for its
                own hyper-parameters, "recipe.FIELD" and "teacher_recipe.FIELD" for the recipes
    """

    fold: str = ""
    split_seed: int = 0
    validation: float = 0.1
    label_fraction: float = 1.0
    train_samples: int | None = None
    teacher_data: str = "shared"
    teacher_samples: int | None = None
    teacher_seed: WholeNumber = 0
    epochs: int = 1
    updates: int | None = None
    batch_size: int = 1
    teacher_epochs: int | None = None
    teacher_checkpoint: str = ""
    precision: str = "32"
    batch_parts: int = 1
    tuning: Tuning = "default"
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """How a report shows a metric: `scale` times the value is in `unit`."""

    title: str
    short: str
    direction: Direction
    unit: str = ""
    scale: float = 1.0
    primary: bool = False
    """whether the task is judged by it first"""
    chance: float | None = None
    """the value of guessing, unscaled, where that is known: what a run that diverged counts as beside"""


@dataclass(frozen=True)
class About:
    """What a reader is told of a run beside its numbers: titles, roles, sizes of the splits.

    anchor      whether differences are taken to this baseline
    companion   "few_labels" or "all_labels" (see `plugins.Baseline`); empty for most
    order       its place in tables
    num_*       samples in each split; num_labelled of the train split
    """

    task_title: str = ""
    dataset_title: str = ""
    baseline_title: str = ""
    role: Role = "method"
    paper: str = ""
    arxiv: str = ""
    anchor: bool = False
    companion: str = ""
    order: int = 0
    synthetic: bool = False
    num_classes: int | None = None
    num_train: int | None = None
    num_labelled: int | None = None
    num_validation: int | None = None
    num_test: int | None = None
    num_teacher: int | None = None
    student: str = ""
    student_modalities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Teacher:
    """The teacher that a run learnt from.

    checksum     of its weights; empty in records that are older than it
    test         its scores on the test split
    train        its scores on samples that it learnt from (of a checkpoint: that it would have); a teacher
                 that shares its samples with students hands as many of their hidden labels over
    parameters   and multiply-accumulates of one sample
    corrupted    its scores on corrupted test samples
    """

    id: str = ""
    checksum: str = ""
    architecture: str = ""
    modalities: tuple[str, ...] = ()
    test: Scores = field(default_factory=dict)
    parameters: int | None = None
    macs: int | None = None
    probes: Probes = field(default_factory=dict)
    train: Scores = field(default_factory=dict)
    corrupted: Corrupted = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """What the law of the cohort speaks of: the same whoever trained beside, on one kind of machine.

    scores      split ("test@last", "test@best_validation", "validation@last") -> metric -> value
    best_epoch  the epoch that was best on validation, counted from 0
    probes      of the student; untrained_probes: of the student before training
    corrupted   its scores on corrupted test samples, with its last weights
    """

    scores: dict[str, Scores] = field(default_factory=dict)
    best_epoch: int | None = None
    parameters: int | None = None
    macs: int | None = None
    probes: Probes = field(default_factory=dict)
    untrained_probes: Probes = field(default_factory=dict)
    corrupted: Corrupted = field(default_factory=dict)

    def score(self, split: str, metric: str) -> float | None:
        """A metric on a split; None where the run has none."""
        return self.scores.get(split, {}).get(metric)


@dataclass(frozen=True)
class Measurements:
    """Times and memory: they depend on the machine and on who trained beside.

    teacher_share_ms   0 for a run that uses no teacher (in older records it has a share of the pass)
    fused              how many students one pass computed, this one included
    graphed            whether its student's passes were launched as CUDA graphs
    folded             whether it learnt from a teacher that was computed with its norms folded
    total_s            of the whole training: own steps, shares of the common passes, first stages
    teacher_s          that the teacher's own training took, where it was trained; whether it is used or not
    """

    step_ms: float | None = None
    teacher_share_ms: float | None = None
    data_share_ms: float | None = None
    own_s: float | None = None
    first_stages_s: float | None = None
    latency_ms: float | None = None
    peak_memory_mb: float | None = None
    cohort_size: int | None = None
    fused: int = 1
    graphed: bool = False
    folded: bool = False
    evaluation_s: float | None = None
    total_s: float | None = None
    teacher_s: float | None = None


@dataclass(frozen=True)
class Trial:
    """What a trial of tuning adds: which configuration it is (0: the default one) and how it went.

    validation   the primary metric after each epoch
    trials       how many of its baseline it was halved among; None in records that are older than it
    """

    number: int = 0
    validation: tuple[float | None, ...] = ()
    trials: int | None = None


@dataclass(frozen=True)
class Selection:
    """How the hyper-parameters of a tuned run were chosen, and what that cost.

    number         of the chosen configuration (0: the default one), out of `trials`
    score          its primary metric on `num_validation` samples; default_score: the default one's, where it
                   got to the end
    seconds        of all trials of this baseline, their shares of common passes included
    """

    number: int = 0
    trials: int = 0
    seed: int = 0
    score: float | None = None
    default_score: float | None = None
    num_validation: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from.

    commit, clean   of the code's repository; None where the code is not in one
    finished        ISO 8601, UTC
    versions        of Python, the suite and libraries, and of the installed packages that brought the task,
                    the baseline or a network by an entry point
    ranks           how many processes trained it together; threads: of each
    device_name     the GPU's; the CPU's with the instructions that torch uses there (`AMD EPYC, AVX2`)
    """

    commit: str | None = None
    clean: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    device_name: str = ""
    threads: int | None = None
    ranks: int = 1
    command: str = ""
    finished: str = ""
    data_fingerprint: str = ""
    code_checksum: str = ""


@dataclass(frozen=True)
class Record:
    """What a run leaves.

    files    name -> checksum of the files beside it; None in records that are older than it
    folder   the name of its run folder, known to readers only
    """

    id: str
    run: Run
    condition: Condition
    status: Status
    about: About = field(default_factory=About)
    reason: str = ""
    metrics: dict[str, Metric] = field(default_factory=dict)
    results: Results = field(default_factory=Results)
    teacher: Teacher = field(default_factory=Teacher)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    measurements: Measurements = field(default_factory=Measurements)
    provenance: Provenance = field(default_factory=Provenance)
    trial: Trial | None = None
    selection: Selection | None = None
    files: dict[str, str] | None = None
    folder: str = ""

    @property
    def primary_metric(self) -> str:
        """The name of the metric that the task is judged by first."""
        return next((n for n, each in self.metrics.items() if each.primary), next(iter(self.metrics), ""))

    def __post_init__(self) -> None:
        if self.status == "finished" and self.trial is None and LAST not in self.results.scores:
            raise ValueError("finished without test results")


@dataclass(frozen=True)
class TeacherRecord:
    """What a trained teacher leaves beside its weights.

    spec       the teacher's spec as plain values; `id` is its hash
    checksum   of its weights by name and value
    files      name -> checksum of the files beside it; None in records that are older than it
    """

    id: str
    spec: dict[str, Any]
    checksum: str
    measurements: Measurements = field(default_factory=Measurements)
    provenance: Provenance = field(default_factory=Provenance)
    files: dict[str, str] | None = None


KINDS: dict[str, type] = {"run": Record, "teacher": TeacherRecord}


def read_record(file: Path) -> Record | None:
    """The run's record in `file`, or None where there is no such file. Raises CorruptRecord."""
    return _read(file, Record)


def read_teacher_record(file: Path) -> TeacherRecord | None:
    """The teacher's record in `file`, or None where there is no such file. Raises CorruptRecord."""
    return _read(file, TeacherRecord)


def parse_record(content: Any) -> Record:
    """A record from plain values, as JSON has them. Raises ValueError that says what is wrong."""
    return _parse(content, Record)


def plain(record: Record | TeacherRecord) -> dict[str, Any]:
    """A record as plain values that JSON holds, `kind` and `schema` first; the inverse of `parse_record`."""
    content = dataclasses.asdict(record)
    content.pop("folder", None)
    return sealed({"schema": SCHEMA, "kind": _kind_name(type(record)), **content})


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record as JSON will have it, with its checksum in the place of one that it had."""
    text = json.dumps(finite(content), default=str)
    values = {name: value for name, value in json.loads(text).items() if name != CHECKSUM}
    return {**values, CHECKSUM: content_checksum(values)}


def write_record(file: Path, record: Record | TeacherRecord) -> None:
    """Writes a record: whole or not at all."""
    write_whole(file, record_bytes(record))


def record_bytes(record: Record | TeacherRecord) -> bytes:
    """What its file holds."""
    return _json(plain(record))


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON: whole or not at all."""
    write_whole(file, _json(content))


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(finite(content), indent=1, default=str).encode()


def finite(value: Any) -> Any:
    """The same content with numbers that JSON can't hold (NaN, infinity) as null, and tuples as lists."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _read(file: Path, kind: type) -> Any:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CorruptRecord(f"{file} can't be read: {reason} ({REMEDY})") from error
    try:
        return _parse(content, kind)
    except _Newer as error:
        raise NewerRecord(f"{file} was written by a later version: {error} ({UPDATE})") from error
    except (ValueError, RecursionError) as error:
        raise CorruptRecord(f"{file} is not valid: {error} ({REMEDY})") from error


def _kind_name(kind: type) -> str:
    return next(name for name, each in KINDS.items() if each is kind)


def _check_storable(value: Any, place: str = "") -> None:
    """Raises ValueError for what JSON can say and no table can hold: 65 bits of a number, half a letter."""
    if isinstance(value, dict):
        for name, each in value.items():
            _check_storable(name, f"a name in {place or 'it'}")
            _check_storable(each, f"{place}.{name}".strip("."))
    elif isinstance(value, list):
        for each in value:
            _check_storable(each, place)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{place}: a number of more than 64 bits")
    elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{place}: half a letter (a lone surrogate)")


def _parse(content: Any, kind: type) -> Any:
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    _check_storable(content)
    content = _of_today(content, _kind_name(kind))
    if content.get("kind") != _kind_name(kind):
        raise ValueError(f"kind {content.get('kind')!r}, expected {_kind_name(kind)!r}")
    if kind is Record and content.get("metrics") in ({}, None):
        raise ValueError("without a metric")
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _of_today(content: dict[str, Any], kind: str) -> dict[str, Any]:
    """The content in the present shape, found to be as it was written, as far as it tells."""
    schema = content.get("schema")
    if schema in (1, 2):
        # Without this a record of today would lose its checksum with one digit of its schema.
        if CHECKSUM in content or "files" in content:
            raise ValueError(f"of schema {schema}, with a checksum that only newer ones have: it was altered")
        try:
            return migrated(content, kind)
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"of schema {schema}, and can't be brought to {SCHEMA}: {error}") from error
    values = {name: value for name, value in content.items() if name != CHECKSUM}
    whole = content.get(CHECKSUM) == content_checksum(values)
    if schema != SCHEMA:
        # A damaged digit is no later version.
        later = whole and isinstance(schema, int) and schema > SCHEMA
        raise (_Newer if later else ValueError)(f"schema {schema!r}, this version reads 1 to {SCHEMA}")
    if not whole:
        raise ValueError("it was altered after it was written, for it doesn't agree with its checksum")
    return values
