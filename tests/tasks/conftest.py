"""Real data that several tests look at, decoded once for all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor

from benchmark import Request, Samples
from tasks.compression import cards


@pytest.fixture(scope="session")
def real_cifar10(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Samples]:
    """Train and test of the real CIFAR-10; test processes that run side by side share one decoding."""
    if not (real_data / "cifar10").is_dir():
        pytest.skip(f"no cifar10 in {real_data}")
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if base.name.startswith("popen-") else base
    with FileLock(folder / "cifar10.lock"):
        if not (folder / "cifar10.npz").exists():
            data = cards.cards()["cifar10"].load(Request(real_data))
            parts = {"train": data.train, "test": data.test}
            arrays = {f"{name}_rgb": part.modalities["rgb"].numpy() for name, part in parts.items()}
            arrays |= {f"{name}_label": part.labels.numpy() for name, part in parts.items()}
            np.savez(folder / "cifar10.npz", **arrays)
    with np.load(folder / "cifar10.npz") as kept:
        train, test = (
            Samples({"rgb": torch.from_numpy(kept[f"{name}_rgb"])}, torch.from_numpy(kept[f"{name}_label"]))
            for name in ("train", "test")
        )
    return train, test


def pixel_statistics(pixels: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 pixels [N, C, H, W], as shares of 255.

    From counts of the 256 levels: exact, and ten times as fast as sums over floats.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = [channel.flatten().int().bincount(minlength=256).double() for channel in pixels.unbind(1)]
    means = [float((count * levels).sum() / count.sum()) for count in counts]
    spreads = [
        float((count * (levels - mean).square()).sum() / (count.sum() - 1)) ** 0.5
        for count, mean in zip(counts, means, strict=True)
    ]
    return means, spreads
