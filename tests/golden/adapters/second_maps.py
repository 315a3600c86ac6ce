"""Golden adapters of more methods on maps and embeddings: CAT-KD, ICKD-C, PAD-L2, SemCKD, SimKD, SRD."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from baselines._maps import pool_match
from baselines.cat_kd import cat_kd_loss, class_maps
from baselines.ickd import ICKD, ickd_loss
from baselines.kd import kd_loss
from baselines.pad_l2 import PADL2, pad_l2_loss
from baselines.semckd import SemCKD, semckd_loss
from baselines.simkd import SimKD, simkd_loss
from baselines.srd import SRD, mean_feature, srd_loss
from benchmark import Activations, Context
from tests.golden.adapters.registry import (
    Arrays,
    adapter,
    context,
    gradients,
    load_in_order,
    maps,
    of_maps,
    parameters,
    tensor,
)


@adapter("cat_kd")
def cat_kd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    loss = cat_kd_loss(student, teacher, int(arrays["hp.resolution"]), bool(arrays["hp.normalize"]))
    # The file's maps are those of classes already: a classifier that has a channel per class is the identity.
    logits = class_maps(student, nn.Identity()).flatten(2).mean(2)
    return {"out_student_logits": logits} | of_maps(loss, [student])


@adapter("ickd")
def ickd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    distiller = ICKD(_context([student], [teacher]))
    names = load_in_order(distiller.project, arrays, "embed_s")
    projected = distiller.project(student)
    loss = ickd_loss(projected, teacher)
    return {"out_embedded_student": projected} | of_maps(
        loss, [student], {"embed_s": distiller.project}, names
    )


@adapter("pad_l2")
def pad_l2(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_embedding", gradient=True), tensor(arrays, "teacher_embedding")
    width = (student.shape[1],)
    estimator = PADL2(context({"embedding": width}, {"embedding": width})).log_variance
    names = load_in_order(estimator, arrays, "var_estimator")
    variance = estimator(student)
    loss = pad_l2_loss(student, teacher, variance, float(arrays["hp.eps"]))
    found = gradients(loss, {"student_embedding": student}, {"var_estimator": estimator}, names)
    return {"loss": loss, "out_log_variance": variance} | found


@adapter("semckd")
def semckd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    distiller = SemCKD(_context(student, teacher), factor=int(arrays["hp.factor"]))
    modules: dict[str, nn.Module] = {}
    for side, each in (("query", distiller.queries), ("key", distiller.keys)):
        modules |= {f"attention.{side}_weight{number}": module for number, module in enumerate(each)}
    for number, module in enumerate(distiller.regressors):
        row, column = divmod(number, len(teacher))
        modules[f"attention.regressor{row}{column}"] = module
    names = {}
    for name, module in modules.items():
        names |= load_in_order(module, arrays, name)
    pairs, weights = distiller.pairs(student, teacher), distiller.attention(student, teacher)
    values = {
        "out_attention": weights,
        "out_student_value_0_0": pairs[0][0],
        "out_teacher_value_0_2": pairs[2][1],
    }
    return values | of_maps(semckd_loss(pairs, weights), student, modules, names)


@adapter("simkd")
def simkd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    width, classes = teacher.shape[1], len(arrays["param.teacher_classifier.bias"])
    head = nn.Linear(width, classes)
    head.load_state_dict(parameters(arrays, "teacher_classifier"))
    shapes = [
        {"maps": (tuple(each.shape[1:]),), "logits": (classes,), "embedding": (width,)}
        for each in (student, teacher)
    ]
    described = replace(context(*shapes), teacher_head=head, teacher_pooled=True)
    distiller = SimKD(described, reduction=int(arrays["hp.factor"]))
    names = load_in_order(distiller.project, arrays, "simkd.transfer")
    ours, theirs = pool_match(student, teacher)
    projected = distiller.project(ours)
    empty = torch.zeros(0)
    values = {
        "out_projected_student": projected,
        "out_pooled_teacher": theirs,
        "out_student_logits": distiller.predict(Activations(empty, empty, (student,))),
    }
    loss = simkd_loss(projected, theirs)
    return values | of_maps(loss, [student], {"simkd.transfer": distiller.project}, names)


@adapter("srd")
def srd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    logits, answers = tensor(arrays, "student_logits", gradient=True), tensor(arrays, "teacher_logits")
    distiller = SRD(_context([student], [teacher]))
    names = load_in_order(distiller.project, arrays, "embed")
    pooled = [mean_feature(Activations(logits, logits, (each,))) for each in (student, teacher)]
    projected = distiller.project(pooled[0])
    representation = srd_loss(projected, pooled[1], float(arrays["hp.exponent"]))
    logit = kd_loss(logits, answers, float(arrays["hp.T"]))
    loss = distiller.weight * representation + distiller.logit_weight * logit
    values = {"loss": loss, "loss_representation_unweighted": representation, "loss_logit": logit}
    inputs = {"student_map_0": student, "student_logits": logits}
    return values | gradients(loss, inputs, {"embed": distiller.project}, names)


def _context(student: list[Tensor], teacher: list[Tensor]) -> Context:
    """A context with the files' maps as stages; the stem, which they don't have, is nobody's input."""
    ours, theirs = ([tuple(each.shape[1:]) for each in side] for side in (student, teacher))
    found = context({"maps": (ours[0], *ours)}, {"maps": (theirs[0], *theirs)})
    return replace(found, batch_size=len(student[0]))
