"""Contrastive representation distillation with a memory bank (Tian et al., ICLR 2020)."""

from __future__ import annotations

from functools import partial

from baselines._contrast import BankContrast
from baselines._projection import LinearEmbed
from benchmark import Context, baseline


@baseline("crd", title="CRD", paper="Tian et al., ICLR 2020", arxiv="1910.10699")
class CRD(BankContrast):
    """loss = cross-entropy + 0.8 * (NCE of student anchors in the teacher's bank + the reverse).

    Embeddings of both networks are projected linearly to 128 and normalised; temperature 0.07, bank momentum
    0.5, 16,384 negatives from other classes (fewer where there aren't as many): all defaults are those of the
    CRD benchmark.
    """

    term = "crd"
    unit_rows = True
    epsilon = 1e-7

    def __init__(self, context: Context, **options: float):
        super().__init__(context, partial(LinearEmbed, normalize=True), **options)
