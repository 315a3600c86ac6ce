"""Proper scores and calibration against slow maths."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmark.contracts import IGNORE
from benchmark.evaluation import predictor
from benchmark.evaluation.calibration import calibration
from benchmark.evaluation.fidelity import fidelity


def slow(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The three numbers by the book, a sample at a time."""
    nll, brier, confidence, right = [], [], [], []
    for row, label in zip(logits, labels, strict=True):
        weights = [math.exp(x - max(row)) for x in row]
        p = [w / sum(weights) for w in weights]
        nll.append(-math.log(p[label]))
        brier.append(sum((p[k] - (k == label)) ** 2 for k in range(len(p))))
        confidence.append(max(p))
        right.append(p.index(max(p)) == label)
    ece = 0.0
    for b in range(15):
        members = [i for i, c in enumerate(confidence) if b / 15 < c <= (b + 1) / 15]
        if members:
            gap = np.mean([right[i] for i in members]) - np.mean([confidence[i] for i in members])
            ece += len(members) / len(labels) * abs(gap)
    return {"nll": float(np.mean(nll)), "brier": float(np.mean(brier)), "ece": float(ece)}


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_against_slow_maths_and_scikit_learn(scale: float) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(300, 7, generator=draw)
    labels = torch.randint(0, 7, (300,), generator=draw)
    found = calibration(logits, labels)
    expected = slow(logits.double().numpy(), labels.numpy())
    assert found == pytest.approx(expected, abs=1e-6)
    if scale <= 1:  # scikit-learn clips probabilities that are smaller than a rounding error
        p = logits.double().softmax(1).numpy()
        assert found["nll"] == pytest.approx(log_loss(labels.numpy(), p, labels=range(7)), abs=1e-6)


def test_pixels_are_rows_and_those_without_a_label_count_for_nobody() -> None:
    draw = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(4, 3, 5, 6, generator=draw), torch.randint(0, 3, (4, 5, 6), generator=draw)
    labels[0, 0] = IGNORE
    known = labels != IGNORE
    rows = logits.permute(0, 2, 3, 1)[known]
    assert calibration(logits, labels) == pytest.approx(calibration(rows, labels[known]))
    assert calibration(logits, torch.full_like(labels, IGNORE)) == {}


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that any operation within gives."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves(found) if isinstance(each, torch.Tensor)]
        self.bytes = max([self.bytes, *(each.nbytes for each in tensors)])
        return found


@pytest.mark.parametrize("scores", [calibration, fidelity])
@pytest.mark.parametrize("shape", [(3000, 20), (30, 20, 10, 10)], ids=["samples", "pixels"])
def test_part_by_part_gives_the_same_bits_in_a_fraction_of_the_memory(
    scores: Callable[[Tensor, Tensor], dict[str, float]],
    shape: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = torch.Generator().manual_seed(2)
    logits, other = torch.randn(shape, generator=draw), torch.randn(shape, generator=draw)
    if scores is calibration:
        other = other.argmax(1)
        other[3:5] = IGNORE
    whole = scores(logits, other)
    monkeypatch.setattr(predictor, "ROWS", 150)
    with Largest() as largest:
        assert scores(logits, other) == whole
    assert largest.bytes < logits.nbytes / 5


def test_certainty_that_is_right_is_perfect_and_certainty_that_is_wrong_is_not() -> None:
    labels = torch.tensor([0, 1, 2])
    right = 100.0 * torch.eye(3)
    assert calibration(right, labels) == pytest.approx({"nll": 0, "brier": 0, "ece": 0}, abs=1e-6)
    wrong = calibration(right, labels.roll(1))
    assert wrong["nll"] == pytest.approx(100)
    assert wrong["brier"] == pytest.approx(2)
    assert wrong["ece"] == pytest.approx(1)


def test_a_bfloat16_network_far_off_stays_finite() -> None:
    found = calibration(torch.tensor([[1e4, -1e4]]).bfloat16(), torch.tensor([1]))
    assert all(math.isfinite(value) for value in found.values())
