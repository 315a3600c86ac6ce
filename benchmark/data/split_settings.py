"""Splits as plain values: what decides them, and what is known of them when `splits.py` has drawn them."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmark.contracts import TeacherData


@dataclass(frozen=True)
class SplitSettings:
    """What decides the splits of a dataset.

    train_samples     size of the students' pool (train and validation together); None: everything
    validation        share of that pool held out; with few labels the same share of the labelled samples
    label_fraction    share of the pool whose labels may be used, the validation labels counted in
    teacher_data      "shared": the teacher learns from the students' samples (and more, with a larger
                      teacher_samples); "disjoint": it has a half of its own
    teacher_samples   size of the teacher's pool; None: the students' pool (shared) or its whole half
                      (disjoint)
    """

    split_seed: int = 0
    validation: float = 0.1
    label_fraction: float = 1.0
    train_samples: int | None = None
    teacher_data: TeacherData = "shared"
    teacher_samples: int | None = None


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """The full batches that `samples` fill; one where they don't fill any."""
    return samples // min(batch_size, samples)


@dataclass(frozen=True)
class SplitFacts:
    """What ids and records need of drawn splits.

    checksums   of the indices in train, labelled, validation and teacher
    sizes       of train, validation, teacher and test
    labelled    how many samples of train have a label that a student may use
    taught      whether any sample of the teacher's has one
    """

    checksums: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    labelled: int = 0
    taught: bool = True
