"""NYU Depth v2, the labelled set: colour and depth of rooms, the kind of room, the class of each pixel."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch

from benchmark import Data, Request, Samples, UserError
from benchmark.contracts import IGNORE
from benchmark.data.loading import Arrays, Report, cached, stamps
from benchmark.data.locating import is_given
from benchmark.data.pictures import MAXIMUM_PIXELS
from benchmark.data.readers import fingerprint
from tasks.cross_modal.cards import (
    LABELLED,
    MAPPING_13,
    MAPPING_40,
    MAPPINGS,
    NYUV2_SIZE,
    SPLITS,
    nyuv2_folder,
)
from tasks.cross_modal.matlab import array, damaged, is_references, member, read_leaves, text
from tasks.cross_modal.rgbd_folder import modalities, sample, shrink

NUM_LABELS = 894
"""Classes that the file counts from 1; 0 is a pixel without a label."""

SCENES = (
    "bedroom", "kitchen", "living_room", "bathroom", "dining_room",
    "office", "home_office", "classroom", "bookstore", "other",
)  # fmt: skip
"""The nine most frequent kinds of room, and all others as one: the ten classes that the field's tables have
(Gupta et al., Indoor scene understanding with RGB-D images, IJCV 2015)."""

TEST_EVERY = 3
PAD = 6
MAXIMUM_IMAGES = 100_000
CHUNK_CACHE = 2**26
"""Bytes of decompressed chunks that HDF5 keeps, since a chunk may span several images."""

VERSION = 1


def load_scenes(request: Request) -> Data:
    """Scene classification: ten classes, a label per image. Raises UserError where the file is not there."""
    folder = nyuv2_folder(request)
    arrays = _arrays(folder, request)
    kinds = [str(each) for each in arrays["kinds"][arrays["index"]]]
    labels = [SCENES.index(each) if each in SCENES else SCENES.index("other") for each in kinds]
    return _data("nyuv2", folder, arrays, torch.tensor(labels), SCENES)


def load_segmentation(classes: int, request: Request) -> Data:
    """Semantic segmentation into 13 or 40 classes: labels [N, 96, 128], IGNORE for unlabelled pixels.

    Raises UserError that names the mapping file that is missing.
    """
    folder = nyuv2_folder(request)
    table, names = _mapping(folder, classes)
    arrays = _arrays(folder, request)
    labels = torch.from_numpy(table[arrays["labels"]])
    return _data(f"nyuv2_segmentation_{classes}", folder, arrays, labels, names)


def _arrays(folder: Path, request: Request) -> Arrays:
    """What `_decode` makes of the labelled file: the same for all of its datasets, so kept once."""
    file = folder / LABELLED
    identity = {"version": VERSION, "size": NYUV2_SIZE, "files": stamps([file], folder)}
    return cached(request, "nyuv2", identity, partial(_decode, file))


def _decode(file: Path, report: Report) -> Arrays:
    """The samples that can be used, image by image (the file has 2.8 GB).

    index           [N] their places in the file, from 0
    rgb             [N, 3, H, W] uint8
    depth           [N, 1, H, W] int16 millimetres, 0 where there is none
    labels          [N, H, W] int16, 0..894
    scenes, kinds   [all] strings such as kitchen_0004 and kitchen, of the samples left out too
    """
    found: dict[str, list] = {"index": [], "rgb": [], "depth": [], "labels": []}
    try:
        with h5py.File(file, rdcc_nbytes=CHUNK_CACHE) as content:
            _check(file, content)
            strings = {
                name: np.array([text(content, each) for each in array(content, key)[()].flatten()], np.str_)
                for name, key in (("scenes", "scenes"), ("kinds", "sceneTypes"))
            }
            for place, scene in enumerate(strings["scenes"]):
                values, problem = _sample(content, place)
                if problem:
                    report(f"{file}: image {place + 1} ({scene})", problem)
                    continue
                for name, value in {"index": np.int64(place), **values}.items():
                    found[name].append(value)
    except UserError:
        raise
    except Exception as error:
        raise damaged(file, "MATLAB 7.3 file", error) from error
    if not found["index"]:
        raise UserError(f"{file} holds no image that can be used")
    return {name: np.stack(values) for name, values in found.items()} | strings


def _check(file: Path, content: h5py.File) -> None:
    """UserError where a variable is missing or has another shape than published.

    Axes are MATLAB's in reverse: images [N, 3, columns, rows].
    """
    kinds = {
        "images": (4, "u"),
        "depths": (3, "f"),
        "labels": (3, "ui"),
        "scenes": (2, "O"),
        "sceneTypes": (2, "O"),
    }
    for name, (rank, kind) in kinds.items():
        variable = member(content, name)
        if not isinstance(variable, h5py.Dataset) or variable.ndim != rank:
            raise UserError(
                f"{file} has no variable {name!r} with {rank} axes: is it {LABELLED} as published?"
            )
        if variable.dtype.kind not in kind:
            raise UserError(f"{file}: {name} holds {variable.dtype}, not what is published")
    images = array(content, "images")
    if images.dtype != np.uint8:
        raise UserError(f"{file}: images holds {images.dtype}, not bytes")
    count, _, *plane = images.shape
    shapes = {
        "images": (count, 3, *plane),
        "depths": (count, *plane),
        "labels": (count, *plane),
        "scenes": (1, count),
        "sceneTypes": (1, count),
    }
    for name, shape in shapes.items():
        if (found := array(content, name).shape) != shape:
            raise UserError(f"{file}: {name} has the shape {found}, {shape} is expected")
    if count > MAXIMUM_IMAGES or not 0 < np.prod(plane, dtype=np.float64) <= MAXIMUM_PIXELS:
        raise UserError(f"{file}: {count:,} images of {plane[0]:,} x {plane[1]:,} pixels can't be meant")
    for name in ("scenes", "sceneTypes"):
        if not is_references(array(content, name)):
            raise UserError(f"{file}: {name} holds no strings")


def _sample(content: h5py.File, place: int) -> tuple[dict[str, np.ndarray], str]:
    """(rgb, depth, labels) of one image at `NYUV2_SIZE`, or what is wrong with it."""
    try:
        image, depth, labels = (array(content, name)[place] for name in ("images", "depths", "labels"))
    except OSError as error:
        return {}, f"can't be read ({error})"
    if not np.isfinite(depth).all():
        return {}, "its depth has values that are no numbers"
    if labels.max() > NUM_LABELS:
        return {}, f"it has the label {labels.max()}, above {NUM_LABELS}"
    if labels.min() < 0:
        return {}, f"it has the label {labels.min()}, below 0"
    # Metres that 16 bits of millimetres can't hold are cut off before they overflow.
    metres = np.clip(depth.T, 0, np.iinfo(np.int16).max)
    millimetres = np.clip(np.round(metres * 1000.0), 0, np.iinfo(np.int16).max).astype(np.int16)
    millimetres = sample(millimetres, NYUV2_SIZE)
    if not millimetres.any():
        return {}, "its depth is zero everywhere"
    return {
        "rgb": shrink(np.ascontiguousarray(image.transpose(2, 1, 0)), NYUV2_SIZE).transpose(2, 0, 1),
        "depth": millimetres[None],
        "labels": sample(labels.T.astype(np.int16), NYUV2_SIZE),
    }, ""


def _data(name: str, folder: Path, arrays: Arrays, labels: torch.Tensor, classes: tuple[str, ...]) -> Data:
    _, scenes = np.unique(arrays["scenes"], return_inverse=True)
    images = {each: torch.from_numpy(arrays[each]) for each in ("rgb", "depth")}
    samples = Samples(images, labels, torch.from_numpy(scenes.astype(np.int64)[arrays["index"]]))
    parts = {}
    for split, places in zip(("train", "test"), _split(folder, arrays["scenes"]), strict=True):
        chosen = np.flatnonzero(np.isin(arrays["index"], places))
        if not len(chosen):
            raise UserError(f"{folder / LABELLED} has no {split} image that can be used")
        parts[split] = samples.subset(torch.from_numpy(chosen))
    return Data(
        name=name,
        train=parts["train"],
        test=parts["test"],
        classes=classes,
        modalities=modalities(NYUV2_SIZE),
        fingerprint=fingerprint(parts),
        synthetic=False,
        pad=PAD,
        flip=True,
    )


def _split(folder: Path, scenes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the training and of the test images, from 0.

    The official ones of splits.mat; without it every third scene (kitchen_0004 is one), in the order of their
    names, is for testing, so that no scene is torn apart.
    """
    file = folder / SPLITS
    if not is_given(file):
        tested = np.isin(scenes, np.unique(scenes)[TEST_EVERY - 1 :: TEST_EVERY])
        return np.flatnonzero(~tested), np.flatnonzero(tested)
    leaves = read_leaves(file)
    for name in ("trainNdxs", "testNdxs"):
        if name not in leaves or not leaves[name].size:
            raise UserError(f"{file} has no variable {name}, or an empty one: fetch it again")
    train, test = (_whole(file, name, leaves[name]) - 1 for name in ("trainNdxs", "testNdxs"))
    places = np.concatenate([train, test])
    if places.min() < 0 or places.max() >= len(scenes):
        raise UserError(f"{file} names images outside 1..{len(scenes)}, which {folder / LABELLED} has")
    if len(np.unique(places)) < len(places):
        raise UserError(f"{file} names an image twice: train and test must be apart")
    return train, test


def _mapping(folder: Path, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class of each of the file's labels 0..894 (int64 [895], IGNORE where it has none), and the names.

    Into 13 classes it goes by way of the 40, or at once where the file has a number for each label.
    """
    files = MAPPING_40 if classes == 40 else MAPPING_13
    vector, names = _read_mapping(folder, files, classes)
    if len(vector) != NUM_LABELS:
        to_40, _ = _read_mapping(folder, MAPPING_40, 40)
        vector = np.concatenate([[0], vector])[to_40]
    return np.concatenate([[0], vector]) + IGNORE, names


def _read_mapping(folder: Path, files: tuple[str, ...], classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers 0..classes (0: none) of the 894 labels or 40 classes, and the classes' names.

    What the variables are called doesn't matter: a vector of 894 numbers (or, for 13 classes, of 40) and a
    list of as many strings as there are classes are looked for; without such a list the classes are numbered.
    """
    file = next((folder / each for each in files if is_given(folder / each)), None)
    if file is None:
        raise UserError(f"{folder / files[0]} is missing; segmentation needs {MAPPINGS[classes]}")
    leaves = read_leaves(file)
    lengths = (NUM_LABELS,) if classes == 40 else (NUM_LABELS, 40)
    vectors = [each for each in leaves.values() if each.dtype.kind in "buif" and len(each) in lengths]
    if not vectors:
        raise UserError(f"{file} has no vector of {' or '.join(map(str, lengths))} numbers: fetch it again")
    vector = _whole(file, "its vector of classes", vectors[0])
    if vector.min() < 0 or vector.max() > classes:
        raise UserError(f"{file}: its classes are {vector.min()}..{vector.max()}, 0..{classes} are expected")
    names = [each for each in leaves.values() if each.dtype.kind == "U" and len(each) == classes]
    numbered = [f"class {number}" for number in range(1, classes + 1)]
    return vector, tuple(str(name) for name in (names[0] if names else numbered))


def _whole(file: Path, name: str, vector: np.ndarray) -> np.ndarray:
    """A vector as int64. Raises UserError where it holds what is no whole number."""
    with np.errstate(invalid="ignore"):
        whole = vector.astype(np.int64)
    if vector.dtype.kind not in "buif" or not np.array_equal(whole, vector):
        raise UserError(f"{file}: {name} holds what is no whole number: fetch it again")
    return whole
