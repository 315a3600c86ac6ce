"""How closely a student follows its teacher on samples that neither was trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.evaluation.predictor import in_parts

FIDELITY = ("agreement", "kl_to_teacher")


def fidelity(student_logits: Tensor, teacher_logits: Tensor) -> dict[str, float]:
    """Agreement and divergence of logits [N, K, ...], after Stanton et al., NeurIPS 2021.

    agreement       share of samples (pixels) with the same most likely class
    kl_to_teacher   mean KL(p_teacher || p_student) in nats, at temperature 1
    Empty where the two don't have the same classes.
    """
    if student_logits.shape != teacher_logits.shape:
        return {}
    agree, divergences = [], []
    for student, teacher in in_parts(student_logits, teacher_logits):
        agree.append(student.argmax(1) == teacher.argmax(1))
        log_p_student, log_p_teacher = student.log_softmax(1), teacher.log_softmax(1)
        divergences.append((log_p_teacher.exp() * (log_p_teacher - log_p_student)).sum(1))
    return {
        "agreement": float(torch.cat(agree).double().mean()),
        "kl_to_teacher": float(torch.cat(divergences).double().mean()),
    }


def class_correlation(logits: Tensor) -> Tensor:
    """Pearson correlations [K, K] between the classes' logits [N, K]; 0 for a class whose logit is constant.

    What the CRD paper (its figure of correlation matrices) compares between teacher and student.
    """
    return torch.nan_to_num(torch.corrcoef(logits.double().T)).float()
