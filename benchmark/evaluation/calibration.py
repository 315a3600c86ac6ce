"""How far predicted probabilities can be trusted, beside whether the likeliest class is right."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassCalibrationError

from benchmark.contracts import IGNORE
from benchmark.evaluation.predictor import in_parts

CALIBRATION = ("nll", "brier", "ece")
BINS = 15


def calibration(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Proper scores and calibration of logits [N, K, ...] against labels [N, ...]; IGNORE is left out.

    nll     mean negative log-likelihood, in nats
    brier   mean over samples of the squared distance of the probabilities to the label, from 0 to 2 (Brier,
            Monthly Weather Review 1950)
    ece     expected calibration error of the likeliest class, 15 bins of equal width (Guo et al., ICML 2017)
    Empty where nothing is labelled.
    """
    likelihoods, distances = [], []
    error = MulticlassCalibrationError(logits.shape[1], n_bins=BINS, norm="l1", sync_on_compute=False)
    for part, wanted in in_parts(logits, labels):
        known = wanted.flatten() != IGNORE
        if not known.any():
            continue
        log_p = part.movedim(1, -1).flatten(0, -2)[known].double().log_softmax(1)
        p, wanted = log_p.exp(), wanted.flatten()[known]
        likelihoods.append(log_p.gather(1, wanted[:, None]))
        # sum_k (p_k - y_k)^2 without the one-hot labels, which pixels would make large.
        distances.append(p.square().sum(1) - 2 * p.gather(1, wanted[:, None]).squeeze(1) + 1)
        error.update(p, wanted)
    if not likelihoods:
        return {}
    log_p = torch.cat(likelihoods)  # [M, 1]: the only class is the right one
    return {
        "nll": float(F.nll_loss(log_p, torch.zeros(len(log_p), dtype=torch.int64, device=log_p.device))),
        "brier": float(torch.cat(distances).mean()),
        "ece": float(error.compute()),
    }
