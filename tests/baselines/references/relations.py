"""SP, CC, VID, RKD, PKT, KDSVD and MARS in loops."""

import math

import numpy as np

from tests.baselines.references.registry import Case, reference
from tests.baselines.references.slow import Array, convolution, linear, relu, softmax, unit


def similarity(feature: Array) -> Array:
    return np.array([unit(np.array([(a * b).sum() for b in feature])) for a in feature])


@reference("sp")
def sp(case: Case) -> dict[str, float]:
    difference = similarity(case.teacher.maps[-1]) - similarity(case.student.maps[-1])
    return {"sp": case.distiller.weight * (difference**2).sum() / len(difference) ** 2}


@reference("mad")
def mad(case: Case) -> dict[str, float]:
    difference = similarity(case.teacher.maps[-1]) - similarity(case.student.maps[-1])
    entropies = [-(p * np.log(p)).sum() for p in map(softmax, case.teacher.logits)]
    total = 0.0
    for i in range(len(difference)):
        for j in range(len(difference)):
            total += difference[i, j] ** 2 * entropies[j] / sum(entropies)
    return {"mad": case.distiller.weight * total}


@reference("cc")
def cc(case: Case) -> dict[str, float]:
    student = linear(case.student.embedding, case.state, "embed_student.linear")
    teacher = linear(case.teacher.embedding, case.state, "embed_teacher.linear")
    total = 0.0
    for i in range(len(student) - 1):
        for d in range(student.shape[1]):
            total += abs(student[i, d] - teacher[i, d]) * abs(student[i + 1, d] - teacher[i + 1, d])
    return {"cc": case.distiller.weight * total / (len(student) - 1)}


@reference("vid")
def vid(case: Case) -> dict[str, float]:
    total = 0.0
    pairs = zip(case.student.maps[1:], case.teacher.maps[1:], strict=True)
    for number, (mean, teacher) in enumerate(pairs):
        for layer in (0, 2, 4):
            mean = convolution(mean, case.state[f"stages.{number}.regressor.{layer}.weight"])
            mean = relu(mean) if layer < 4 else mean
        values = []
        for c, scale in enumerate(case.state[f"stages.{number}.log_scale"]):
            variance = math.log(1 + math.exp(scale)) + 1e-5
            values.append(((mean[:, c] - teacher[:, c]) ** 2 / variance + math.log(variance)) / 2)
        total += np.mean(values)
    return {"vid": case.distiller.weight * total}


def huber(a: float, b: float) -> float:
    return 0.5 * (a - b) ** 2 if abs(a - b) < 1 else abs(a - b) - 0.5


@reference("rkd")
def rkd(case: Case) -> dict[str, float]:
    def distances(points: Array) -> Array:
        matrix = np.array([[math.sqrt(((a - b) ** 2).sum()) for b in points] for a in points])
        return matrix / matrix[matrix > 0].mean()

    def angles(points: Array) -> list[float]:
        found = []
        for a in points:
            for b in points:
                for c in points:
                    same = (a == b).all() or (a == c).all()
                    found.append(0.0 if same else float(unit(b - a) @ unit(c - a)))
        return found

    sides = case.student.embedding, case.teacher.embedding
    distance = [huber(s, t) for s, t in zip(*(distances(points).ravel() for points in sides), strict=True)]
    angle = [huber(s, t) for s, t in zip(*(angles(points) for points in sides), strict=True)]
    return {
        "distance": case.distiller.distance_weight * np.mean(distance),
        "angle": case.distiller.angle_weight * np.mean(angle),
    }


@reference("pkt")
def pkt(case: Case) -> dict[str, float]:
    def neighbours(points: Array) -> Array:
        matrix = np.array([[(unit(a) @ unit(b) + 1) / 2 for b in points] for a in points])
        return np.array([row / row.sum() for row in matrix])

    student, teacher = neighbours(case.student.embedding), neighbours(case.teacher.embedding)
    values = [t * math.log(t / s) for s, t in zip(student.ravel(), teacher.ravel(), strict=True)]
    return {"pkt": case.distiller.weight * np.mean(values)}


@reference("kdsvd")
def kdsvd(case: Case) -> dict[str, float]:
    def directions(sample: Array) -> Array:
        places = sample.reshape(len(sample), -1).T
        return np.linalg.svd(places, full_matrices=False)[2]

    def rbf(lower: Array, upper: Array) -> Array:
        return np.array([[math.exp(-((u - low) ** 2) / 8) for low in lower] for u in upper])

    total, batch = 0.0, len(case.student.logits)
    for b in range(batch):
        students, teachers = [], []
        for student, teacher in zip(case.student.maps[1:], case.teacher.maps[1:], strict=True):
            first = directions(teacher[b])[0]
            first = first if first.sum() >= 0 else -first
            candidates = directions(student[b])[:4]
            nearest = max(candidates, key=lambda v: abs(v @ first))
            students.append(nearest if nearest @ first >= 0 else -nearest)
            teachers.append(first)
        for i in range(len(students) - 1):
            difference = rbf(*students[i : i + 2]) - rbf(*teachers[i : i + 2])
            total += (difference**2).sum() / batch
    return {"kdsvd": case.distiller.weight * total}


@reference("mars")
def mars(case: Case) -> dict[str, float]:
    student = case.student.embedding
    if "project.linear.weight" in case.state:
        student = linear(student, case.state, "project.linear")
    return {"mars": case.distiller.weight * np.mean((student - case.teacher.embedding) ** 2)}
