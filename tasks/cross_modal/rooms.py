"""The embedded rooms as datasets: their scene classes, and the parts that their pixels belong to."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmark import Data, Modality, Request, Samples
from benchmark.data.loading import Arrays, Report, cached
from benchmark.data.readers import fingerprint
from tasks.synthetic.rendering.furniture import PARTS
from tasks.synthetic.rendering.layouts import KINDS
from tasks.synthetic.rooms import rooms

VERSION = 2
"""Of the drawings: another one makes those that are cached be drawn again."""

TRAIN, TEST = 3200, 1000
"""Scenes; half of those to train on are the teacher's under `--teacher-data disjoint`."""

SEED, TEST_SEED = 5, 6
"""The test scenes were drawn after everything else was settled: no score on them entered any choice."""

PAD = 3

RGB_STATISTICS = ((0.65, 0.63, 0.6), (0.14, 0.16, 0.17))
DEPTH_STATISTICS = ((2.34,), (1.0,))
"""Mean and standard deviation of the training scenes, rounded; depth in metres, its holes counted as 0."""


def load(name: str, request: Request) -> Data:
    """Modalities `rgb` [N, 3, 40, 40] uint8 and `depth` [N, 1, 40, 40] int16 millimetres, 0 for a hole.

    Labels are the kind of room [N], those of rooms_segmentation the part that each pixel shows [N, 40, 40].
    Drawn once (a minute or less) and then kept in the cache.
    """
    identity = {"version": VERSION, "scenes": [TRAIN, TEST], "seeds": [SEED, TEST_SEED]}
    arrays = cached(request, "rooms", identity, partial(_draw, request))
    dense = name == "rooms_segmentation"
    labels = torch.from_numpy(arrays["mask" if dense else "label"].astype("int64"))
    modalities = {each: torch.from_numpy(arrays[each]) for each in ("rgb", "depth")}
    everything = Samples(modalities, labels)
    parts = {
        "train": everything.subset(torch.arange(TRAIN)),
        "test": everything.subset(torch.arange(TRAIN, TRAIN + TEST)),
    }
    return Data(
        name=name,
        train=parts["train"],
        test=parts["test"],
        classes=PARTS if dense else tuple(KINDS),
        modalities={
            "rgb": Modality(tuple(modalities["rgb"].shape[1:]), *RGB_STATISTICS, scale=255.0),
            "depth": Modality(tuple(modalities["depth"].shape[1:]), *DEPTH_STATISTICS, scale=1000.0),
        },
        fingerprint=fingerprint(parts),
        synthetic=True,
        pad=PAD,
        flip=True,
    )


def _draw(request: Request, report: Report) -> Arrays:
    """All scenes; the mask in bytes, which take an eighth of the space on disk."""
    request.say(f"rooms: drawing {TRAIN + TEST} scenes, once; they are kept in the cache")
    splits = rooms(TRAIN, SEED), rooms(TEST, TEST_SEED)
    rgb, depth, mask, label = (
        np.concatenate([getattr(split, name) for split in splits])
        for name in ("rgb", "depth", "mask", "label")
    )
    return {"rgb": rgb, "depth": depth, "mask": mask.astype("uint8"), "label": label}
