"""CRD, GCKT, LCKT, WCoRD and InfoNCE in loops."""

import math

import numpy as np
import ot
import torch

from tests.baselines.references.registry import SEED, Case, reference
from tests.baselines.references.slow import Array, linear, unit


def rows_of(case: Case, memory) -> Array:
    """The rows that the method draws when the engine's step begins."""
    torch.manual_seed(SEED)
    return memory.draw(torch.from_numpy(case.batch["index"])).numpy()


def objective(
    anchors: Array, bank: Array, rows: Array, temperature: float, epsilon: float, dual: bool
) -> float:
    """One direction by the formula; Z from this very batch."""
    batch, columns = rows.shape
    scores = np.empty((batch, columns))
    for b in range(batch):
        for j in range(columns):
            scores[b, j] = sum(x * y for x, y in zip(bank[rows[b, j]], anchors[b], strict=True))
    if dual:
        return -(scores[:, 0].mean() - scores[:, 1:].mean()) / temperature
    noise = (columns - 1) / len(bank)
    z = len(bank) * np.exp(scores / temperature).mean()
    loss = 0.0
    for b in range(batch):
        for j in range(columns):
            p = math.exp(scores[b, j] / temperature) / z
            loss -= math.log((p if j == 0 else noise) / (p + noise + epsilon)) / batch
    return loss


def both_ways(case: Case, method, prefix: str, student: Array, teacher: Array, epsilon: float, dual: bool):
    """The weighted sum of both directions for embedded samples."""
    rows = rows_of(case, method.memory)
    banks = [case.state[f"{prefix}memory.{side}"] for side in ("student", "teacher")]
    options = rows, method.temperature, epsilon, dual
    return method.weight * (objective(student, banks[1], *options) + objective(teacher, banks[0], *options))


@reference("crd")
def crd(case: Case) -> dict[str, float]:
    student, teacher = (
        np.array([unit(row) for row in linear(side, case.state, f"embed_{name}.linear")])
        for name, side in (("student", case.student.embedding), ("teacher", case.teacher.embedding))
    )
    return {"crd": both_ways(case, case.distiller, "", student, teacher, 1e-7, False)}


def lipschitz(case: Case, prefix: str) -> list[Array]:
    """Both networks' unit embeddings through their matrix over its largest singular value."""
    embedded = []
    for name, side in (("student", case.student.embedding), ("teacher", case.teacher.embedding)):
        weight = case.state[f"{prefix}embed_{name}.weight"]
        weight = weight / np.linalg.svd(weight, compute_uv=False)[0]
        embedded.append(np.array([weight @ unit(row) for row in side]))
    return embedded


@reference("gckt", "gckt_dual")
def gckt(case: Case) -> dict[str, float]:
    return {"gckt": both_ways(case, case.distiller, "", *lipschitz(case, ""), 0.0, case.distiller.dual)}


@reference("lckt", tolerance=0.01)
def lckt(case: Case) -> dict[str, float]:
    """<P, C>, with P from a linear programme whose diagonal is cheaper by what is left of the bonus."""
    return {"lckt": case.distiller.weight * own_transport(case, "", case.distiller.pairing)}


def own_transport(case: Case, prefix: str, pairing: float) -> float:
    student = case.student.embedding
    if f"{prefix}project.linear.weight" in case.state:
        student = linear(student, case.state, f"{prefix}project.linear")
    cost = np.array([[1 - unit(s) @ unit(t) for t in case.teacher.embedding] for s in student])
    uniform = np.full(len(cost), 1 / len(cost))
    left = pairing * (1 - case.progress.step / case.progress.steps)
    coupling = ot.emd(uniform, uniform, cost - left * np.eye(len(cost)))
    return (coupling * cost).sum()


@reference("wcord", tolerance=0.01)
def wcord(case: Case) -> dict[str, float]:
    """Each term in a space of its own."""
    both = case.distiller
    gckt = both_ways(case, both.gckt, "gckt.", *lipschitz(case, "gckt."), 0.0, False)
    return {"gckt": gckt, "lckt": both.lckt_weight * own_transport(case, "own.", both.pairing)}


@reference("infonce")
def infonce(case: Case) -> dict[str, float]:
    student, teacher = (
        np.array([unit(row) for row in linear(side, case.state, f"embed_{name}.linear")])
        for name, side in (("student", case.student.embedding), ("teacher", case.teacher.embedding))
    )
    labelled, label, total = case.batch["labelled"], case.batch["label"], 0.0
    for anchors, others in ((student, teacher), (teacher, student)):
        for i, anchor in enumerate(anchors):
            kept = []
            for j, other in enumerate(others):
                known_mate = labelled[i] and labelled[j] and label[i] == label[j] and i != j
                if not known_mate:
                    kept.append(math.exp(anchor @ other / case.distiller.temperature))
            own = math.exp(anchor @ others[i] / case.distiller.temperature)
            total -= math.log(own / sum(kept)) / len(anchors)
    return {"infonce": case.distiller.weight * total}
