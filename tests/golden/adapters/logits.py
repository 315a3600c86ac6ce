"""Golden adapters of methods on logits: DKD, DIST, WKD-L."""

from __future__ import annotations

from torch import Tensor

from baselines.dist import dist_losses
from baselines.dkd import nckd_loss, tckd_loss
from baselines.wkd_l import target_loss, transport_loss
from tests.golden.adapters.registry import Arrays, adapter, gradients, tensor


@adapter("dkd")
def dkd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_logits", gradient=True), tensor(arrays, "teacher_logits")
    label, temperature = tensor(arrays, "labels"), float(arrays["hp.T"])
    tckd, nckd = (each(student, teacher, label, temperature) for each in (tckd_loss, nckd_loss))
    loss = float(arrays["hp.alpha"]) * tckd + float(arrays["hp.beta"]) * nckd
    values = {"loss": loss, "loss_tckd": tckd, "loss_nckd": nckd}
    return values | gradients(loss, {"student_logits": student}, {})


@adapter("dist")
def dist(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_logits", gradient=True), tensor(arrays, "teacher_logits")
    inter, intra = dist_losses(student, teacher, float(arrays["hp.tau"]))
    loss = float(arrays["hp.beta"]) * inter + float(arrays["hp.gamma"]) * intra
    values = {"loss": loss, "loss_inter": inter, "loss_intra": intra}
    return values | gradients(loss, {"student_logits": student}, {})


@adapter("wkd_l")
def wkd_l(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_logits", gradient=True), tensor(arrays, "teacher_logits")
    label, cost = tensor(arrays, "labels"), tensor(arrays, "cost_matrix")
    target = target_loss(student, teacher, label)
    transport = transport_loss(
        student,
        teacher,
        label,
        cost,
        float(arrays["hp.T"]),
        float(arrays["hp.sinkhorn_lambda"]),
        int(arrays["hp.sinkhorn_iter"]),
    )
    loss = target + float(arrays["hp.gamma"]) * transport
    values = {"loss": loss, "loss_target": target, "loss_wkd_unweighted": transport}
    return values | gradients(loss, {"student_logits": student}, {})
