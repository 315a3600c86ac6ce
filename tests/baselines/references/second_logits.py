"""NKD, CTKD, TTM, WTTM, SDD and OFA-KD in loops."""

import math
from typing import Any

import numpy as np

from tests.baselines.references.logits import kd_value, targets
from tests.baselines.references.registry import Case, array, reference
from tests.baselines.references.slow import (
    Array,
    batch_norm,
    convolution,
    cross_entropy,
    divergence,
    linear,
    pool,
    relu,
    softmax,
)
from tests.baselines.tiny import tiny_head


def softened(student: Array, teacher: Array, temperature: float) -> float:
    """The cross-entropy of NKD without the teacher's entropy."""
    return temperature**2 * divergence(softmax(teacher, temperature), softmax(student, temperature))


def own_cross_entropy(student: Array, teacher: Array, target: int) -> float:
    return -softmax(teacher)[target] * math.log(softmax(student)[target])


@reference("nkd")
def nkd(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    batch = len(case.student.logits)
    own = rest = 0.0
    for s, t, y in zip(case.student.logits, case.teacher.logits, targets(case), strict=True):
        own += own_cross_entropy(s, t, y) / batch
        rest += softened(np.delete(s, y), np.delete(t, y), method.temperature) / batch
    return {"target": method.target_weight * own, "non_target": method.non_target_weight * rest}


@reference("ctkd")
def ctkd(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    temperature = method.lowest + method.span / (1 + math.exp(-float(case.state["theta"])))
    return {"kd": method.weight * kd_value(case.student.logits, case.teacher.logits, temperature)}


@reference("ttm", "wttm")
def ttm(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    batch = len(case.student.logits)
    plain = weighted = 0.0
    for s, t in zip(case.student.logits, case.teacher.logits, strict=True):
        powers = softmax(t) ** method.exponent
        kl = divergence(powers / powers.sum(), softmax(s))
        plain += kl / batch
        weighted += powers.sum() * kl / batch
    found = {"ttm": plain} if type(method).__name__ == "TTM" else {"wttm": weighted}
    return {name: method.weight * value for name, value in found.items()}


def regions_of(case: Case) -> list[tuple[Array, Array, int, int]]:
    """(student's logits, teacher's logits, target, weight) of each region of each sample."""
    grids, heads = [], []
    for shown, seed in ((case.student, 102), (case.teacher, 101)):
        grids.append(pool(relu(shown.preactivations[-1]), 4, 4))
        head = tiny_head(shown.embedding.shape[1], seed)  # the classifier that this activation's network has
        heads.append({"head.weight": array(head.weight), "head.bias": array(head.bias)})
    found = []
    for b, y in enumerate(targets(case)):
        places = [(0, 4, 0, 4)] + [(i, i + 2, j, j + 2) for i in (0, 2) for j in (0, 2)]
        answers = []
        for top, bottom, left, right in places:
            both = [grid[b, :, top:bottom, left:right].mean((1, 2))[None] for grid in grids]
            answers.append([linear(x, head, "head")[0] for x, head in zip(both, heads, strict=True)])
        whole = answers[0][1].argmax() == y
        for s, t in answers:
            found.append((s, t, y, 1 if (t.argmax() == y) == whole else 2))
    assert len({weight for *_, weight in found}) == 2
    return found


@reference("sdd_kd")
def sdd_kd(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    rows = regions_of(case)
    total = sum(w * kd_value(s[None], t[None], method.temperature) for s, t, _, w in rows)
    return {"kd": method.weight * total / len(rows)}


@reference("sdd_dkd")
def sdd_dkd(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    rows, tckd, nckd = regions_of(case), 0.0, 0.0
    for s, t, y, weight in rows:
        p, q = softmax(t, method.temperature), softmax(s, method.temperature)
        tckd += weight * divergence(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        p, q = np.delete(p, y), np.delete(q, y)
        nckd += weight * divergence(p / p.sum(), q / q.sum())
    scale = min(case.progress.fraction / (20 / 240), 1) * method.temperature**2 / len(rows)
    return {"tckd": scale * method.tckd_weight * tckd, "nckd": scale * method.nckd_weight * nckd}


@reference("sdd_nkd")
def sdd_nkd(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    rows = regions_of(case)
    own = sum(w * own_cross_entropy(s, t, y) for s, t, y, w in rows)
    rest = sum(w * softened(s, t, method.temperature) for s, t, _, w in rows)
    scale = min(case.progress.fraction / (20 / 240), 1) / len(rows)
    return {"target": scale * method.target_weight * own, "rest": scale * method.rest_weight * rest}


def depthwise(x: Array, weight: Array, stride: int) -> Array:
    """Each channel under a 3x3 kernel of its own, padded by one: x [B, C, H, W], weight [C, 1, 3, 3]."""
    channels = [convolution(x[:, c : c + 1], weight[c : c + 1], padding=1) for c in range(x.shape[1])]
    return np.concatenate(channels, axis=1)[:, :, ::stride, ::stride]


def exit_logits(x: Array, state: dict[str, Array], name: str, behind: int) -> Array:
    if not behind:
        x = convolution(x, state[f"{name}.blocks.weight"], state[f"{name}.blocks.bias"])
    for block in range(behind):
        for first, stride in ((0, 2), (4, 1)):
            layer = [f"{name}.blocks.{block}.{first + i}" for i in range(3)]
            x = depthwise(x, state[f"{layer[0]}.weight"], stride)
            x = convolution(x, state[f"{layer[1]}.weight"])
            x = relu(batch_norm(x, state[f"{layer[2]}.weight"], state[f"{layer[2]}.bias"]))
    return linear(x.mean((2, 3)), state, f"{name}.classifier")


@reference("ofa_kd")
def ofa_kd(case: Case) -> dict[str, float]:
    method: Any = case.distiller
    stages = case.student.maps[1:]
    wanted = []
    for t, y in zip(case.teacher.logits, targets(case), strict=True):
        p = softmax(t, method.temperature)
        one = np.eye(len(p))[y]
        wanted.append((p + one) ** method.exponent - one)
    exits = 0.0
    for number, stage in enumerate(stages):
        answers = exit_logits(stage, case.state, f"exits.{number}", len(stages) - 1 - number)
        exits += cross_entropy(answers / method.temperature, np.array(wanted))
    final = cross_entropy(case.student.logits / method.temperature, np.array(wanted))
    return {"exits": method.exit_weight * exits, "final": method.final_weight * final}
