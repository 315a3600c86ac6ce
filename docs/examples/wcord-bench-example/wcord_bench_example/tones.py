"""Draws tones that fall, stay or rise, as two microphones record them; the same everywhere from one seed."""

from __future__ import annotations

import numpy as np
import torch

from benchmark import Data, Modality, Request, Samples
from benchmark.data.readers import fingerprint
from wcord_bench_example.far_field import LENGTH, SHAPES

CLASSES = ("falling", "steady", "rising")
LOUDNESS, NOISE, ECHO = 64, 60, 9
"""Amplitude of a tone; bounds of the noise across the room; samples by which the echo there is late."""


def load(request: Request) -> Data:
    """600 recordings to learn from, 600 others to test on."""
    parts = {"train": tones(600, seed=0), "test": tones(600, seed=1)}
    heard = {
        name: Modality(shape, (0.0,), (1.0,), scale=LOUDNESS, spatial=False) for name, shape in SHAPES.items()
    }
    return Data("tones", parts["train"], parts["test"], CLASSES, heard, fingerprint(parts), synthetic=True)


def tones(num_samples: int, seed: int) -> Samples:
    """N = num_samples recordings, as many per class: `near` and `far`, [N, 1, 128], float32."""
    random = np.random.Generator(np.random.PCG64(seed))
    labels = np.arange(num_samples) % len(CLASSES)
    pitch, begin = random.random((2, num_samples, 1))
    time = np.arange(LENGTH) / LENGTH
    waves = begin + (8 + 8 * pitch) * time + 2 * (labels[:, None] - 1) * time**2
    near = np.rint(LOUDNESS * np.sin(2 * np.pi * waves))
    noise = random.integers(-NOISE, NOISE + 1, near.shape)
    heard = {"near": near, "far": near + np.roll(near, ECHO, axis=1) + noise}
    return Samples(
        {name: torch.from_numpy(x[:, None].astype(np.float32)) for name, x in heard.items()},
        torch.from_numpy(labels),
    )
