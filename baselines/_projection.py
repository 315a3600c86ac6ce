"""Trainable maps between the representations of a student and of a teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import NotApplicable
from benchmark.graphs import in_one_launch

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTIONS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class LinearEmbed(nn.Module):
    """A linear map of embeddings, [B, D] -> [B, out_features]; inputs with more axes are flattened.

    With `normalize` the result has unit length, in float32.
    """

    def __init__(self, in_features: int, out_features: int, *, normalize: bool = False):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.normalize = normalize

    def forward(self, embedding: Tensor) -> Tensor:
        projected = self.linear(embedding.flatten(1))
        return F.normalize(projected.float(), dim=1) if self.normalize else projected


SQUARINGS = 16
"""They leave of an eigenvector of half the largest eigenvalue 2^-65536, and sigma is right to 1e-5."""


def by_decomposition(gram: Tensor) -> Tensor:
    """A unit eigenvector of the largest eigenvalue of a symmetric matrix, [D, D] -> [D].

    On a CUDA device the host would wait for it.
    """
    return torch.linalg.eigh(gram).eigenvectors[:, -1]


@in_one_launch
def by_squaring(gram: Tensor) -> Tensor:
    """The same, nearly, for one without negative eigenvalues, by a high power of it.

    Nothing is asked of the device. Where the largest eigenvalues are all but equal it is a unit vector in the
    space of their eigenvectors.
    """
    power = gram
    for _ in range(SQUARINGS):
        power = power / torch.linalg.matrix_norm(power).clamp(min=1e-30)
        power = power @ power
    column = power.index_select(1, power.diagonal().argmax().reshape(1))[:, 0]
    return F.normalize(column, dim=0, eps=1e-30)


class LipschitzEmbed(nn.Module):
    """v = W u / sigma(W) with u = h / |h|, [B, D] -> [B, out_features]: 1-Lipschitz in u, and |v| <= 1.

    sigma(W), the largest singular value, is that of every step: the eigenvector of the smaller Gram matrix
    gives it in about a millisecond, while one power iteration per step lags behind a moving weight. As in
    spectral normalisation (Miyato et al., ICLR 2018) the singular vectors are constants of the backward pass,
    which makes the gradient of sigma exact too. Always float32.

    With `centre`, v = W p(u - m) / sigma(W): m is a running mean of u over training batches, a constant of
    every step, and p the projection onto the unit ball. Rectified embeddings share a large mean, which says
    nothing about the sample and takes most of the unit length; p, which moves hardly any of them, doesn't
    stretch distances and keeps |v| <= 1, so that the claim stays what it was.
    """

    MOMENTUM = 0.9
    """Share of the old mean that a batch leaves."""

    def __init__(self, in_features: int, out_features: int, *, centre: bool = False):
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(out_features, in_features)))
        self.centre = centre
        if centre:
            self.register_buffer("mean", torch.zeros(in_features))
            self.register_buffer("batches", torch.zeros(()))

    def normalized_weight(self) -> Tensor:
        """W / sigma(W), [out_features, in_features]."""
        weight = self.weight
        wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
        with torch.no_grad():
            # eigh refuses NaN; a diverged weight shall show in the loss instead.
            gram = torch.nan_to_num(wide @ wide.T, posinf=0.0, neginf=0.0)
            leading = by_squaring(gram) if gram.is_cuda else by_decomposition(gram)
        return weight / torch.linalg.vector_norm(leading @ wide).clamp(min=1e-12)

    def forward(self, embedding: Tensor) -> Tensor:
        with torch.autocast(embedding.device.type, enabled=False):
            unit = F.normalize(embedding.flatten(1).float(), dim=1)
            if self.centre:
                unit = _into_unit_ball(unit - self._running_mean(unit.detach()))
            return unit @ self.normalized_weight().T

    @torch.no_grad()
    def _running_mean(self, unit: Tensor) -> Tensor:
        """The mean [D], moved by this batch [B, D] in training; the first batch's own to begin with."""
        if self.training:
            kept = self.MOMENTUM * (self.batches > 0)
            self.mean = kept * self.mean + (1 - kept) * unit.mean(0)
            self.batches = self.batches + 1
        return self.mean


def _into_unit_ball(x: Tensor) -> Tensor:
    """The nearest point of the unit ball to each row of [B, D]: a map that stretches no distance."""
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1)


class ConvReg(nn.Module):
    """Convolution, batch norm and (unless `relu` is off) ReLU from the student's map shape to the teacher's.

    student, teacher   shapes (C, *space) with one, two or three spatial axes
    Per axis: twice the teacher's size: kernel 3, stride 2, padding 1; at least the teacher's size otherwise:
    no padding, kernel 1 + difference. Where the teacher is twice as large: a transposed convolution, kernel
    4, stride 2, padding 1. Raises NotApplicable for other sizes. Source: FitNet in the CRD benchmark.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...], *, relu: bool = True):
        super().__init__()
        axes = len(teacher) - 1
        if len(student) != len(teacher) or axes not in CONVOLUTIONS:
            raise NotApplicable(f"no convolution maps {_named(student)} to {_named(teacher)}")
        sizes = list(zip(student[1:], teacher[1:], strict=True))
        if all(ours >= theirs for ours, theirs in sizes):
            kind = CONVOLUTIONS[axes]
            settings = [
                (3, 2, 1) if ours == 2 * theirs else (1 + ours - theirs, 1, 0) for ours, theirs in sizes
            ]
        elif all(2 * ours == theirs or ours == theirs for ours, theirs in sizes):
            kind = TRANSPOSED_CONVOLUTIONS[axes]
            settings = [(4, 2, 1) if 2 * ours == theirs else (1, 1, 0) for ours, theirs in sizes]
        else:
            raise NotApplicable(f"no regressor is defined from {_named(student)} to {_named(teacher)}")
        kernel, stride, padding = zip(*settings, strict=True)
        self.conv = kind(student[0], teacher[0], kernel, stride=stride, padding=padding)
        self.bn = BATCH_NORMS[axes](teacher[0])
        self.relu = relu

    def forward(self, feature: Tensor) -> Tensor:
        feature = self.bn(self.conv(feature))
        return F.relu(feature) if self.relu else feature


def _named(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} channels of {'x'.join(map(str, shape[1:])) or 'no space'}" if shape else "a scalar"
