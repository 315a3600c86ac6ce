"""The embedded motions as a dataset: subjects divide train from test, everything recorded is a modality."""

from __future__ import annotations

import numpy as np
import torch

from benchmark import Data, Modality, Request, Samples
from benchmark.data.feed import read_all
from benchmark.data.loading import Arrays, Report, cached
from benchmark.data.readers import fingerprint
from tasks.synthetic.motion.actions import ACTIONS
from tasks.synthetic.motion.performances import SEED, motions

VERSION = 2
"""Raised with every change of the generator, so that nothing is read from an older cache."""

TRAIN_SUBJECTS, TEST_SUBJECTS = range(16), range(24, 32)
"""The test people were drawn after everything else was settled: no score on them entered any choice."""

TRAIN_TAKES, TEST_TAKES = 6, 7
SPATIAL = ("video",)
SCALES = {"video": 255.0}


def load(request: Request) -> Data:
    """The embedded dataset; drawn in about ten seconds, kept in the cache."""
    options = {"seed": SEED, "version": VERSION, "train": [len(TRAIN_SUBJECTS), TRAIN_TAKES],
               "test": [len(TEST_SUBJECTS), TEST_TAKES]}  # fmt: skip
    arrays = cached(request, "motions", options, _draw)
    parts = {split: _samples(arrays, split) for split in ("train", "test")}
    return Data(
        name="motions",
        train=parts["train"],
        test=parts["test"],
        classes=tuple(ACTIONS),
        modalities={name: _modality(name, x) for name, x in read_all(parts["train"]).items()},
        fingerprint=fingerprint(parts),
        synthetic=True,
        pad=1,
    )


def _draw(report: Report) -> Arrays:
    """Arrays of both splits, named `split/name`; a drawn clip is never bad."""
    return {
        f"{split}/{name}": array
        for split, subjects, takes in (
            ("train", TRAIN_SUBJECTS, TRAIN_TAKES),
            ("test", TEST_SUBJECTS, TEST_TAKES),
        )
        for name, array in motions(subjects, takes, SEED).items()
    }


def _samples(arrays: Arrays, split: str) -> Samples:
    own = {
        name.removeprefix(f"{split}/"): torch.from_numpy(x)
        for name, x in arrays.items()
        if name.startswith(split)
    }
    label, subject = own.pop("label"), own.pop("subject")
    return Samples(own, label, subject)


def _modality(name: str, x: torch.Tensor) -> Modality:
    """Statistics of the train split [N, C, *space] per channel; motion capture has one deviation for all.

    A joint that hardly moves (the pelvis) would be blown up to the size of a hand's way otherwise.
    """
    scale = SCALES.get(name, 1.0)
    values = x.numpy().astype(np.float64) / scale
    axes = (0, *range(2, values.ndim))
    mean, std = values.mean(axis=axes), values.std(axis=axes)
    if name == "skeleton":
        std = np.full_like(std, np.sqrt((std**2).mean()))
    return Modality(
        tuple(x.shape[1:]),
        tuple(np.round(mean, 4).tolist()),
        tuple(np.round(std, 4).tolist()),
        scale,
        name in SPATIAL,
    )
