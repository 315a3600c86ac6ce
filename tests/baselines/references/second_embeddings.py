"""ITRD, RRD, DCD and CRCD in loops."""

import math

import numpy as np
import torch

from tests.baselines.references.registry import SEED, Case, reference
from tests.baselines.references.slow import Array, divergence, linear, softmax, unit


def unit_vectors(case: Case) -> tuple[Array, Array]:
    """Student and teacher through their linear maps, each row at unit length."""
    sides = ("embed_student", case.student.embedding), ("embed_teacher", case.teacher.embedding)
    student, teacher = (
        np.array([unit(row) for row in linear(embedding, case.state, f"{name}.linear")])
        for name, embedding in sides
    )
    return student, teacher


@reference("itrd")
def itrd(case: Case) -> dict[str, float]:
    method, teacher = case.distiller, case.teacher.embedding
    embedded = linear(case.student.embedding, case.state, "embed.linear")
    batch, width = teacher.shape
    total = 0.0
    for d in range(width):
        standardized = []
        for values in (embedded[:, d], teacher[:, d]):
            deviation = math.sqrt(sum((x - values.mean()) ** 2 for x in values) / (batch - 1))
            standardized.append((values - values.mean()) / deviation)
        correlation = sum(s * t for s, t in zip(*standardized, strict=True)) / batch
        total += abs(correlation - 1) ** (2 * method.alpha)
    own = case.student.embedding if case.student.embedding.shape == teacher.shape else embedded
    alone, joint = np.empty((batch, batch)), np.empty((batch, batch))
    for i in range(batch):
        for j in range(batch):
            alone[i, j] = unit(own[i]) @ unit(own[j])
            joint[i, j] = alone[i, j] * (unit(teacher[i]) @ unit(teacher[j]))
    of_squares = [sum((x / matrix.trace()) ** 2 for x in matrix.ravel()) for matrix in (alone, joint)]
    return {
        "correlation": method.correlation_weight * math.log2(total),
        "mutual": method.mutual_weight * (of_squares[0] - of_squares[1]),
    }


@reference("rrd")
def rrd(case: Case) -> dict[str, float]:
    method, total = case.distiller, 0.0
    student, teacher = unit_vectors(case)
    queue, place = case.state["queue.rows"].copy(), int(case.state["queue.position"])
    for vector in teacher:
        queue[place % len(queue)] = vector
        place += 1
    for ours, theirs in zip(student, teacher, strict=True):
        target = softmax(np.array([theirs @ row for row in queue]), method.teacher_temperature)
        answer = softmax(np.array([ours @ row for row in queue]), method.student_temperature)
        total -= sum(p * math.log(q) for p, q in zip(target, answer, strict=True)) / len(student)
    return {"rrd": method.weight * total}


@reference("dcd")
def dcd(case: Case) -> dict[str, float]:
    method = case.distiller
    scale = min(math.exp(case.state["log_scale"]), method.largest_scale)
    student, teacher = unit_vectors(case)
    similarity = np.array([[scale * (s @ t) for t in teacher] for s in student])
    contrast, consistency = 0.0, 0.0
    for i, row in enumerate(similarity):
        of_row, of_column = softmax(row), softmax(similarity[:, i])
        contrast -= math.log(of_row[i]) / len(student)
        consistency += divergence(of_column, of_row) / len(student)
    return {
        "contrast": method.weight * contrast,
        "consistency": method.weight * method.consistency_weight * consistency,
    }


def relations(vectors: Array, bank: Array, rows: Array) -> Array:
    """The cosines [B * A, 1 + M] of directions from every anchor to every sample and its candidates."""
    scores = []
    for b, vector in enumerate(vectors):
        for anchor in bank[rows[:, 0]]:
            towards = unit(vector - anchor + 1e-6)
            scores.append([towards @ unit(bank[row] - anchor + 1e-6) for row in rows[b]])
    return np.array(scores)


@reference("crcd")
def crcd(case: Case) -> dict[str, float]:
    method, total = case.distiller, 0.0
    torch.manual_seed(SEED)
    rows = method.memory.draw(torch.from_numpy(case.batch["index"])).numpy()
    student, teacher = unit_vectors(case)
    for vectors, other in ((student, "teacher"), (teacher, "student")):
        bank = case.state[f"memory.{other}"]
        ratios = np.exp(relations(vectors, bank, rows) / method.temperature)
        ratios /= len(bank) * ratios.mean()
        noise = (rows.shape[1] - 1) / len(bank)
        for row in ratios:
            for k, p in enumerate(row):
                total -= math.log((p if k == 0 else noise) / (p + noise + 1e-7)) / len(ratios)
    temperature = method.kd_temperature
    answers = [
        temperature**2 * divergence(softmax(t, temperature), softmax(s, temperature))
        for s, t in zip(case.student.logits, case.teacher.logits, strict=True)
    ]
    return {"kd": method.kd_weight * np.mean(answers), "crcd": method.weight * total}
