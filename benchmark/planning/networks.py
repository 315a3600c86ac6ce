"""Whether the networks of a plan can be built, and a checkpoint be loaded: told before anything trains."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmark.contracts import Pair
from benchmark.errors import UserError, reason_of, unknown
from benchmark.models import (
    Network,
    architectures,
    build,
    is_architecture,
    kept_random_state,
    load_checkpoint,
)
from benchmark.planning.specs import CohortSpec
from benchmark.reading import check_regular

Shapes = Mapping[str, tuple[int, ...]]
CLASSES = 10
"""Where their number is not known yet."""


def check_networks(name: str, pair: Pair, shapes: Shapes, outputs: int | None, *, named: bool) -> None:
    """Raises UserError for an architecture of a pair that there isn't, or that can't take the data.

    shapes   of the dataset's modalities; empty where they are not known: then names are all that is checked
    named    whether the user made the pair up: then both networks are built, as other pairs have been
    """
    for architecture in (pair.teacher, pair.student):
        if not is_architecture(architecture):
            raise UserError(f"pair {name}: {unknown('architecture', architecture, architectures())}")
    if not (named and shapes):
        return
    dense = []
    for architecture, seen in (
        (pair.teacher, pair.teacher_modalities),
        (pair.student, pair.student_modalities),
    ):
        network = _built(f"pair {name}", architecture, [shapes[each] for each in seen], outputs or CLASSES)
        dense.append(network.dense)
    if dense[0] != dense[1]:
        raise UserError(
            f"pair {name}: one network answers per pixel and the other per image: choose two alike"
        )


def check_checkpoint(
    file: Path | None, cohorts: Sequence[CohortSpec], known: Mapping[tuple[str, str, str], tuple[Shapes, int]]
) -> None:
    """Raises UserError where the file is to be several teachers, or doesn't fit the one that it is to be.

    known   (dataset, fold, teacher) -> the shapes of its modalities, and the number of classes
    """
    loaded = [cohort for cohort in cohorts if cohort.teacher.checkpoint]
    teachers = {f"{cohort.teacher.architecture} on {cohort.data.dataset}" for cohort in loaded}
    if len(teachers) > 1:
        raise UserError(
            f"--teacher-checkpoint is one teacher, but the grid has {', '.join(sorted(teachers))}: "
            "give --pairs and --datasets"
        )
    if file is None or not loaded:
        return
    teacher, data = loaded[0].teacher, loaded[0].data
    shapes, outputs = known.get((data.dataset, data.fold, teacher.architecture), ({}, 0))
    if shapes and outputs:
        seen = [shapes[each] for each in teacher.modalities]
        load_checkpoint(_built("--teacher-checkpoint", teacher.architecture, seen, outputs), file)


def file_checksum(file: Path) -> str:
    """16 hexadecimal digits of the SHA-256 of a checkpoint. Raises UserError where it is no readable file."""
    named = f"--teacher-checkpoint {file}"
    check_regular(file, named, "give an existing checkpoint file")
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{named}: {error.strerror}; give an existing checkpoint file") from error


def _built(asked: str, architecture: str, shapes: Sequence[tuple[int, ...]], outputs: int) -> Network:
    """An untrained network; what its builder raises names it. Nothing else's random draws change."""
    with kept_random_state(), _named(asked, architecture):
        return build(architecture, shapes, outputs)


@contextmanager
def _named(asked: str, architecture: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{asked}: {error}") from error
    except Exception as error:
        raise UserError(
            f"{asked}: {architecture} can't be built ({type(error).__name__}: {reason_of(error)}): "
            "mend it, or choose another"
        ) from error
