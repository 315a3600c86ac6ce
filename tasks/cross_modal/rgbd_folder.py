"""Registered colour and depth images of a folder, with labels from a table or without any."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmark import Data, Modality, Request, Samples, UserError
from benchmark.contracts import IGNORE
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
"""Metres between which the median depth lies, or the unit is doubtful."""

UNITS_BETWEEN = (1e-6, 1e9)
"""Units per metre that a file may state."""

PAD = 6
VERSION = 1


def load(name: str, request: Request) -> Data:
    """Modalities `rgb` [N, 3, H, W] uint8 and `depth` [N, 1, H, W] int16 millimetres, 0 where there is none.

    Without labels.csv no sample has a label; a file that the table leaves out is an unlabelled training
    sample. The table's column `split` says what is tested on; without it every fifth name with a label is
    (every fifth group, where the table has them), in sorted order. Raises UserError where nothing is there.
    """
    folder = find_folder(request.data_dir)
    identity = {"version": VERSION, "size": FOLDER_SIZES[name], "files": stamps(folder.files, folder.root)}
    arrays = cached(request, name, identity, partial(_decode, folder, FOLDER_SIZES[name]))
    names = [str(each) for each in arrays["names"]]
    tested = folder.tested()
    test = np.array([each in tested for each in names], bool)
    if test.all() or not test.any():
        counts = f"{int((~test).sum())} training and {int(test.sum())} test samples that can be used"
        raise UserError(f"{folder.root} has {counts}: give it some of both, five pairs or more in all")
    depth = _millimetres(folder.root, arrays["depth"], ~test, request)
    samples = _samples(folder, names, arrays["rgb"], depth)
    parts = {
        split: samples.subset(torch.from_numpy(np.flatnonzero(chosen)))
        for split, chosen in (("train", ~test), ("test", test))
    }
    return Data(
        name=name,
        train=parts["train"],
        test=parts["test"],
        classes=folder.classes,
        modalities=modalities(FOLDER_SIZES[name]),
        fingerprint=fingerprint(parts),
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
    candidates = folder.names
    with closing(in_threads(lambda name: _read_pair(folder, name, size), candidates)) as outcomes:
        for name, outcome in zip(candidates, outcomes, strict=True):
            if isinstance(outcome, Unusable):
                report(outcome.file, outcome.problem)
                continue
            names.append(name)
            images.append(outcome[0].transpose(2, 0, 1))
            depths.append(outcome[1][None])
    if not names:
        raise UserError(f"{folder.root} holds no pair of colour and depth that can be used")
    return {"names": np.array(names, np.str_), "rgb": np.stack(images), "depth": np.stack(depths)}


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


def _millimetres(root: Path, raw: np.ndarray, train: np.ndarray, request: Request) -> np.ndarray:
    """Depth in int16 millimetres, of raw values [N, 1, H, W] uint16 and the unit in depth_scale.txt."""
    file, units = root / "depth_scale.txt", UNITS_PER_METRE
    text = file.read_text(errors="replace").strip() if is_given(file) else None
    known = raw[train][raw[train] > 0]
    if text == "relative":
        units = float(np.percentile(known, 99)) / RELATIVE_REACH
    elif text is not None:
        try:
            units = float(text)
        except ValueError:
            units = 0.0
        if not UNITS_BETWEEN[0] <= units <= UNITS_BETWEEN[1]:
            raise UserError(
                f"{file} holds {text[:20]!r}: give the units per metre (1000 for millimetres), or relative"
            )
    elif not PLAUSIBLE[0] < (median := float(np.median(known)) / units) < PLAUSIBLE[1]:
        request.say(
            f"{root}/depth: a median of {median:.3g} m if it counts millimetres; else write {file.name}"
        )
    # Every value that 16 bits hold, converted once: no copy of the images in floating point.
    converted = np.round(np.arange(np.iinfo(raw.dtype).max + 1) * (1000.0 / units))
    return np.minimum(converted, np.iinfo(np.int16).max).astype(np.int16)[raw]


def _samples(folder: Folder, names: list[str], rgb: np.ndarray, depth: np.ndarray) -> Samples:
    known = {each: number for number, each in enumerate(folder.classes)}
    labels = [known.get(folder.row(name).label, IGNORE) for name in names]
    groups = None
    if any(row.group for row in folder.rows.values()):
        number = {each: i for i, each in enumerate(sorted({folder.group(name) for name in names}))}
        groups = torch.tensor([number[folder.group(name)] for name in names])
    images = {"rgb": torch.from_numpy(rgb), "depth": torch.from_numpy(depth)}
    return Samples(images, torch.tensor(labels, dtype=torch.int64), groups)
