"""Registered colour and depth images of a folder, with labels from a table or without any."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmark import Data, Modality, Request, Samples, Stored, UserError
from benchmark.contracts import IGNORE
from benchmark.data.kept_samples import Part, Write, fingerprint_on_disk, fits, kept_on_disk
from benchmark.data.loading import Arrays, Report, Unusable, cached, stamps
from benchmark.data.locating import is_given
from benchmark.data.pictures import COLOUR, in_threads, read_picture
from benchmark.data.readers import fingerprint
from tasks.cross_modal.cards import FOLDER_SIZES
from tasks.cross_modal.rgbd_layout import Folder, find_folder

RGB_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
DEPTH_STATISTICS = ((2.84,), (1.42,))
"""Metres: what published code for NYU Depth v2 uses (ESANet, Seichter et al., ICRA 2021). Constants, so that
a network may be moved from one set of indoor scenes to another; a hole lies two deviations below the mean."""

UNITS_PER_METRE = 1000.0
"""Depth images count millimetres unless depth_scale.txt says otherwise."""

RELATIVE_REACH = 8.0
"""Where the unit is `relative`, the 99th percentile of the training depths becomes this many metres."""

PLAUSIBLE = (0.3, 30.0)
"""Metres between which the median depth lies, or the unit is doubtful, and refused where a file states it."""

UNIT_EXPECTED = "give the units per metre (1000 for millimetres), or the word relative"
SHOWN = 20
"""Characters of a wrong unit that a message repeats."""

VALUES = 2**16
"""Of a depth image."""

AT_ONCE = 1000
"""Pairs that threads decode before they are taken."""

PAD = 6
VERSION = 2


def load(name: str, request: Request) -> Data:
    """Modalities `rgb` [N, 3, H, W] uint8 and `depth` [N, 1, H, W] int16 millimetres, 0 where there is none.

    Without labels.csv no sample has a label; a file that the table leaves out is an unlabelled training
    sample. The table's column `split` says what is tested on; without it every fifth name with a label is
    (every fifth group, where the table has them), in sorted order. Where some of what is tested on has a
    label, pairs of it without one (other frames of a tested group) are in neither split. Pairs that are more
    than memory may hold are decoded once too, and read from the cache one by one. Raises UserError where
    nothing is there.
    """
    folder, size = find_folder(request.data_dir), FOLDER_SIZES[name]
    identity = {"version": VERSION, "size": size, "files": stamps(folder.files, folder.root)}
    kept = (Part("rgb", (3, *size), "uint8"), Part("depth", (1, *size), "uint16"))
    tested = folder.tested()
    if in_memory := fits(request, len(folder.names), kept):
        arrays = cached(request, name, identity, partial(_decode, folder, size))
        names = [str(each) for each in arrays["names"]]
        counts = _counts(x for each, x in zip(names, arrays["depth"], strict=True) if each not in tested)
    else:
        source, arrays = kept_on_disk(request, name, identity, kept, partial(_decode_apart, folder, size))
        names, counts = [str(each) for each in arrays["names"]], arrays["counts"]
    test = np.array([each in tested for each in names], bool)
    if test.all() or not test.any():
        found = f"{int((~test).sum())} training and {int(test.sum())} test samples that can be used"
        raise UserError(f"{folder.root} has {found}: give it some of both, five pairs or more in all")
    millimetres = _millimetres(folder.root, counts, request)
    if in_memory:
        depth = torch.from_numpy(millimetres[arrays["depth"]])
        images = {"rgb": torch.from_numpy(arrays["rgb"]), "depth": depth}
    else:
        source = replace(source, tables={"depth": millimetres})
        rows = torch.arange(len(names))
        images = Stored(source, frozenset(part.name for part in kept), rows, request.num_workers)
    samples = _samples(folder, names, images)
    parts = {
        split: samples.subset(torch.from_numpy(np.flatnonzero(chosen)))
        for split, chosen in (("train", ~test), ("test", test))
    }
    order = tuple(part.name for part in kept)
    return Data(
        name=name,
        train=parts["train"],
        test=parts["test"],
        classes=folder.classes,
        modalities=modalities(size),
        fingerprint=fingerprint(parts) if in_memory else fingerprint_on_disk(request, name, parts, order),
        synthetic=False,
        pad=PAD,
        flip=True,
    )


def modalities(size: tuple[int, int]) -> dict[str, Modality]:
    """How colour and depth of `size` (rows, columns) are brought to the networks' scale."""
    return {
        "rgb": Modality((3, *size), *RGB_STATISTICS, scale=255.0),
        "depth": Modality((1, *size), *DEPTH_STATISTICS, scale=1000.0),
    }


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [H, W, 3] at `size` (rows, columns), each pixel the mean of the area it covers."""
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def sample(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Depth or class numbers [H, W] at `size`: the value nearest to each pixel's centre, never a mixture."""
    return cv2.resize(values, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _decode(folder: Folder, size: tuple[int, int], report: Report) -> Arrays:
    """`names` [N], `rgb` [N, 3, H, W] uint8 and `depth` [N, 1, H, W] uint16 as the files count it."""
    names, images, depths = [], [], []
    for name, sample in _pairs(folder, size, report):
        names.append(name)
        images.append(sample["rgb"])
        depths.append(sample["depth"])
    return {"names": np.array(names, np.str_), "rgb": np.stack(images), "depth": np.stack(depths)}


def _decode_apart(folder: Folder, size: tuple[int, int], report: Report, write: Write) -> Arrays:
    """Writes the same samples; `names` [N], and `counts` of the training depths."""
    names, tested = [], folder.tested()

    def trained() -> Iterator[np.ndarray]:
        for name, sample in _pairs(folder, size, report):
            names.append(name)
            write(sample)
            if name not in tested:
                yield sample["depth"]

    counts = _counts(trained())
    return {"names": np.array(names, np.str_), "counts": counts}


def _pairs(folder: Folder, size: tuple[int, int], report: Report) -> Iterator[tuple[str, Arrays]]:
    """The names and samples that can be used. Raises UserError where there is none."""
    candidates, any_used = folder.names, False
    for start in range(0, len(candidates), AT_ONCE):
        some = candidates[start : start + AT_ONCE]
        with closing(in_threads(lambda name: _read_pair(folder, name, size), some)) as outcomes:
            for name, outcome in zip(some, outcomes, strict=True):
                if isinstance(outcome, Unusable):
                    report(outcome.file, outcome.problem)
                else:
                    any_used = True
                    yield name, {"rgb": outcome[0].transpose(2, 0, 1), "depth": outcome[1][None]}
    if not any_used:
        raise UserError(f"{folder.root} holds no pair of colour and depth that can be used")


def _read_pair(folder: Folder, name: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """RGB [H, W, 3] uint8 and depth [H, W] uint16 at `size`; raises Unusable."""
    label = folder.row(name).label
    if label and label not in folder.classes:
        raise Unusable(folder.root / "labels.csv", f"the label {label!r} of {name} is not in classes.txt")
    if name not in folder.colour or name not in folder.depth:
        place = folder.root / "depth" if name in folder.colour else folder.colour_folder
        raise Unusable(place / f"{name}.png", "is missing")
    colour, depth = folder.colour[name], folder.depth[name]
    image = read_picture(colour, COLOUR | cv2.IMREAD_IGNORE_ORIENTATION)
    values = read_picture(depth, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise Unusable(depth, "is no image of one channel with 16 bits")
    if image.shape[:2] != values.shape:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (values.shape, image.shape)]
        raise Unusable(depth, f"is {sizes[0]} pixels, its colour image {sizes[1]}")
    values = sample(values, size)
    if not values.any():
        raise Unusable(depth, "is zero everywhere")
    return cv2.cvtColor(shrink(image, size), cv2.COLOR_BGR2RGB), values


def _counts(depths: Iterable[np.ndarray]) -> np.ndarray:
    """How often each value of 16 bits is there, holes left out: [65536] int64."""
    counts = np.zeros(VALUES, np.int64)
    for each in depths:
        counts += np.bincount(each.ravel(), minlength=VALUES)
    counts[0] = 0
    return counts


def percentile(counts: np.ndarray, percent: float) -> float:
    """np.percentile of the values that are there so many times, to the bit."""
    total = np.cumsum(counts)
    place = (int(total[-1]) - 1) * (percent / 100)
    share = place - math.floor(place)
    low, high = (
        int(np.searchsorted(total, each, side="right"))
        for each in (math.floor(place), min(math.floor(place) + 1, int(total[-1]) - 1))
    )
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def _millimetres(root: Path, counts: np.ndarray, request: Request) -> np.ndarray:
    """What each value of 16 bits is in int16 millimetres, by the unit in depth_scale.txt or by the counts of
    the training depths."""
    file, units = root / "depth_scale.txt", UNITS_PER_METRE
    text = file.read_text(errors="replace").strip() if is_given(file) else None
    if text == "relative":
        units = percentile(counts, 99) / RELATIVE_REACH
    elif text is not None:
        units = _stated(file, text, percentile(counts, 50))
    elif not PLAUSIBLE[0] < (median := percentile(counts, 50) / units) < PLAUSIBLE[1]:
        request.say(
            f"{root}/depth: a median of {median:.3g} m if it counts millimetres; else write {file.name}"
        )
    converted = np.round(np.arange(VALUES) * (1000.0 / units))
    return np.minimum(converted, np.iinfo(np.int16).max).astype(np.int16)


def _stated(file: Path, text: str, median: float) -> float:
    """The units per metre that depth_scale.txt states.

    Raises UserError where it states none, or one by which the median [units] is not that of a scene.
    """
    try:
        units = float(text)
    except ValueError:
        units = 0.0
    if not units > 0:
        raise UserError(f"{file} holds {text[:SHOWN]!r}: {UNIT_EXPECTED}")
    if not PLAUSIBLE[0] < (metres := median / units) < PLAUSIBLE[1]:
        raise UserError(
            f"{file} holds {text[:SHOWN]}, by which the median depth is {metres:.3g} m: {UNIT_EXPECTED}"
        )
    return units


def _samples(folder: Folder, names: list[str], images: Mapping[str, Tensor] | Stored) -> Samples:
    known = {each: number for number, each in enumerate(folder.classes)}
    labels = [known.get(folder.row(name).label, IGNORE) for name in names]
    groups = None
    if any(row.group for row in folder.rows.values()):
        number = {each: i for i, each in enumerate(sorted({folder.group(name) for name in names}))}
        groups = torch.tensor([number[folder.group(name)] for name in names])
    return Samples(images, torch.tensor(labels, dtype=torch.int64), groups)
