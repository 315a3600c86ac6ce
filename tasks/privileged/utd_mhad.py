"""UTD-MHAD: 27 actions seen by a depth camera, a skeleton tracker and an inertial sensor (Chen et al., 2015).

The sensor is on the right wrist, for actions 22 to 27 on the right thigh.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark import Data, Modality, Request, Samples, UserError
from benchmark.data.loading import Arrays, Report, Unusable, cached, stamps
from benchmark.data.pictures import in_threads
from benchmark.data.readers import fingerprint
from tasks.privileged.cards import (
    CROSS_SUBJECT,
    STEPS,
    UTD_MHAD_FOLDS,
    UTD_MHAD_JOINTS,
    UTD_MHAD_LAYOUT,
    utd_mhad_files,
    utd_mhad_folder,
    utd_mhad_shapes,
)
from tasks.privileged.utd_mhad_files import (
    CLASSES,
    VARIABLES,
    Clip,
    decode,
)

NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_(depth|inertial|skeleton)\.mat")

VERSION = 1
"""Raised when sequences are decoded differently: a cache of another version is made again."""

DEPTH_PAD = 4
"""How far the training crop shifts a clip, in decoded pixels."""


def load(name: str, request: Request) -> Data:
    """The sequences of one protocol: `cross_subject` (subjects 1, 3, 5, 7 train), `leave_out_S` or `inner_S`.

    Decoding takes some fifteen seconds, once where there is a cache.

    Raises UserError where the dataset is not there, or has no subject to train or to test on.
    """
    fold = request.fold or CROSS_SUBJECT
    folder = utd_mhad_folder(request)
    files = {path.name: path for path in utd_mhad_files(folder)}
    identity = {"version": VERSION, "files": stamps(files.values(), folder)}
    arrays = cached(request, "utd_mhad", identity, partial(_decode_all, folder, files))
    subjects = arrays["subject"]
    parts = {}
    for part, wanted in zip(("train", "test"), UTD_MHAD_FOLDS[fold], strict=True):
        chosen = np.isin(subjects, wanted)
        if not chosen.any():
            there = ", ".join(map(str, np.unique(subjects))) or "none"
            raise UserError(
                f"{folder}: fold {fold} has no sequence to {part} on; subjects there: {there}: choose another"
            )
        parts[part] = _samples(arrays, chosen, STEPS[name])
    return Data(
        name=name,
        train=parts["train"],
        test=parts["test"],
        classes=CLASSES,
        modalities=_modalities(STEPS[name]),
        fingerprint=fingerprint(parts),
        synthetic=False,
        pad=DEPTH_PAD // STEPS[name],
        fold=fold,
    )


def _decode_all(folder: Path, files: Mapping[str, Path], report: Report) -> Arrays:
    """Every sequence that has its three files, sorted by action, subject and trial."""
    clips: set[Clip] = set()
    for name, path in sorted(files.items()):
        if (match := NAME.fullmatch(name)) is None:
            report(path, "is not named as aA_sS_tT_depth.mat, ..._inertial.mat or ..._skeleton.mat")
            continue
        action, subject, trial = map(int, match.groups()[:3])
        clips.add((action, subject, trial))
    kept, decoded = [], []
    ordered = sorted(clips)
    with closing(in_threads(partial(decode, folder), ordered)) as results:
        for clip, result in zip(ordered, results, strict=True):
            if isinstance(result, Unusable):
                report(result.file, result.problem)
                continue
            kept.append(clip)
            decoded.append(result)
    if not decoded:
        raise UserError(f"{folder} holds no sequence that can be used: expected {UTD_MHAD_LAYOUT}")
    action, subject = np.array([clip[:2] for clip in kept]).T
    arrays = {name: np.stack([each[name] for each in decoded]) for name in VARIABLES}
    return arrays | {"label": action - 1, "subject": subject}


def _samples(arrays: Arrays, chosen: np.ndarray, step: int) -> Samples:
    modalities = {name: torch.from_numpy(arrays[name][chosen]) for name in VARIABLES}
    modalities["depth"] = _coarser(modalities["depth"], step)
    modalities["accelerometer"] = modalities["inertial"][:, :3].contiguous()
    labels, groups = (
        torch.from_numpy(arrays[name][chosen].astype(np.int64)) for name in ("label", "subject")
    )
    return Samples(modalities, labels, groups)


def _coarser(clips: Tensor, step: int) -> Tensor:
    """Every `step`-th frame, and of every `step` x `step` pixels the brightest: thin arms survive."""
    clips = clips[:, :, ::step]
    count, channels, frames, rows, columns = clips.shape
    return clips.view(count, channels, frames, rows // step, step, columns // step, step).amax((4, 6))


def _modalities(step: int) -> dict[str, Modality]:
    """Shapes and statistics, the latter as measured over subjects 1, 3, 5 and 7.

    The coordinates of all joints share one standard deviation, and so do their velocities: a joint that
    hardly moves is not blown up.
    """
    half = 3 * UTD_MHAD_JOINTS
    shapes = utd_mhad_shapes(step)
    mean, std = (-0.65, -0.30, -0.04, 3.0, -5.0, 0.0), (0.75, 0.53, 0.56, 98.0, 112.0, 123.0)
    return {
        "skeleton": Modality(
            shapes["skeleton"], (0.0,) * 2 * half, (0.75,) * half + (1.2,) * half, spatial=False
        ),
        "inertial": Modality(shapes["inertial"], mean, std, spatial=False),
        "accelerometer": Modality(shapes["accelerometer"], mean[:3], std[:3], spatial=False),
        "depth": Modality(
            shapes["depth"],
            (0.09,),
            (0.2,),
            scale=255.0,
        ),
    }
