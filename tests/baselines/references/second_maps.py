"""CAT-KD, ICKD-C, PAD-L2, SemCKD and SRD in loops."""

import math

import numpy as np

from tests.baselines.references.features import conv_norm
from tests.baselines.references.logits import kd_value
from tests.baselines.references.registry import Case, reference
from tests.baselines.references.slow import Array, batch_norm, convolution, linear, pool, relu, softmax, unit
from tests.baselines.tiny import tiny_head


@reference("cat_kd")
def cat_kd(case: Case) -> dict[str, float]:
    """The classifiers of tiny activations are drawn from 100 more than the seeds of the two networks."""
    total = count = 0
    stacks = []
    for shown, seed in ((case.student, 102), (case.teacher, 101)):
        weight = tiny_head(shown.embedding.shape[1], seed).weight.detach().double().numpy()
        feature = relu(shown.preactivations[-1])
        stacks.append(np.array([[sum(w[c] * x[c] for c in range(len(x))) for w in weight] for x in feature]))
    ours, theirs = (pool(each, 2, 2) for each in stacks)
    for s, t in zip(ours.ravel(), theirs.ravel(), strict=True):
        total += (s - t) ** 2
        count += 1
    return {"cat_kd": case.distiller.weight * total / count}


@reference("ickd")
def ickd(case: Case) -> dict[str, float]:
    def correlations(sample: Array) -> Array:
        channels = range(len(sample))
        return np.array([unit(np.array([(sample[i] * sample[j]).sum() for j in channels])) for i in channels])

    student = conv_norm(case.student.maps[-1], case.state, "project.convolution", "project.norm")
    total, channels = 0.0, student.shape[1]
    for s, t in zip(student, case.teacher.maps[-1], strict=True):
        total += ((correlations(s) - correlations(t)) ** 2).sum()
    return {"ickd": case.distiller.weight * total / len(student) / channels}


@reference("pad_l2")
def pad_l2(case: Case) -> dict[str, float]:
    student, teacher = case.student.embedding, case.teacher.embedding
    logarithm = linear(student, case.state, "log_variance.0")
    logarithm = batch_norm(logarithm, *(case.state[f"log_variance.1.{part}"] for part in ("weight", "bias")))
    values = [
        (t - s) ** 2 / (1e-6 + math.exp(v)) + v
        for s, t, v in zip(student.ravel(), teacher.ravel(), logarithm.ravel(), strict=True)
    ]
    return {"pad_l2": case.distiller.weight * np.mean(values)}


@reference("semckd")
def semckd(case: Case) -> dict[str, float]:
    def related(feature: Array, name: str) -> Array:
        gram = np.array([[(one * other).sum() for other in feature] for one in feature])
        hidden = relu(linear(gram, case.state, f"{name}.layers.0"))
        return np.array([unit(row) for row in linear(hidden, case.state, f"{name}.layers.2")])

    def regressed(feature: Array, name: str) -> Array:
        feature = relu(conv_norm(feature, case.state, f"{name}.0", f"{name}.1"))
        feature = relu(conv_norm(feature, case.state, f"{name}.3", f"{name}.4", padding=1))
        return convolution(feature, case.state[f"{name}.6.weight"])

    students, teachers = case.student.maps[1:], case.teacher.maps[1:]
    batch = len(case.student.logits)
    queries = [related(each, f"queries.{i}") for i, each in enumerate(students)]
    keys = [related(each, f"keys.{j}") for j, each in enumerate(teachers)]
    total = 0.0
    for i, student in enumerate(students):
        shares = [softmax(np.array([queries[i][b] @ key[b] for key in keys])) for b in range(batch)]
        for j, teacher in enumerate(teachers):
            size = min(student.shape[2], teacher.shape[2])
            ours = regressed(pool(student, size, size), f"regressors.{i * len(teachers) + j}")
            theirs = pool(teacher, size, size)
            for b in range(batch):
                total += shares[b][j] * np.mean((ours[b] - theirs[b]) ** 2)
    method = case.distiller
    return {
        "semckd": method.weight * total / batch / len(students),
        "kd": method.kd_weight * kd_value(case.student.logits, case.teacher.logits, 4),
    }


@reference("srd")
def srd(case: Case) -> dict[str, float]:
    def normalized(x: Array) -> Array:
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-4)

    student, teacher = (relu(each.preactivations[-1]).mean((2, 3)) for each in (case.student, case.teacher))
    ours, theirs = normalized(linear(student, case.state, "project")), normalized(teacher)
    total = 0.0
    for s, t in zip(ours.ravel(), theirs.ravel(), strict=True):
        total += abs(s - t) ** 4
    return {
        "representation": case.distiller.weight * math.log(total),
        "logit": case.distiller.logit_weight * kd_value(case.student.logits, case.teacher.logits, 1),
    }
