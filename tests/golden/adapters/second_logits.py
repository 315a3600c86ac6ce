"""Golden adapters of later methods on logits: NKD, CTKD, TTM, WTTM, Tf-KD, SDD, OFA-KD."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines._regions import region_logits, region_weights
from baselines.ctkd import curriculum_kd_loss, reversal, scaled_gradient, temperature_of
from baselines.dkd import nckd_loss, tckd_loss
from baselines.nkd import nkd_losses, soft_cross_entropy_rows, target_rows
from baselines.ofa_kd import ofa_loss
from baselines.sdd_dkd import dkd_rows
from baselines.sdd_kd import kd_rows
from baselines.tfkd import tfkd_rows, virtual_teacher
from baselines.ttm import matching_rows, power_sum
from benchmark import Progress
from tests.golden.adapters.registry import Arrays, adapter, gradients, parameters, tensor

EPOCHS = 240
"""Of the recipe that CTKD's ten epochs belong to."""


def logits_of(arrays: Arrays) -> tuple[Tensor, Tensor]:
    return tensor(arrays, "student_logits", gradient=True), tensor(arrays, "teacher_logits")


@adapter("nkd")
def nkd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = logits_of(arrays)
    label, gamma = tensor(arrays, "labels"), float(arrays["hp.gamma"])
    target, rest = nkd_losses(student, teacher, label, float(arrays["hp.T"]))
    loss = target + gamma * rest
    cold = nkd_losses(student, teacher, label, 1.0)
    values = {"loss": loss, "loss_target": target, "loss_nontarget_weighted": gamma * rest}
    values["loss_T1_gamma1.5"] = cold[0] + 1.5 * cold[1]
    return values | gradients(loss, {"student_logits": student}, {})


@adapter("ctkd")
def ctkd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = logits_of(arrays)
    label, theta = tensor(arrays, "labels"), tensor(arrays, "param.temp.global_T", gradient=True)
    start, span = float(arrays["hp.t_start"]), float(arrays["hp.t_end"])
    share, strength = float(arrays["hp.decay_loops"]) / EPOCHS, -float(arrays["hp.decay_min"])

    def factor(epoch: int) -> float:
        return reversal(Progress(epoch, EPOCHS, epoch, EPOCHS), share, strength)

    def loss_through(seen: Tensor) -> Tensor:
        return curriculum_kd_loss(student, teacher, temperature_of(seen.squeeze(), start, span))

    loss = loss_through(scaled_gradient(theta, factor(int(arrays["hp.epoch"]))))
    temperature = temperature_of(theta, start, span).detach()
    scaled = student / temperature, teacher / temperature, label, 1.0
    decoupled = temperature.square() * (tckd_loss(*scaled) + 2 * nckd_loss(*scaled))
    values = {
        "loss": loss,
        "out_temperature": temperature,
        "out_grad_temp_unreversed": torch.autograd.grad(loss_through(theta), theta)[0],
        "loss_dkd_alpha1_beta2": decoupled,
        "schedule_lambda": torch.tensor([factor(int(epoch)) for epoch in arrays["schedule_epoch"]]),
    }
    names = {"grad_theta": "grad_param.temp.global_T"}
    return values | gradients(loss, {"student_logits": student, "theta": theta}, {}, names)


def matching(arrays: Arrays, *, weighted: bool) -> dict[str, Tensor]:
    student, teacher = logits_of(arrays)
    exponent = float(arrays["hp.ttm_l"])
    unsure, rows = power_sum(teacher, exponent), matching_rows(student, teacher, exponent)
    loss = (unsure * rows).mean() if weighted else rows.mean()
    return {"loss": loss, "out_power_sum": unsure} | gradients(loss, {"student_logits": student}, {})


@adapter("ttm")
def ttm(arrays: Arrays) -> dict[str, Tensor]:
    return matching(arrays, weighted=False)


@adapter("wttm")
def wttm(arrays: Arrays) -> dict[str, Tensor]:
    return matching(arrays, weighted=True)


@adapter("tfkd")
def tfkd(arrays: Arrays) -> dict[str, Tensor]:
    """The file's regulariser is a mean over rows and classes, times a multiplier."""
    student, label = tensor(arrays, "student_logits", gradient=True), tensor(arrays, "labels")
    alpha, classes = float(arrays["hp.reg_alpha"]), student.shape[1]
    temperature, correct = float(arrays["hp.reg_temperature"]), float(arrays["hp.correct_prob"])
    rows = tfkd_rows(student, label, temperature, correct)
    regularizer = float(arrays["hp.multiplier"]) / classes * rows.mean()
    supervised = F.cross_entropy(student, label)
    loss = (1 - alpha) * supervised + alpha * regularizer
    virtual = virtual_teacher(label, classes, temperature, correct)
    values = {"loss": loss, "loss_ce": supervised, "loss_regularizer": regularizer}
    values["out_virtual_teacher"] = virtual
    return values | gradients(loss, {"student_logits": student}, {})


@adapter("ofa_kd")
def ofa_kd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = logits_of(arrays)
    label, temperature = tensor(arrays, "labels"), float(arrays["hp.T"])
    loss = ofa_loss(student, teacher, label, float(arrays["hp.eps"]), temperature)
    plain = ofa_loss(student, teacher, label, 1.0, temperature)
    return {"loss": loss, "loss_eps1": plain} | gradients(loss, {"student_logits": student}, {})


RowLosses = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(student [R, K], teacher [R, K], target [R]) -> [R]."""


def of_regions(arrays: Arrays, row_losses: RowLosses) -> dict[str, Tensor]:
    maps = {f"{side}_map_0": tensor(arrays, f"{side}_map_0") for side in ("student", "teacher")}
    heads = {side: classifier(arrays, side) for side in ("student", "teacher")}
    student = maps["student_map_0"].requires_grad_()
    levels = len(arrays["hp.M"])
    ours = region_logits(student, heads["student"], levels)
    theirs = region_logits(maps["teacher_map_0"], heads["teacher"], levels).detach()
    label = tensor(arrays, "labels")
    weight = region_weights(theirs, label)
    targets = label.repeat_interleave(weight.shape[1])
    rows = row_losses(ours.flatten(0, 1), theirs.flatten(0, 1), targets).view_as(weight)
    loss = (weight * rows).mean()
    sure = theirs.argmax(2) == label[:, None]
    kinds = [
        (weight == 1) & sure,
        (weight == 1) & ~sure,
        (weight == 2) & ~sure,
        (weight == 2) & sure,
    ]  # right of both, wrong of both, right of the whole map alone, right of the region alone
    values = {
        "loss": loss,
        "out_student_region_logits": ours.movedim(1, 2),
        "out_teacher_region_logits": theirs.movedim(1, 2),
        "out_counts_GtLt_GwLw_GtLw_GwLt": torch.stack([kind.sum() for kind in kinds]),
    }
    modules = {"student_classifier": heads["student"]}
    return values | gradients(loss, {"student_map_0": student}, modules)


def classifier(arrays: Arrays, side: str) -> nn.Linear:
    state = parameters(arrays, f"{side}_classifier")
    classes, width = state["weight"].shape
    head = nn.Linear(width, classes)
    head.load_state_dict(state)
    return head


@adapter("sdd_kd")
def sdd_kd(arrays: Arrays) -> dict[str, Tensor]:
    temperature = float(arrays["hp.T"])
    return of_regions(arrays, lambda ours, theirs, _: kd_rows(ours, theirs, temperature))


@adapter("sdd_dkd")
def sdd_dkd(arrays: Arrays) -> dict[str, Tensor]:
    alpha, beta = float(arrays["hp.alpha"]), float(arrays["hp.beta"])

    def rows(ours: Tensor, theirs: Tensor, target: Tensor) -> Tensor:
        tckd, nckd = dkd_rows(ours, theirs, target, float(arrays["hp.T"]))
        return alpha * tckd + beta * nckd

    return of_regions(arrays, rows)


@adapter("sdd_nkd")
def sdd_nkd(arrays: Arrays) -> dict[str, Tensor]:
    gamma, temperature = float(arrays["hp.gamma"]), float(arrays["hp.T"])

    def rows(ours: Tensor, theirs: Tensor, target: Tensor) -> Tensor:
        return target_rows(ours, theirs, target) + gamma * soft_cross_entropy_rows(ours, theirs, temperature)

    return of_regions(arrays, rows)
