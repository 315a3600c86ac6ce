"""Which rows of a batch are the same sample: batches that are filled up with labelled samples repeat some."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark import Batch


def samples_of(batch: Batch) -> Tensor:
    """The training sample of each row, [B] int64; each row is another one where the batch doesn't tell."""
    index = batch.get("index")
    return torch.arange(len(batch["label"]), device=batch["label"].device) if index is None else index


def same_sample(batch: Batch) -> Tensor:
    """Which rows are one sample, [B, B] bool, the diagonal included."""
    samples = samples_of(batch)
    return samples[:, None] == samples[None, :]
