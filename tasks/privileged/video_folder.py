"""Class folders of video files: frames, with optical flow and sound as what only the teacher sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark import Data, Modality, Request, Samples, Stored, UserError
from benchmark.data.feed import read_all
from benchmark.data.kept_samples import Part, Write, fingerprint_on_disk, fits, kept_on_disk
from benchmark.data.loading import Arrays, Report, Unusable, cached, stamps
from benchmark.data.readers import fingerprint
from tasks.privileged.cards import VIDEOS, class_videos, sidecar
from tasks.privileged.clips import FLOW_STEPS, VERSION, Clip, decode_all

NAME = "video_folder"
PAD = 4
PARTS = tuple(
    Part(name, shape, dtype)
    for (name, shape), dtype in zip(VIDEOS.items(), ("uint8", "int8", "float32"), strict=True)
)
"""Of a clip that is kept on disk."""

MEASURED = ("flow", "means", "deviations")
"""What `_spread` gives."""

VIDEO_STATISTICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
"""Mean and standard deviation of Kinetics-400's RGB frames, as torchvision's video networks use them."""


def load(request: Request) -> Data:
    """Videos with their flow and, where they have sound, their log-mel spectrograms.

    The modalities `video`, `flow` and `audio` are those of `Clip`; `audio` is there where any clip has sound,
    and a clip without it is then a bad sample. Clips that are more than memory may hold are decoded once too,
    and read from the cache one by one. Raises UserError where there are no videos, or none of use.
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
    identity = _identity(files, folder)
    if in_memory := fits(request, len(files), PARTS):
        arrays = cached(request, NAME, identity, lambda report: _decoded(files, request, report))
        kept = arrays.pop("kept")
        modalities: Mapping[str, Tensor] | Stored = {
            name: torch.from_numpy(array) for name, array in arrays.items()
        }
    else:
        source, arrays = kept_on_disk(
            request, NAME, identity, PARTS, lambda *takers: _decoded_apart(files, request, *takers)
        )
        kept, names = arrays["kept"], frozenset(map(str, arrays["names"]))
        modalities = Stored(source, names, torch.from_numpy(arrays["rows"]), request.num_workers)
    labels = torch.tensor([listed[number][2] for number in kept])
    trained = sum(listed[number][1] == 0 for number in kept)
    if not 0 < trained < len(kept):
        raise UserError(f"{folder}: no {'test' if trained else 'training'} video of {NAME} can be used")
    # The training videos are listed first: both splits are views of one block of memory.
    train, test = (
        Samples(_part(modalities, part), labels[part]) for part in (slice(trained), slice(trained, None))
    )
    parts, order = {"train": train, "test": test}, tuple(each for each in VIDEOS if each in train.names)
    spread = arrays if not in_memory else _spread(read_all(train))
    return Data(
        name=NAME,
        train=train,
        test=test,
        classes=classes,
        modalities={
            name: _modality(name, {key: x[:trained] for key, x in spread.items() if key in MEASURED})
            for name in order
        },
        fingerprint=fingerprint(parts) if in_memory else fingerprint_on_disk(request, NAME, parts, order),
        synthetic=False,
        pad=PAD,
        # Mirroring would have to turn the sign of the flow's columns.
        flip=False,
    )


def _part(modalities: Mapping[str, Tensor] | Stored, part: slice) -> Mapping[str, Tensor] | Stored:
    if isinstance(modalities, Stored):
        return replace(modalities, rows=modalities.rows[part])
    return {name: x[part] for name, x in modalities.items()}


def _identity(files: Sequence[Path], folder: Path) -> dict[str, object]:
    sounds = {sidecar(file) for file in files if sidecar(file).is_file()}
    return {"version": VERSION, "files": stamps([*files, *sounds], folder)}


def _decoded(files: Sequence[Path], request: Request, report: Report) -> Arrays:
    """The clips that can be used, stacked, and `kept`: where in `files` each of them is."""
    clips = dict(_clips(files, request, report))
    used = _used(files, {number: clip.audio is not None for number, clip in clips.items()}, report)
    arrays = {"kept": np.array(used, np.int64)}
    for name in ("video", "flow", *(["audio"] if clips[used[0]].audio is not None else [])):
        arrays[name] = np.stack([getattr(clips[number], name) for number in used])
    return arrays


def _decoded_apart(files: Sequence[Path], request: Request, report: Report, write: Write) -> Arrays:
    """Writes the clips; of those that can be used `kept`, their `rows` among the clips that were written, and
    how much they spread; the `names` of the modalities."""
    silence = np.zeros(VIDEOS["audio"], np.float32)
    heard: dict[int, bool] = {}
    spreads: list[Arrays] = []
    for number, clip in _clips(files, request, report):
        heard[number] = clip.audio is not None
        sample = {"video": clip.video, "flow": clip.flow, "audio": clip.audio if heard[number] else silence}
        write(sample)
        spreads.append(_spread({name: torch.from_numpy(x)[None] for name, x in sample.items()}))
    used = _used(files, heard, report)
    places = {number: row for row, number in enumerate(heard)}
    rows = [places[number] for number in used]
    names = [name for name in VIDEOS if name != "audio" or heard[used[0]]]
    arrays = {key: np.concatenate([spreads[row][key] for row in rows]) for key in spreads[0]}
    return arrays | {
        "kept": np.array(used, np.int64),
        "rows": np.array(rows, np.int64),
        "names": np.array(names, np.str_),
    }


def _clips(files: Sequence[Path], request: Request, report: Report) -> Iterator[tuple[int, Clip]]:
    """Where in `files` each clip is that can be decoded, and the clip."""
    request.say(f"{NAME}: decoding {len(files)} videos")
    with closing(decode_all(files)) as results:
        for number, result in enumerate(results):
            if isinstance(result, Unusable):
                report(result.file, result.problem)
            else:
                yield number, result


def _used(files: Sequence[Path], heard: Mapping[int, bool], report: Report) -> list[int]:
    """Of the decoded clips, and whether they have sound, those that can be used: where some have sound, the
    others are bad samples. Raises UserError where there is none."""
    if any(heard.values()):
        for number in (each for each, sound in heard.items() if not sound):
            report(files[number], "has no sound, others have")
    used = [number for number, sound in heard.items() if sound or not any(heard.values())]
    if not used:
        raise UserError(f"{files[0].parent}: no video of {NAME} can be used")
    return used


def _spread(modalities: Mapping[str, Tensor]) -> Arrays:
    """Of every clip the mean square of the flow [N], and of each band of the sound the mean over time and the
    sum of squared deviations from it [N, bands]."""
    flow = [each.float().square().mean().item() for each in modalities["flow"]]
    found = {"flow": np.array(flow)}
    if "audio" in modalities:
        sound = modalities["audio"].double().numpy()
        means = sound.mean(axis=2)
        found |= {"means": means, "deviations": np.square(sound - means[..., None]).sum(axis=2)}
    return found


def _modality(name: str, spread: Mapping[str, np.ndarray]) -> Modality:
    """How the networks see a modality; flow and sound vary so much that they go by the training videos."""
    shape = VIDEOS[name]
    if name == "video":
        return Modality(shape, *VIDEO_STATISTICS, scale=255.0)
    if name == "flow":
        # No motion stays at zero, which is also what the crop pads with.
        deviation = float(np.sqrt(np.mean(spread["flow"])))
        return Modality(shape, (0.0, 0.0), (max(deviation / FLOW_STEPS, 1e-3),) * 2, scale=FLOW_STEPS)
    means, length = spread["means"], shape[-1]
    mean = means.mean(axis=0)
    squares = spread["deviations"].sum(axis=0) + length * np.square(means - mean).sum(axis=0)
    std = np.sqrt(squares / (length * len(means) - 1)).clip(1e-3)
    return Modality(shape, tuple(mean.tolist()), tuple(std.tolist()), spatial=False)
