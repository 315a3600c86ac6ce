"""Golden adapters of KD, FitNet and CRD."""

from __future__ import annotations

from torch import Tensor

from baselines.crd import CRD
from baselines.fitnet import FitNet, fitnet_loss
from baselines.kd import kd_loss
from tests.golden.adapters.registry import Arrays, adapter, context, gradients, parameters, tensor


@adapter("kd")
def kd(arrays: Arrays) -> dict[str, Tensor]:
    student = tensor(arrays, "student_logits", gradient=True)
    loss = kd_loss(student, tensor(arrays, "teacher_logits"), float(arrays["hp.T"]))
    return {"loss": loss} | gradients(loss, {"student_logits": student}, {})


@adapter("fitnet")
def fitnet(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_map_0", gradient=True), tensor(arrays, "teacher_map_0")
    state = parameters(arrays, "regressor")
    if not state:
        loss = fitnet_loss(student, teacher)
        return {"loss": loss} | gradients(loss, {"student_map_0": student}, {})
    shapes = context({"maps": (tuple(student.shape[1:]),)}, {"maps": (tuple(teacher.shape[1:]),)})
    regressor = FitNet(shapes, hint_layer=0).regressor
    regressor.load_state_dict(regressor.state_dict() | state)
    regressed = regressor(student)
    loss = fitnet_loss(regressed, teacher)
    values = {"loss": loss, "out_regressed": regressed}
    return values | gradients(loss, {"student_map_0": student}, {"regressor": regressor})


@adapter("crd")
def crd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = tensor(arrays, "student_embedding", gradient=True), tensor(arrays, "teacher_embedding")
    distiller = CRD(
        context(
            {"embedding": tuple(student.shape[1:])},
            {"embedding": tuple(teacher.shape[1:])},
            int(arrays["hp.n_data"]),
        ),
        temperature=float(arrays["hp.T"]),
        dimension=int(arrays["hp.feat_dim"]),
        momentum=float(arrays["hp.momentum"]),
        negatives=int(arrays["hp.K"]),
    )
    distiller.embed_student.load_state_dict(parameters(arrays, "embed_s"))
    distiller.embed_teacher.load_state_dict(parameters(arrays, "embed_t"))
    memory = distiller.memory
    memory.student.copy_(tensor(arrays, "memory_v1"))
    memory.teacher.copy_(tensor(arrays, "memory_v2"))
    embedded = {"s": distiller.embed_student(student), "t": distiller.embed_teacher(teacher)}
    rows = tensor(arrays, "idx")
    scores = {
        "s": memory.scores(embedded["s"], "teacher", rows),
        "t": memory.scores(embedded["t"], "student", rows),
    }

    losses = distiller.contrast(distiller.embed(student, teacher), rows)
    loss = losses["student"] + losses["teacher"]
    normalizer = {"s": memory.student_normalizer.clone(), "t": memory.teacher_normalizer.clone()}
    values = {"loss": loss, "loss_s": losses["student"], "loss_t": losses["teacher"]}
    for side in ("s", "t"):
        values[f"out_embed_{side}"] = embedded[side]
        values[f"out_{side}"] = (scores[side] / distiller.temperature).exp() / normalizer[side]
    values |= {"Z_v1": normalizer["s"], "Z_v2": normalizer["t"]}
    values |= {
        "updated_rows_v1": memory.bank("student")[rows[:, 0]],
        "updated_rows_v2": memory.bank("teacher")[rows[:, 0]],
    }
    modules = {"embed_s": distiller.embed_student, "embed_t": distiller.embed_teacher}
    values |= gradients(loss, {"student_embedding": student}, modules)
    if "idx_step2" in arrays:
        further = (tensor(arrays, f"{side}_embedding_step2") for side in ("student", "teacher"))
        second = distiller.contrast(distiller.embed(*further), tensor(arrays, "idx_step2"))
        values["loss_step2"] = second["student"] + second["teacher"]
    return values
