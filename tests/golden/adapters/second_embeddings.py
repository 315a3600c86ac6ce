"""Golden adapters of later methods on embeddings: ITRD, RRD, DCD, CRCD."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines._projection import LinearEmbed
from baselines.crcd import CRCD, relation_scores
from baselines.dcd import DCD, dcd_losses
from baselines.itrd import ITRD
from baselines.rrd import RRD
from benchmark import Activations, Context, Progress
from tests.golden.adapters.registry import Arrays, adapter, context, gradients, parameters, tensor

START = Progress(0, 1, 0, 1)


def embeddings(arrays: Arrays, suffix: str = "") -> tuple[Tensor, Tensor]:
    """(student, teacher); the student's records gradients."""
    student = tensor(arrays, f"student_embedding{suffix}", gradient=True)
    return student, tensor(arrays, f"teacher_embedding{suffix}")


def context_of(student: Tensor, teacher: Tensor, num_samples: int = 1) -> Context:
    shapes = [{"embedding": tuple(each.shape[1:])} for each in (student, teacher)]
    return context(*shapes, num_samples)


def shown(embedding: Tensor) -> Activations:
    return Activations(torch.zeros(len(embedding), 1), embedding)


def load(embed: nn.Module, arrays: Arrays, name: str) -> None:
    """Fills the linear map of a LinearEmbed from a module that is the linear map itself."""
    assert isinstance(embed, LinearEmbed)
    embed.linear.load_state_dict(parameters(arrays, name))


@adapter("itrd")
def itrd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = embeddings(arrays)
    distiller = ITRD(
        context_of(student, teacher),
        correlation_weight=float(arrays["hp.lambda_corr"]),
        mutual_weight=float(arrays["hp.lambda_mutual"]),
        alpha=float(arrays["hp.alpha_it"]),
    )
    distiller.embed.load_state_dict(parameters(arrays, "embed"))
    terms = distiller(shown(teacher), shown(student), {}, START)
    loss = terms["correlation"] + terms["mutual"]
    values = {
        "loss": loss,
        "loss_correlation": terms["correlation"] / distiller.correlation_weight,
        "loss_mutual": terms["mutual"] / distiller.mutual_weight,
    }
    return values | gradients(loss, {"student_embedding": student}, {"embed": distiller.embed})


@adapter("rrd")
def rrd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = embeddings(arrays)
    size = int(arrays["hp.nce_k"])
    distiller = RRD(
        context_of(student, teacher, size),
        student_temperature=float(arrays["hp.nce_t_s"]),
        teacher_temperature=float(arrays["hp.nce_t_t"]),
        dimension=int(arrays["hp.feat_dim"]),
        queue=size,
    )
    load(distiller.embed_student, arrays, "embed_s")
    load(distiller.embed_teacher, arrays, "embed_t")
    distiller.queue.rows.copy_(tensor(arrays, "queue"))
    loss = distiller.contrast(student, teacher)
    values = {"loss": loss, "out_queue_step1": distiller.queue.rows.clone()}
    values |= gradients(loss, {"student_embedding": student}, {"embed_s": distiller.embed_student.linear})
    values["loss_step2"] = distiller.contrast(*embeddings(arrays, "_step2"))
    return values | {"out_queue_pointer": distiller.queue.position.view(1)}


@adapter("dcd")
def dcd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = embeddings(arrays)
    distiller = DCD(
        context_of(student, teacher),
        consistency_weight=float(arrays["hp.alpha"]),
        largest_scale=float(arrays["hp.max_tau"]),
        dimension=int(arrays["hp.feat_dim"]),
    )
    load(distiller.embed_student, arrays, "dcd.embed_s")
    load(distiller.embed_teacher, arrays, "dcd.embed_t")
    with torch.no_grad():
        distiller.log_scale.copy_(tensor(arrays, "param.dcd.params.tau"))
    embedded = distiller.embed_student(student), distiller.embed_teacher(teacher)
    contrast, consistency = dcd_losses(*embedded, distiller.scale)
    loss = contrast + distiller.consistency_weight * consistency
    values = {"loss": loss, "loss_contrastive": contrast}
    inputs = {"student_embedding": student, "tau": distiller.log_scale}
    linear = {"dcd.embed_s": distiller.embed_student.linear, "dcd.embed_t": distiller.embed_teacher.linear}
    return values | gradients(loss, inputs, linear, {"grad_tau": "grad_param.dcd.params.tau"})


@adapter("crcd")
def crcd(arrays: Arrays) -> dict[str, Tensor]:
    student, teacher = embeddings(arrays)
    distiller = CRCD(
        context_of(student, teacher, int(arrays["hp.n_data"])),
        temperature=float(arrays["hp.T"]),
        dimension=int(arrays["hp.feat_dim"]),
        momentum=float(arrays["hp.momentum"]),
        negatives=int(arrays["hp.K"]),
    )
    modules = {"embed_s": distiller.embed_student, "embed_t": distiller.embed_teacher}
    for name, module in modules.items():
        module.load_state_dict(parameters(arrays, name))
    memory, rows = distiller.memory, tensor(arrays, "idx")
    banks = {"s": tensor(arrays, "memory_v1"), "t": tensor(arrays, "memory_v2")}
    memory.student.copy_(banks["s"])
    memory.teacher.copy_(banks["t"])
    losses = distiller.contrast(distiller.embed(student, teacher), rows)
    loss = losses["student"] + losses["teacher"]
    normalizers = {"s": memory.student_normalizer.clone(), "t": memory.teacher_normalizer.clone()}
    values = {"loss": loss, "loss_s": losses["student"], "loss_t": losses["teacher"]}
    values |= {"Z_v1": normalizers["s"], "Z_v2": normalizers["t"]}
    values |= {"updated_rows_v1": memory.student[rows[:, 0]], "updated_rows_v2": memory.teacher[rows[:, 0]]}
    values |= gradients(loss, {"student_embedding": student}, modules)
    for side, other, embedding in (("s", "t", student), ("t", "s", teacher)):
        embedded = modules[f"embed_{side}"](embedding)
        scores = relation_scores(embedded, banks[other], rows)
        values[f"out_embed_{side}"] = embedded
        values[f"out_{side}"] = (scores / distiller.temperature).exp() / normalizers[side]
    second = distiller.contrast(distiller.embed(*embeddings(arrays, "_step2")), tensor(arrays, "idx_step2"))
    return values | {"loss_step2": second["student"] + second["teacher"]}
