"""Golden adapters of methods on relations and directions: SP, CC, RKD, PKT, VID, KDSVD."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines._projection import LinearEmbed
from baselines._singular_vectors import first_direction
from baselines.cc import cc_loss
from baselines.kdsvd import as_matrix, kdsvd_loss
from baselines.pkt import pkt_loss
from baselines.rkd import angle_loss, distance_loss
from baselines.sp import sp_loss
from baselines.vid import Stage
from tests.golden.adapters.registry import (
    Arrays,
    adapter,
    gradients,
    maps,
    of_maps,
    parameters,
    tensor,
)


@adapter("sp")
def sp(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    layers = torch.stack([sp_loss(*pair) for pair in zip(student, teacher, strict=True)])
    shape = arrays["loss"].shape
    return {"loss_per_layer": layers} | of_maps(layers.sum(), student) | {"loss": layers.sum().view(shape)}


@adapter("cc")
def cc(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_embedding", gradient=True), tensor(arrays, "teacher_embedding")
    inputs = {"student_embedding": student}
    if not parameters(arrays, "embed_s"):
        loss = cc_loss(student, teacher)
        return {"loss": loss} | gradients(loss, inputs, {})
    embeds = {}
    for name, embedding in (("embed_s", student), ("embed_t", teacher)):
        embeds[name] = LinearEmbed(embedding.shape[1], int(arrays["hp.feat_dim"]))
        embeds[name].load_state_dict(parameters(arrays, name))
    loss = cc_loss(embeds["embed_s"](student), embeds["embed_t"](teacher))
    return {"loss": loss} | gradients(loss, inputs, embeds)


@adapter("rkd")
def rkd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_embedding", gradient=True), tensor(arrays, "teacher_embedding")
    distance, angle = distance_loss(student, teacher), angle_loss(student, teacher)
    loss = float(arrays["hp.w_d"]) * distance + float(arrays["hp.w_a"]) * angle
    values = {"loss": loss, "loss_distance": distance, "loss_angle": angle}
    return values | gradients(loss, {"student_embedding": student}, {})


@adapter("pkt")
def pkt(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_embedding", gradient=True), tensor(arrays, "teacher_embedding")
    loss = pkt_loss(student, teacher)
    return {"loss": loss} | gradients(loss, {"student_embedding": student}, {})


@adapter("vid")
def vid(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    layers, stages = [], {}
    for number, (ours, theirs) in enumerate(zip(student, teacher, strict=True)):
        stage = Stage(
            tuple(ours.shape[1:]),
            tuple(theirs.shape[1:]),
            float(arrays["hp.init_pred_var"]),
            float(arrays["hp.eps"]),
        )
        stage.load_state_dict(parameters(arrays, f"vid{number}"))
        stages[f"vid{number}"] = stage
        layers.append(stage(ours, theirs))
    stacked = torch.stack(layers)
    return {"loss_per_layer": stacked} | of_maps(stacked.sum(), student, stages)


@adapter("kdsvd", tolerance=1e-3)
def kdsvd(arrays: Arrays) -> dict[str, Tensor]:
    return _kdsvd(arrays, "channels")


@adapter("kdsvd_mdistiller", tolerance=1e-3)
def kdsvd_mdistiller(arrays: Arrays) -> dict[str, Tensor]:
    return _kdsvd(arrays, "width")


def _kdsvd(arrays: Arrays, axis: str) -> dict[str, Tensor]:
    """The teacher's directions take the signs of the file, which no decomposition fixes."""
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    directions = []
    for number, feature in enumerate(teacher):
        own, stored = first_direction(as_matrix(feature, axis)), tensor(arrays, f"out_teacher_v_{number}")
        directions.append(own * (own * stored).sum(1, keepdim=True).sign())
    values = {f"out_teacher_v_{number}": each for number, each in enumerate(directions)}
    combinations = [
        kdsvd_loss(student, [sign * each for sign, each in zip(signs, directions, strict=True)], axis)
        for signs in tensor(arrays, "sign_combos")
    ]
    values["loss_sign_combos"] = torch.stack(combinations)
    return values | of_maps(kdsvd_loss(student, directions, axis), student)
