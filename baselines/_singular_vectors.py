"""Right singular vectors of batches of matrices, with a gradient that survives equal singular values."""

from __future__ import annotations

import torch
from torch import Tensor


def spectrum(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values [B, n], ascending, and right singular vectors as columns [B, n, n]."""
    gram = torch.nan_to_num(matrix.transpose(1, 2) @ matrix)
    values, vectors = torch.linalg.eigh(gram.double())
    return values.float(), vectors.float()


@torch.no_grad()
def first_direction(matrix: Tensor) -> Tensor:
    """The first right singular vector of each matrix [B, rows, columns], [B, columns].

    Its sign, which no decomposition fixes, is the one that makes its entries' sum positive: that of a map
    without negative values.
    Source: Lee et al., ECCV 2018.
    """
    first = spectrum(matrix)[1][:, :, -1]
    return torch.where(first.sum(1, keepdim=True) < 0, -first, first)


def nearest_direction(matrix: Tensor, target: Tensor, candidates: int) -> Tensor:
    """Of the first `candidates` right singular vectors the one nearest to the target, [B, columns] both.

    Its sign is the target's. The gradient is that of the singular vector, put together from the resolvent of
    the Gram matrix: differentiating the whole decomposition divides by zero where singular values are equal.
    """
    with torch.no_grad():
        values, vectors = spectrum(matrix)
        count = min(candidates, matrix.shape[2])
        cosines = torch.einsum("bnk,bn->bk", vectors[:, :, -count:], target)
        chosen = cosines.abs().argmax(1) + vectors.shape[2] - count
        rows = torch.arange(len(matrix), device=matrix.device)
        own = vectors[rows, :, chosen]
        own = torch.where((own * target).sum(1, keepdim=True) < 0, -own, own)
        gaps = values[rows, chosen][:, None] - values
        tiny = gaps.abs() <= 1e-7 * values[:, -1:].clamp(min=1e-30)
        resolvent = torch.where(tiny, torch.zeros_like(gaps), 1 / gaps)
    image = torch.einsum("brn,br->bn", matrix, torch.einsum("brn,bn->br", matrix, own))
    change = torch.einsum("bnk,bn->bk", vectors, image - image.detach())
    return own + torch.einsum("bnk,bk->bn", vectors, resolvent * change)
