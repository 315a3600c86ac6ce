"""Logit methods, controls and references in loops."""

import copy
import math

import numpy as np
import torch
from scipy.stats import kendalltau

from tests.baselines.references.registry import SEED, Case, array, reference
from tests.baselines.references.slow import Array, cross_entropy, divergence, linear, relu, softmax


def targets(case: Case) -> list[int]:
    """The label where it may be used, the teacher's likeliest class elsewhere."""
    rows = zip(case.batch["labelled"], case.batch["label"], case.teacher.logits, strict=True)
    return [int(label) if labelled else int(z.argmax()) for labelled, label, z in rows]


def kd_value(student: Array, teacher: Array, temperature: float) -> float:
    rows = zip(student, teacher, strict=True)
    return temperature**2 * np.mean(
        [divergence(softmax(t, temperature), softmax(s, temperature)) for s, t in rows]
    )


@reference("scratch", "label_smoothing", "tfkd")
def no_teacher(case: Case) -> dict[str, float]:
    return {}


@reference("kd", "random_teacher", "self_distillation")
def kd(case: Case) -> dict[str, float]:
    value = kd_value(case.student.logits, case.teacher.logits, case.distiller.temperature)
    return {"kd": case.distiller.weight * value}


@reference("shuffled_teacher")
def shuffled_teacher(case: Case) -> dict[str, float]:
    torch.manual_seed(SEED)
    cycle = torch.randperm(len(case.teacher.logits)).tolist()
    strangers = np.empty_like(case.teacher.logits)
    for place, sample in enumerate(cycle):
        strangers[sample] = case.teacher.logits[cycle[place - 1]]
    value = kd_value(case.student.logits, strangers, case.distiller.temperature)
    return {"kd": case.distiller.weight * value}


@reference("logit_standardization")
def logit_standardization(case: Case) -> dict[str, float]:
    def standardized(z: Array) -> Array:
        return np.array([(row - row.mean()) / row.std(ddof=1) for row in z])

    sides = standardized(case.student.logits), standardized(case.teacher.logits)
    return {"kd": case.distiller.weight * kd_value(*sides, case.distiller.temperature)}


@reference("pseudo_label")
def pseudo_label(case: Case) -> dict[str, float]:
    value = cross_entropy(case.student.logits, targets(case))
    return {"pseudo_label": case.distiller.weight * value}


@reference("generalized_distillation")
def generalized_distillation(case: Case) -> dict[str, float]:
    soft = [softmax(z, case.distiller.temperature) for z in case.teacher.logits]
    return {"soft_label": case.distiller.weight * cross_entropy(case.student.logits, soft)}


@reference("dkd")
def dkd(case: Case) -> dict[str, float]:
    method, tckd, nckd = case.distiller, 0.0, 0.0
    for s, t, y in zip(case.student.logits, case.teacher.logits, targets(case), strict=True):
        p, q = softmax(t, method.temperature), softmax(s, method.temperature)
        tckd += divergence(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        p, q = np.delete(p, y), np.delete(q, y)
        nckd += divergence(p / p.sum(), q / q.sum())
    scale = method.temperature**2 / len(case.student.logits)
    rise = min(case.progress.fraction / (20 / 240), 1)
    return {
        "tckd": rise * method.tckd_weight * scale * tckd,
        "nckd": rise * method.nckd_weight * scale * nckd,
    }


@reference("dist")
def dist(case: Case) -> dict[str, float]:
    temperature = case.distiller.temperature
    p, q = (np.array([softmax(z, temperature) for z in side.logits]) for side in (case.teacher, case.student))
    inter = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    intra = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    scale = temperature**2
    return {
        "inter": case.distiller.inter_weight * scale * inter,
        "intra": case.distiller.intra_weight * scale * intra,
    }


@reference("wkd_l")
def wkd_l(case: Case) -> dict[str, float]:
    """On the first batch every class has been seen, once or twice: its first sample fills the rest."""
    method, classes, wanted = case.distiller, case.student.logits.shape[1], targets(case)
    samples = []
    for k in range(classes):
        own = [relu(x) for x, y in zip(case.teacher.preactivations[-1], wanted, strict=True) if y == k]
        own = np.array([*own, *[own[0]] * (method.classes.features.shape[1] - len(own))])
        samples.append(own - own.mean((0, 2, 3))[:, None, None])
    places, count = [(i, j) for i in range(2) for j in range(2)], method.classes.features.shape[1]

    def crossed(x: Array, y: Array) -> Array:
        return sum(np.outer(x[:, i, j], y[:, i, j]) for i, j in places)

    spread = [np.linalg.norm(sum(crossed(x, x) for x in own)) for own in samples]
    cost = np.zeros((classes, classes))
    for a in range(classes):
        for b in range(a):
            shared = sum(crossed(x, y) for x in samples[a] for y in samples[b]) / count
            likeness = (shared**2).sum() / spread[a] / spread[b]
            cost[a, b] = cost[b, a] = 1 - math.exp(-method.sharpness * (1 - likeness))
    target = transport = 0.0
    for s, t, y in zip(case.student.logits, case.teacher.logits, wanted, strict=True):
        target -= softmax(t)[y] * math.log(softmax(s)[y])
        ours, theirs = (softmax(np.delete(z, y), method.temperature) for z in (s, t))
        own = np.delete(np.delete(cost, y, 0), y, 1) + 1e-8
        kernel = np.exp(-own / method.regularization)
        left = np.full(classes - 1, 1 / (classes - 1))
        for _ in range(method.iterations):
            right = theirs / (kernel.T @ left + 1e-8)
            left = ours / (kernel @ right + 1e-8)
        flow = np.diag(left) @ kernel @ np.diag(right)
        transport += (flow * own).sum()
    batch = len(case.student.logits)
    assert case.progress.fraction < method.decay_start  # the weight falls later
    return {"target": target / batch, "transport": method.weight * transport / batch}


@reference("c2kd")
def c2kd(case: Case) -> dict[str, float]:
    ours = linear(case.student.embedding, case.state, "student_proxy")
    theirs = linear(case.teacher.embedding, case.state, "teacher_proxy")
    student, teacher, batch = case.student.logits, case.teacher.logits, len(case.student.logits)
    proxies = kd_value(theirs, teacher, 1) + kd_value(ours, student, 1) + kd_value(student, ours, 1)
    exchange = 0.0
    for s, t, y in zip(ours, theirs, targets(case), strict=True):
        if kendalltau(s, t).statistic > case.distiller.threshold:
            p, q = softmax(np.delete(t, y)), softmax(np.delete(s, y))
            exchange += (divergence(p, q) + divergence(q, p)) / batch
    return {"proxies": case.distiller.weight * proxies, "exchange": case.distiller.weight * exchange}


@reference("takd")
def takd(case: Case) -> dict[str, float]:
    """The assistant itself is a network like any other: its logits are taken as given, in each mode."""
    method = case.distiller
    batch = {name: torch.from_numpy(each) for name, each in case.batch.items()}
    networks = [copy.deepcopy(method.assistant) for _ in range(2)]
    taught = array(networks[0].train()(batch).logits)
    # The first stage runs after the main step of the test, which leaves the assistant as it is.
    teaching = array(networks[1].eval()(batch).logits)
    usable = case.batch["labelled"]
    task = cross_entropy(taught[usable], case.batch["label"][usable])
    return {
        "kd": method.weight * kd_value(case.student.logits, teaching, method.temperature),
        "assistant: task": method.task_weight * task,
        "assistant: kd": method.weight * kd_value(taught, case.teacher.logits, method.temperature),
    }
