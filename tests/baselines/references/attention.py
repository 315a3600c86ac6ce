"""AT, NST, FT, AB, FSP and the hints (FitNet, supervision transfer, modality hallucination) in loops."""

import math

import numpy as np

from tests.baselines.references.registry import Case, reference
from tests.baselines.references.slow import (
    Array,
    batch_norm,
    convolution,
    leaky,
    pool,
    relu,
    transposed_convolution,
    unit,
)


def attention(feature: Array) -> Array:
    """Per sample the squared map's mean over channels, as a unit vector, [B, H * W]."""
    rows = []
    for sample in feature:
        places = [
            np.mean([sample[c, i, j] ** 2 for c in range(len(sample))])
            for i in range(sample.shape[1])
            for j in range(sample.shape[2])
        ]
        rows.append(unit(np.array(places)))
    return np.array(rows)


@reference("at")
def at(case: Case) -> dict[str, float]:
    total = 0.0
    for student, teacher in zip(case.student.maps[1:], case.teacher.maps[1:], strict=True):
        total += np.mean((attention(student) - attention(teacher)) ** 2)
    return {"at": case.distiller.weight * total}


@reference("nst")
def nst(case: Case) -> dict[str, float]:
    def kernel(a: Array, b: Array) -> float:
        values = [unit(x.ravel()) @ unit(y.ravel()) for x in a for y in b]
        return np.mean([value**2 for value in values])

    total = 0.0
    for student, teacher in zip(case.student.maps[1:], case.teacher.maps[1:], strict=True):
        for s, t in zip(student, teacher, strict=True):
            total += (kernel(t, t) + kernel(s, s) - 2 * kernel(s, t)) / len(student)
    return {"nst": case.distiller.weight * total}


@reference("fsp")
def fsp(case: Case) -> dict[str, float]:
    def flow(lower: Array, upper: Array) -> Array:
        rows, columns = min(lower.shape[2], upper.shape[2]), min(lower.shape[3], upper.shape[3])
        lower, upper = pool(lower, rows, columns), pool(upper, rows, columns)
        return np.array(
            [
                [[np.mean(u * low) for low in lows] for u in ups]
                for lows, ups in zip(lower, upper, strict=True)
            ]
        )

    total = 0.0
    for i in range(len(case.student.maps) - 1):
        student, teacher = (flow(*side.maps[i : i + 2]) for side in (case.student, case.teacher))
        total += np.mean((student - teacher) ** 2)
    return {"flow: fsp": case.distiller.weight * total}


@reference("ab")
def ab(case: Case) -> dict[str, float]:
    margin, total = case.distiller.margin, 0.0
    students, teachers = case.student.preactivations[1:], case.teacher.preactivations[1:]
    for number, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
        name = f"connectors.{number}"
        if f"{name}.conv.weight" in case.state:
            student = convolution(student, case.state[f"{name}.conv.weight"], case.state[f"{name}.conv.bias"])
            student = batch_norm(student, case.state[f"{name}.bn.weight"], case.state[f"{name}.bn.bias"])
        layer = 0.0
        for s, t in zip(student.ravel(), teacher.ravel(), strict=True):
            if t <= 0 and s > -margin:
                layer += (s + margin) ** 2
            if t > 0 and s <= margin:
                layer += (s - margin) ** 2
        total += 0.003 * layer / len(student) / 2 ** (len(students) - 1 - number)
    return {"boundaries: ab": case.distiller.weight * total}


@reference("ft")
def ft(case: Case) -> dict[str, float]:
    student, teacher, state = case.student.maps[-1], case.teacher.maps[-1], case.state
    for layer in (0, 3, 6):
        name = f"translator.{layer}"
        student = convolution(student, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
        norm = f"translator.{layer + 1}"
        student = leaky(batch_norm(student, state[f"{norm}.weight"], state[f"{norm}.bias"]))
    factor = teacher
    for layer in (0, 2, 4):
        name = f"paraphraser.encoder.{layer}"
        factor = leaky(convolution(factor, state[f"{name}.weight"], state[f"{name}.bias"], padding=1))
    rebuilt = factor
    for layer in (0, 2, 4):
        name = f"paraphraser.decoder.{layer}"
        rebuilt = leaky(transposed_convolution(rebuilt, state[f"{name}.weight"], state[f"{name}.bias"], 1))
    return {
        "ft": case.distiller.weight * np.mean(np.abs(attention(student) - attention(factor))),
        "paraphraser: reconstruction": np.mean((rebuilt - teacher) ** 2),
    }


@reference("fitnet")
def fitnet(case: Case) -> dict[str, float]:
    layer, state = case.distiller.hint_layer, case.state
    regressed = convolution(
        case.student.maps[layer], state["regressor.conv.weight"], state["regressor.conv.bias"]
    )
    regressed = relu(batch_norm(regressed, state["regressor.bn.weight"], state["regressor.bn.bias"]))
    return {"fitnet": case.distiller.weight * np.mean((regressed - case.teacher.maps[layer]) ** 2)}


def hint(case: Case) -> tuple[Array, Array]:
    """The last maps, the student's through a 1x1 convolution and batch norm where channels differ."""
    student, state = case.student.maps[-1], case.state
    if "hint.adapt.0.weight" in state:
        student = convolution(student, state["hint.adapt.0.weight"], state["hint.adapt.0.bias"])
        student = batch_norm(student, state["hint.adapt.1.weight"], state["hint.adapt.1.bias"])
    return student, case.teacher.maps[-1]


@reference("supervision_transfer")
def supervision_transfer(case: Case) -> dict[str, float]:
    student, teacher = hint(case)
    differences = [(s - t) ** 2 for s, t in zip(student.ravel(), teacher.ravel(), strict=True)]
    return {"transfer: transfer": case.distiller.weight * sum(differences) / len(differences)}


@reference("modality_hallucination")
def modality_hallucination(case: Case) -> dict[str, float]:
    def squash(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    student, teacher = hint(case)
    values = [(squash(s) - squash(t)) ** 2 for s, t in zip(student.ravel(), teacher.ravel(), strict=True)]
    return {"hallucination": case.distiller.weight * sum(values) / len(values)}
