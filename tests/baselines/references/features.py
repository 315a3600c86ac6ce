"""OFD, ReviewKD, WKD-F, SimKD and SRRL in loops."""

import math

import numpy as np
from scipy.stats import norm

from tests.baselines.references.registry import Case, reference
from tests.baselines.references.slow import (
    Array,
    batch_norm,
    convolution,
    linear,
    nearest,
    pool,
    relu,
)


def conv_norm(x: Array, state: dict[str, Array], conv: str, normed: str, padding: int = 0) -> Array:
    """A convolution and its batch norm, stored under these names."""
    x = convolution(x, state[f"{conv}.weight"], state.get(f"{conv}.bias"), padding)
    return batch_norm(x, state[f"{normed}.weight"], state[f"{normed}.bias"])


@reference("ofd")
def ofd(case: Case) -> dict[str, float]:
    total = 0.0
    pairs = list(zip(case.student.preactivations[1:], case.teacher.preactivations[1:], strict=True))
    for stage, (student, teacher) in enumerate(pairs, start=1):
        weight, bias = case.distiller.context.teacher_norms[stage]
        name = f"connectors.{stage - 1}"
        student = conv_norm(student, case.state, f"{name}.0", f"{name}.1")
        layer = 0.0
        for c in range(teacher.shape[1]):
            mean, deviation = float(bias[c]), abs(float(weight[c]))
            below = norm.cdf(0, mean, deviation)
            margin = -3 * deviation
            if below > 0.001:
                margin = norm.expect(lambda x: x, loc=mean, scale=deviation, ub=0, lb=mean - 12) / below
            for s, t in zip(student[:, c].ravel(), teacher[:, c].ravel(), strict=True):
                if t <= margin:
                    layer += (s - margin) ** 2 if s > margin else 0
                elif t <= 0:
                    layer += (s - t) ** 2 if s > t else 0
                else:
                    layer += (s - t) ** 2
        total += layer / len(student) / 2 ** (len(pairs) - stage)
    return {"ofd": case.distiller.weight * total}


@reference("reviewkd")
def reviewkd(case: Case) -> dict[str, float]:
    def hcl(student: Array, teacher: Array) -> float:
        total, weights, weight = np.mean((student - teacher) ** 2), 1.0, 1.0
        for level in (4, 2, 1):
            if level < student.shape[2]:
                weight /= 2
                total += weight * np.mean((pool(student, level, level) - pool(teacher, level, level)) ** 2)
                weights += weight
        return total / weights

    def sigmoid(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    students = [*case.student.maps[1:], case.student.embedding[:, :, None, None]]
    teachers = [*case.teacher.preactivations[1:], case.teacher.embedding[:, :, None, None]]
    total, deeper = 0.0, None
    for depth, (student, teacher) in enumerate(zip(students[::-1], teachers[::-1], strict=True)):
        name = f"fusions.{depth}"
        fused = conv_norm(student, case.state, f"{name}.reduce.0", f"{name}.reduce.1")
        if deeper is not None:
            deeper = nearest(deeper, *fused.shape[2:])
            both = np.concatenate([fused, deeper], axis=1)
            attend = (case.state[f"{name}.attend.0.{part}"] for part in ("weight", "bias"))
            shares = sigmoid(convolution(both, *attend))
            fused = fused * shares[:, :1] + deeper * shares[:, 1:]
        deeper = nearest(fused, *teacher.shape[2:])
        compared = conv_norm(deeper, case.state, f"{name}.expand.0", f"{name}.expand.1", padding=1)
        total += hcl(compared, teacher)
    rise = min(case.progress.fraction / (20 / 240), 1)
    return {"reviewkd": rise * case.distiller.weight * total}


@reference("wkd_f")
def wkd_f(case: Case) -> dict[str, float]:
    student = relu(conv_norm(case.student.maps[-1], case.state, "project.0", "project.1"))
    mean = deviation = 0.0
    for s, t in zip(student, case.teacher.maps[-1], strict=True):
        for ours, theirs in zip(s, t, strict=True):
            mean += (ours.mean() - theirs.mean()) ** 2 / len(student)
            spread = [math.sqrt(each.var(ddof=1) + 1e-5) for each in (ours, theirs)]
            deviation += (spread[0] - spread[1]) ** 2 / len(student)
    weight = case.distiller.weight
    return {"mean": weight * case.distiller.ratio * mean, "deviation": weight * deviation}


@reference("simkd")
def simkd(case: Case) -> dict[str, float]:
    projected = case.student.maps[-1]
    for layer, padding in ((0, 0), (3, 1), (6, 0)):
        names = f"project.{layer}", f"project.{layer + 1}"
        projected = relu(conv_norm(projected, case.state, *names, padding))
    difference = projected - relu(case.teacher.preactivations[-1])
    return {"simkd": case.distiller.weight * np.mean(difference**2)}


@reference("srrl")
def srrl(case: Case) -> dict[str, float]:
    state = case.state
    feature = linear(case.student.embedding, state, "connect.0")
    feature = relu(batch_norm(feature, state["connect.1.weight"], state["connect.1.bias"]))
    answers = linear(feature, state, "head")
    return {
        "feature": case.distiller.weight * np.mean((feature - case.teacher.embedding) ** 2),
        "logits": case.distiller.weight * np.mean((answers - case.teacher.logits) ** 2),
    }
