"""Golden adapters of methods on single maps: AT, NST, FT, AB, FSP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines._maps import pool_match
from baselines._projection import ConvReg
from baselines.ab import SCALE, ab_loss, boundary_loss, connector
from baselines.at import at_loss
from baselines.fsp import fsp_loss
from baselines.ft import Paraphraser, encoder, ft_loss
from baselines.nst import mmd, nst_loss
from tests.golden.adapters.registry import Arrays, adapter, load_in_order, maps, of_maps, parameters, tensor


@adapter("at")
def at(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    layers = [at_loss([s], [t]) for s, t in zip(student, teacher, strict=True)]
    return {"loss_per_layer": torch.stack(layers)} | of_maps(at_loss(student, teacher), student)


@adapter("nst")
def nst(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    layers = [mmd(*pool_match(*pair)) for pair in zip(student, teacher, strict=True)]
    return {"loss_per_layer": torch.stack(layers)} | of_maps(nst_loss(student, teacher), student)


@adapter("fsp")
def fsp(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    layers = [fsp_loss(student[i : i + 2], teacher[i : i + 2]) for i in range(len(student) - 1)]
    return {"loss_per_layer": torch.stack(layers)} | of_maps(fsp_loss(student, teacher), student)


@adapter("ab")
def ab(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = maps(arrays, "student", gradient=True), maps(arrays, "teacher")
    connectors = nn.ModuleList(
        connector(tuple(s.shape[1:]), tuple(t.shape[1:])) for s, t in zip(student, teacher, strict=True)
    )
    for number, each in enumerate(connectors):
        if isinstance(each, ConvReg):
            each.load_state_dict(each.state_dict() | parameters(arrays, f"connector.connectors.{number}"))
    connected = [connect(each) for connect, each in zip(connectors, student, strict=True)]
    margin = float(arrays["hp.margin"])
    pairs = list(zip(connected, teacher, strict=True))
    layers = [
        SCALE * 2.0 ** (i - len(pairs) + 1) * boundary_loss(*pair, margin) for i, pair in enumerate(pairs)
    ]
    modules = {f"connector.connectors.{i}": each for i, each in enumerate(connectors)}
    loss = ab_loss(connected, teacher, margin)
    return {"loss_per_layer": torch.stack(layers)} | of_maps(loss, student, modules)


@adapter("ft")
def ft(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    if not parameters(arrays, "translator"):
        return of_maps(ft_loss(student, teacher), [student])
    width, own = tensor(arrays, "param.paraphraser.encoder.6.weight").shape[0], student.shape[1]
    paraphraser = Paraphraser(2, teacher.shape[1], width)
    load_in_order(paraphraser, arrays, "paraphraser")
    translator = encoder(2, (own, own, width, width), norm=True)
    names = load_in_order(translator, arrays, "translator")
    ours, theirs = translator(student), paraphraser.encoder(teacher).detach()
    values = {
        "out_factor_student": ours,
        "out_factor_teacher": theirs,
        "loss_init_reconstruction": paraphraser.reconstruction_loss(teacher),
    }
    return values | of_maps(ft_loss(ours, theirs), [student], {"translator": translator}, names)
