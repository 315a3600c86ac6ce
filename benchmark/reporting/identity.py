"""What may be averaged and what subtracted: decided here, for every field of a record, and nowhere else.

Three ids, each a hash of plain values. Runs of one `row` differ in nothing but the seed and in how they were
made (times, commit, machine): they may be averaged. Runs of one `comparison` had the same data, teacher,
recipe, condition and number of updates, whatever their baseline: they may be subtracted from one another.
Runs of one `block` answer one question: they may stand under one heading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, NamedTuple

from benchmark.records import Condition, Record

RECIPES = ("recipe.", "teacher_recipe.")
"""Prefixes of the overrides that reach every baseline."""

OF_OWN_TEACHER = ("teacher_epochs", "teacher_checkpoint")
"""Conditions in which a control with a teacher of its own may differ from the others."""

OF_A_CLUSTER = ("teacher_seed", "split_seed")
"""Conditions that runs of one row may be spread over: intervals then hold over them."""

OF_A_SEARCH = ("fold", "validation", "label_fraction", "train_samples", "teacher_data", "teacher_samples")
"""Conditions that a search of hyper-parameters is made under: each of their values has one of its own."""

DIGITS = 8
"""As many digits of a checksum are shown."""


class Identity(NamedTuple):
    """The ids of one run."""

    block: str
    comparison: str
    row: str
    any_teacher: str
    """the comparison, whoever taught: a control with a teacher of its own has the others' anchor"""
    any_labels: str
    """the comparison, however many labels: a fully labelled companion stands beside those with few"""
    any_effort: str
    """the comparison, however long its runs are and whether they were tuned"""
    teacher: str
    """one trained teacher, as tested"""
    teachers: str
    """teachers that may be averaged where nothing but their seeds tells them apart"""
    across: str
    """the comparison, whichever teacher and split of several seeds it was"""
    row_across: str
    """the row, likewise"""


def identity(record: Record) -> Identity:
    """Which other runs a run may meet, and how closely."""
    about, run, teacher = record.about, record.run, record.teacher
    condition = {each.name: getattr(record.condition, each.name) for each in fields(Condition)}
    overrides = condition.pop("overrides")
    epochs, updates = condition.pop("epochs"), condition.pop("updates")
    # Equal work makes rows comparable: an anchor trained longer, say, with a baseline of a first stage.
    work = ("epochs", epochs) if updates is None else ("updates", updates)
    recipe = {name: value for name, value in record.recipe.items() if name != "epochs"}
    block = stable_id((run.task, run.dataset, run.pair, record.metrics))
    sizes = (about.num_classes, about.num_train, about.num_test)
    data = stable_id((record.provenance.data_fingerprint, about.synthetic, sizes))
    labels = (condition.pop("label_fraction"), about.num_labelled, about.num_validation)
    kin = (teacher.architecture, teacher.modalities, about.num_teacher)
    own_teacher = {name: condition.pop(name) for name in OF_OWN_TEACHER}
    taught = stable_id((own_teacher, kin, teacher.id, teacher.checksum))
    student = (about.student, about.student_modalities)
    same = stable_id((block, condition, work, shared_overrides(overrides), recipe, data, student))
    comparison = stable_id((same, labels, taught))
    untuned = {name: value for name, value in condition.items() if name != "tuning"}
    elsewhere = {name: value for name, value in condition.items() if name not in OF_A_CLUSTER}
    across = stable_id(
        (
            (block, elsewhere, _epochs_in_all(record), shared_overrides(overrides), recipe, student),
            (record.provenance.data_fingerprint, about.synthetic, about.num_classes, about.num_test),
            (labels[0], own_teacher, teacher.architecture, teacher.modalities),
        )
    )
    roles = (about.role, about.anchor, about.companion)
    own = (run.baseline, epochs, overrides, record.hyperparameters, record.provenance.code_checksum, roles)
    return Identity(
        block=block,
        comparison=comparison,
        row=stable_id((comparison, own)),
        any_teacher=stable_id((same, labels)),
        any_labels=stable_id((same, taught)),
        any_effort=stable_id(
            (block, untuned, shared_overrides(overrides), recipe, data, student, labels, taught)
        ),
        # Weights are one teacher, though its scores end in other digits on another machine.
        teacher=stable_id((data, taught, {} if teacher.checksum else teacher.test)),
        teachers=stable_id((data, kin)),
        across=across,
        row_across=stable_id((across, own)),
    )


def search_of(record: Record) -> str:
    """Which search of hyper-parameters a trial or a tuned run belongs to: `planning.tuning.tuning_key`, as a
    record tells it. Seeds, and how long a trial got, are no part of it."""
    run, condition, teacher = record.run, record.condition, record.teacher
    recipe = {name: value for name, value in record.recipe.items() if name != "epochs"}
    under = {
        name: getattr(condition, name) for name in (*OF_A_SEARCH, "precision", "batch_parts", "overrides")
    }
    return stable_id(
        (
            (run.task, run.dataset, run.pair, run.baseline, under, recipe),
            (record.provenance.data_fingerprint, teacher.architecture, condition.teacher_checkpoint),
        )
    )


def _epochs_in_all(record: Record) -> float:
    """The length of a run in epochs, first stages included: splits of other sizes have other updates."""
    condition, samples = record.condition, record.about.num_train
    if condition.updates is None or not samples:
        return condition.epochs
    return condition.updates / (samples // min(condition.batch_size, samples))


def shared_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that reach every baseline of a comparison: those of the recipes."""
    return {name: value for name, value in overrides.items() if name.startswith(RECIPES)}


# --- the same in words ---

Facets = Callable[[Record], dict[str, str]]
"""Name -> the words of a thing in which records may differ."""


def own_facets(record: Record) -> dict[str, str]:
    """What else than baseline, condition and code may keep rows of one comparison apart."""
    about = record.about
    return {
        **_assigned(flat(record.hyperparameters, ".")),
        "hyper-parameters": f"hyper-parameters {'recorded' if record.hyperparameters else 'unknown'}",
        "role": " ".join(filter(None, ("role", about.role, "(anchor)" * about.anchor, about.companion))),
    }


def code_facets(record: Record) -> dict[str, str]:
    """Which code of its baseline a record was made with."""
    return {"code": f"code {record.provenance.code_checksum[:DIGITS] or 'unknown'}"}


def shared_facets(record: Record) -> dict[str, str]:
    """What may keep comparisons under one condition apart; causes first, consequences behind."""
    about, teacher = record.about, record.teacher
    names = ("num_teacher", "num_classes", "num_train", "num_test", "num_labelled", "num_validation")
    return {
        "data": f"data {record.provenance.data_fingerprint[:DIGITS] or 'unknown'}",
        "weights": f"teacher's weights {teacher.checksum[:DIGITS] or 'unknown'}",
        "teacher": f"teacher {teacher.id[:DIGITS] or 'unknown'}",
        "architecture": " ".join(("teacher", teacher.architecture, *teacher.modalities)),
        "recipe": f"recipe {'recorded' if record.recipe else 'unknown'}",
        **_assigned({f"recipe.{name}": value for name, value in record.recipe.items()}),
        "student": " ".join(("student", about.student, *about.student_modalities)),
        **_assigned({name: getattr(about, name) for name in (*names, "synthetic")}),
    }


def teacher_facets(record: Record) -> dict[str, str]:
    """What may keep teachers under one condition apart."""
    shared = shared_facets(record)
    names = ("data", "weights", "teacher", "architecture", "num_teacher")
    return {**{name: shared[name] for name in names}, "scores": f"teacher's scores {record.teacher.test}"}


CONSEQUENCES = {"weights": ("data",), "teacher": ("data", "weights"), "scores": ("data", "weights")}
"""What other data brings with it, say: not named where its cause is."""


def telling(facets: Facets, records: Iterable[Record], siblings: Iterable[Record]) -> str:
    """How records differ from their siblings, in words: `weight=0.1, data 823fa01c`; or empty."""
    own, others = (list(map(facets, some)) for some in (records, siblings))
    names = dict.fromkeys(name for found in others for name in found)
    # A record that tells nothing of a hyper-parameter (its run did not begin) does not differ in it.
    varying = [name for name in names if len({found[name] for found in others if name in found}) > 1]
    told = [name for name in varying if not any(cause in varying for cause in CONSEQUENCES.get(name, ()))]
    words = [{found[name] for found in own if name in found} for name in told]
    # What records of one row vary in (the weights of several teachers) is not what tells it from others.
    return ", ".join(each for some in words if len(some) == 1 for each in some if each)


def _assigned(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{name}={value}" for name, value in values.items()}


def flat(tree: Mapping[str, Any], separator: str = "/", prefix: str = "") -> dict[str, Any]:
    """`{"part": {"weight": 1}}` as `{"part/weight": 1}`."""
    found = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found |= flat(value, separator, name + separator) if isinstance(value, Mapping) else {name: value}
    return found


def stable_id(value: Any) -> str:
    """Twelve digits that depend on the value alone: the same in every process, on every machine."""
    return hashlib.blake2b(repr(_frozen(value)).encode(), digest_size=6).hexdigest()


def _frozen(value: Any) -> Any:
    """The value without what equal ones may differ in: the order of a mapping, list or tuple, 1 or 1.0."""
    if isinstance(value, Mapping):
        return tuple(sorted((str(key), _frozen(each)) for key, each in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if is_dataclass(value) and not isinstance(value, type):
        return _frozen(asdict(value))
    return int(value) if isinstance(value, float) and value.is_integer() else value
