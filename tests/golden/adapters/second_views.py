"""Golden adapters of methods on two views of a sample: MLKD, SSKD."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.kd import kd_loss
from baselines.mlkd import strong_view_loss, weak_view_losses
from baselines.sskd import TURNS, head, kept_loss, kept_rows, own_image, similarity
from benchmark.contracts import supervised_cross_entropy
from tests.golden.adapters.registry import Arrays, adapter, gradients, parameters, tensor


@adapter("mlkd")
def mlkd(arrays: Arrays) -> dict[str, Tensor]:
    weak, strong = (tensor(arrays, f"student_logits{view}", gradient=True) for view in ("", "_strong"))
    weak_teacher, strong_teacher = (tensor(arrays, f"teacher_logits{view}") for view in ("", "_strong"))
    label = tensor(arrays, "labels")
    labelled = torch.ones(len(label), dtype=torch.bool)
    losses = weak_view_losses(weak, weak_teacher)
    tasks = [supervised_cross_entropy(view, label, labelled) for view in (weak, strong)]
    weight = float(arrays["hp.kd_weight"])
    parts = {
        "loss_ce": float(arrays["hp.ce_weight"]) * torch.stack(tasks).sum(),
        "loss_kd": weight
        * (losses["instance"] + strong_view_loss(weak, weak_teacher, strong, strong_teacher)),
        "loss_cc": weight * losses["class"],
        "loss_bc": weight * losses["batch"],
    }
    loss = torch.stack(list(parts.values())).sum()
    inputs = {"student_logits": weak, "student_logits_strong": strong}
    return {"loss": loss} | parts | gradients(loss, inputs, {})


@adapter("sskd")
def sskd(arrays: Arrays) -> dict[str, Tensor]:
    def setting(name: str) -> float:
        return float(arrays[f"hp.{name}"])

    student = {name: tensor(arrays, f"student_{name}", gradient=True) for name in ("logits", "embedding")}
    teacher = {name: tensor(arrays, f"teacher_{name}") for name in ("logits", "embedding")}
    label = tensor(arrays, "labels")
    upright = torch.arange(0, len(label) * (TURNS + 1), TURNS + 1)
    turned = torch.tensor([row for row in range(len(label) * (TURNS + 1)) if row % (TURNS + 1)])
    heads = {}
    for name, side in (("ssp_head", student), ("teacher_ssp_head", teacher)):
        heads[name] = head(side["embedding"].shape[1])
        heads[name].load_state_dict(parameters(arrays, name))
    learnt, taught = (
        similarity(module(side["embedding"])[turned], module(side["embedding"])[upright])
        for module, side in ((heads["ssp_head"], student), (heads["teacher_ssp_head"], teacher))
    )
    taught = taught.detach()
    ours, theirs = student["logits"], teacher["logits"]
    kept = {
        "tf": kept_rows(theirs[turned], label.repeat_interleave(TURNS), setting("ratio_tf")),
        "ss": kept_rows(taught, own_image(taught), setting("ratio_ss")),
    }
    for name, rows in kept.items():
        if rows.nonzero().flatten().tolist() != arrays[f"distill_index_{name}"].tolist():
            raise ValueError(f"other rows are kept than distill_index_{name}")
    labelled = torch.ones(len(label), dtype=torch.bool)
    parts = {
        "loss_ce": supervised_cross_entropy(ours[upright], label, labelled),
        "loss_kd": kd_loss(ours[upright], theirs[upright], setting("kd_T")),
        "loss_tf": kept_loss(ours[turned], theirs[turned], kept["tf"], setting("tf_T")),
        "loss_ss": kept_loss(learnt, taught, kept["ss"], setting("ss_T")),
    }
    loss = torch.stack(
        [setting(f"{name.removeprefix('loss_')}_weight") * value for name, value in parts.items()]
    ).sum()
    shown = {"out_student_similarity": learnt, "out_teacher_similarity": taught}
    inputs = {f"student_{name}": value for name, value in student.items()}
    return {"loss": loss} | parts | shown | gradients(loss, inputs, {"ssp_head": heads["ssp_head"]})
