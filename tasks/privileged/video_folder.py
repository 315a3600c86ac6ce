"""Class folders of video files: frames, with optical flow and sound as what only the teacher sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark import Data, Modality, Request, Samples, UserError
from benchmark.data.loading import Arrays, Report, Unusable, cached, stamps
from benchmark.data.readers import fingerprint
from tasks.privileged.cards import class_videos, sidecar
from tasks.privileged.clips import FLOW_STEPS, VERSION, Clip, decode_all

NAME = "video_folder"
PAD = 4
VIDEO_STATISTICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
"""Mean and standard deviation of Kinetics-400's RGB frames, as torchvision's video networks use them."""


def load(request: Request) -> Data:
    """Videos with their flow and, where they have sound, their log-mel spectrograms.

    The modalities `video`, `flow` and `audio` are those of `Clip`; `audio` is there where any clip has sound,
    and a clip without it is then a bad sample. Raises UserError where there are no videos, or none of use.
    """
    folder, splits = class_videos(request)
    classes = tuple(sorted(splits[0]))
    listed = [
        (file, split, label)
        for split, videos in enumerate(splits)
        for label, name in enumerate(classes)
        for file in videos.get(name, [])
    ]
    files = [file for file, _, _ in listed]
    arrays = cached(request, NAME, _identity(files, folder), lambda report: _decoded(files, request, report))
    kept = arrays.pop("kept")
    labels = torch.tensor([listed[number][2] for number in kept])
    trained = sum(listed[number][1] == 0 for number in kept)
    if not 0 < trained < len(kept):
        raise UserError(f"{folder}: no {'test' if trained else 'training'} video of {NAME} can be used")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    # The training videos are listed first: both splits are views of one block of memory.
    train, test = (
        Samples({name: x[part] for name, x in tensors.items()}, labels[part])
        for part in (slice(trained), slice(trained, None))
    )
    return Data(
        name=NAME,
        train=train,
        test=test,
        classes=classes,
        modalities={name: _modality(name, x) for name, x in train.modalities.items()},
        fingerprint=fingerprint({"train": train, "test": test}),
        synthetic=False,
        pad=PAD,
        # Mirroring would have to turn the sign of the flow's columns.
        flip=False,
    )


def _identity(files: Sequence[Path], folder: Path) -> dict[str, object]:
    sounds = {sidecar(file) for file in files if sidecar(file).is_file()}
    return {"version": VERSION, "files": stamps([*files, *sounds], folder)}


def _decoded(files: Sequence[Path], request: Request, report: Report) -> Arrays:
    """The clips that can be used, stacked, and `kept`: where in `files` each of them is."""
    request.say(f"{NAME}: decoding {len(files)} videos")
    clips: dict[int, Clip] = {}
    with closing(decode_all(files)) as results:
        for number, result in enumerate(results):
            if isinstance(result, Unusable):
                report(result.file, result.problem)
            else:
                clips[number] = result
    heard = {number: clip for number, clip in clips.items() if clip.audio is not None}
    if heard:
        for number in sorted(clips.keys() - heard.keys()):
            report(files[number], "has no sound, others have")
        clips = heard
    if not clips:
        raise UserError(f"{files[0].parent}: no video of {NAME} can be used")
    arrays = {"kept": np.array(list(clips), np.int64)}
    for name in ("video", "flow", *(["audio"] if heard else [])):
        arrays[name] = np.stack([getattr(clip, name) for clip in clips.values()])
    return arrays


def _modality(name: str, x: Tensor) -> Modality:
    """How the networks see a modality; flow and sound vary so much that they go by the training videos."""
    shape = tuple(x.shape[1:])
    if name == "video":
        return Modality(shape, *VIDEO_STATISTICS, scale=255.0)
    if name == "flow":
        # No motion stays at zero, which is also what the crop pads with.
        deviation = float(np.sqrt(np.mean([each.float().square().mean().item() for each in x])))
        return Modality(shape, (0.0, 0.0), (max(deviation / FLOW_STEPS, 1e-3),) * 2, scale=FLOW_STEPS)
    std, mean = torch.std_mean(x.double(), dim=(0, 2))
    return Modality(shape, tuple(mean.tolist()), tuple(std.clamp(min=1e-3).tolist()), spatial=False)
