"""How far predicted probabilities can be trusted, beside whether the likeliest class is right."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from benchmark.contracts import IGNORE

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
    rows = logits.movedim(1, -1).flatten(0, -2).double()
    known = labels.flatten() != IGNORE
    rows, labels = rows[known], labels.flatten()[known]
    if not len(labels):
        return {}
    log_p = rows.log_softmax(1)
    p = log_p.exp()
    own = p.gather(1, labels[:, None]).squeeze(1)
    # sum_k (p_k - y_k)^2 without the one-hot labels, which pixels would make large.
    brier = (p.square().sum(1) - 2 * own + 1).mean()
    return {
        "nll": float(F.nll_loss(log_p, labels)),
        "brier": float(brier),
        "ece": float(multiclass_calibration_error(p, labels, rows.shape[1], n_bins=BINS, norm="l1")),
    }
