"""MLKD, SSKD and CRLD in loops."""

from __future__ import annotations

import numpy as np

from tests.baselines.references.logits import kd_value, targets
from tests.baselines.references.registry import Case, Shown, reference
from tests.baselines.references.slow import Array, cross_entropy, divergence, linear, relu, softmax, unit
from tests.baselines.tiny import TINY_PAIRS


def seconds(case: Case) -> tuple[Shown, Shown]:
    """What teacher and student show of the second view: one tiny pair has the view that is asked for."""
    (pair,) = (each for each in TINY_PAIRS.values() if each.view == case.distiller.second_view)
    theirs, ours = pair.teacher().second, pair.student().second
    assert theirs is not None
    assert ours is not None
    return Shown.of(theirs), Shown.of(ours)


def up_to_the_median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    median = ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return sum(value <= median for value in values) / len(values)


def gram_gap(ours: Array, theirs: Array) -> float:
    """The squared differences between all products of two rows, over the number of rows."""
    total = 0.0
    for i in range(len(ours)):
        for j in range(len(ours)):
            total += (sum(ours[i] * ours[j]) - sum(theirs[i] * theirs[j])) ** 2 / len(ours)
    return total


def strong_cross_entropy(case: Case, strong: Shown) -> float:
    """Over the samples whose label may be used."""
    labelled = [i for i, usable in enumerate(case.batch["labelled"]) if usable]
    assert 0 < len(labelled) < len(strong.logits)
    return cross_entropy(strong.logits[labelled], case.batch["label"][labelled])


@reference("mlkd_single_view")
def mlkd_single_view(case: Case) -> dict[str, float]:
    student, teacher = case.student.logits, case.teacher.logits
    likely = [softmax(z) for z in teacher]
    samples = up_to_the_median([max(p) for p in likely])
    classes = up_to_the_median([sum(p[k] for p in likely) for k in range(teacher.shape[1])])
    totals = {"instance": 0.0, "batch": 0.0, "class": 0.0}
    for temperature in range(2, 7):
        p, q = (np.array([softmax(z, temperature) for z in side]) for side in (teacher, student))
        totals["instance"] += samples * kd_value(student, teacher, temperature)
        totals["batch"] += samples * gram_gap(q, p)
        totals["class"] += classes * gram_gap(q.T, p.T)
    return {name: case.distiller.weight * value for name, value in totals.items()}


@reference("mlkd")
def mlkd(case: Case) -> dict[str, float]:
    theirs, ours = seconds(case)
    strong = sum(kd_value(ours.logits, theirs.logits, temperature) for temperature in (3, 4, 5))
    strong += sum(kd_value(case.student.logits, case.teacher.logits, temperature) for temperature in (2, 6))
    return mlkd_single_view(case) | {
        "strong": case.distiller.weight * strong,
        "strong_task": case.distiller.strong_task_weight * strong_cross_entropy(case, ours),
    }


@reference("crld")
def crld(case: Case) -> dict[str, float]:
    method = case.distiller
    theirs, ours = seconds(case)
    within = across = 0.0
    for weak_s, weak_t, strong_s, strong_t in zip(
        case.student.logits, case.teacher.logits, ours.logits, theirs.logits, strict=True
    ):

        def loss(student: Array, teacher: Array) -> float:
            temperature = method.temperature
            return temperature**2 * divergence(softmax(teacher, temperature), softmax(student, temperature))

        if max(softmax(weak_t)) >= method.weak_threshold:
            within += loss(weak_s, weak_t) + loss(strong_s, strong_t)
        if max(softmax(strong_t)) >= method.strong_threshold:
            across += loss(strong_s, weak_t) + loss(weak_s, strong_t)
    batch = len(ours.logits)
    return {
        "within": method.within_weight * within / batch,
        "across": method.across_weight * across / batch,
        "strong_task": method.strong_task_weight * strong_cross_entropy(case, ours),
    }


def cosines(case: Case, side: str, shown: Shown, second: Shown) -> Array:
    """Of every turned copy with every upright image, behind the side's head."""
    turned, upright = (
        [unit(row) for row in through_head(case, f"{side}_head", each.embedding)] for each in (second, shown)
    )
    return np.array([[float(a @ b) for b in upright] for a in turned])


def through_head(case: Case, name: str, embedding: Array) -> Array:
    return linear(relu(linear(embedding, case.state, f"{name}.0")), case.state, f"{name}.2")


def heard(scores: Array, target: list[int], ratio: float) -> list[int]:
    """The rows that are kept: all right ones, and the wrong ones nearest to being right."""
    ranks = [
        sorted(range(len(z)), key=lambda k: (-z[k], k)).index(y) for z, y in zip(scores, target, strict=True)
    ]
    right = [row for row, rank in enumerate(ranks) if rank == 0]
    wrong = sorted((rank, row) for row, rank in enumerate(ranks) if rank > 0)
    return right + [row for _, row in wrong[: int(ratio * len(wrong))]]


@reference("sskd")
def sskd(case: Case) -> dict[str, float]:
    method = case.distiller
    theirs, ours = seconds(case)
    taught = cosines(case, "teacher", case.teacher, theirs)
    learnt = cosines(case, "student", case.student, ours)
    images = [row // 3 for row in range(len(taught))]
    labels = [y for y in targets(case) for _ in range(3)]
    kept = heard(taught, images, method.contrast_ratio)
    assert len(kept) < len(taught)
    kept_turned = heard(theirs.logits, labels, method.transformed_ratio)
    contrast = kd_value(learnt[kept], taught[kept], method.contrast_temperature)
    transformed = kd_value(ours.logits[kept_turned], theirs.logits[kept_turned], method.temperature)
    return {
        "kd": method.weight * kd_value(case.student.logits, case.teacher.logits, method.temperature),
        "transformed": method.transformed_weight * transformed,
        "contrast": method.contrast_weight * contrast,
        "head: head": cross_entropy(taught, np.array(images)),
    }
