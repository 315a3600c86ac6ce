"""Teacher checkpoints: published weights into a network, or one line that says why not."""

from __future__ import annotations

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.checksums import AlteredFile, open_checked
from benchmark.errors import UserError, reason_of
from benchmark.reading import check_regular
from benchmark.records import RECORD, CorruptRecord, read_record, read_teacher_record

WRAPPERS = ("model", "state_dict", "model_state_dict", "net")
"""The keys under which training scripts keep the weights."""

_NUMPY_SCALAR = np.float64(0).__reduce__()[0]

HARMLESS = [
    argparse.Namespace,
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
]
"""What published checkpoints hold beside tensors (options, an accuracy): plain values, no code."""


def load_checkpoint(network: nn.Module, path: Path | str) -> None:
    """Loads the weights in `path` into `network`, in place.

    path   a .safetensors file, or a torch file: a bare state dict, or a dict with one under `model`,
           `state_dict`, `model_state_dict` or `net`; a `module.` prefix is dropped; an adapted
           network, with its weights under `model.`, takes the library's own names too

    Raises UserError for a file that is missing or unreadable, for weights of ours that are not those which
    the record beside them tells of, for the first key or shape that does not fit, and for the first tensor
    that is of another kind, or not finite; the network is unchanged then.
    """
    path = Path(path)
    weights = read_checkpoint(path)
    own = network.state_dict()
    if all(key.startswith("model.") for key in own) and not any(key.startswith("model.") for key in weights):
        weights = {f"model.{key}": value for key, value in weights.items()}
    # Checkpoints older than torch 0.4.1 have no batch counters; only norms without momentum use them.
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    weights = {**counters, **weights}
    mismatch = _first_mismatch(weights, own)
    if mismatch:
        raise UserError(
            f"{path} does not fit this network: {mismatch}; "
            "choose the architecture, the number of classes and the input channels it was trained with"
        )
    try:
        if fault := _first_fault(weights, own):
            raise UserError(f"{path}: {fault}: give a checkpoint of a training that ended well")
        network.load_state_dict(weights)
    except RuntimeError as error:  # numbers of eight bits and fewer, with which torch can do next to nothing
        raise UserError(f"{path} can't be loaded ({reason_of(error)}): save float32 weights") from error


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint file by name. Raises UserError for one that is missing or unreadable."""
    return _without_prefix(_weights(_read(path), path))


def _read(path: Path) -> Any:
    """The content of a checkpoint file, on the CPU."""
    check_regular(path, f"no checkpoint at {path}", "give the path of a .safetensors, .pth or .pt file")
    if path.suffix == ".safetensors":
        _check_recorded(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_archive(path)
        with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings():
            # Of old pickles and sparse tensors: they load, or are refused here.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} is no checkpoint, or holds more than weights: give a file made with "
            "torch.save(model.state_dict(), ...)"
        ) from None
    except Exception as error:  # what a damaged file makes of the readers' code is not foreseeable
        raise UserError(
            f"can't read the checkpoint {path} ({reason_of(error)}): fetch or save it again"
        ) from None


def _check_archive(path: Path) -> None:
    """Raises ValueError for a torch file (a zip archive that compresses nothing) that is damaged, or a bomb.

    torch checks no checksum: a flipped bit would be another weight.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
        if declared > path.stat().st_size:
            raise ValueError(f"its parts would have {declared:,} bytes, more than the file")
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")


def _check_recorded(path: Path) -> None:
    """Raises UserError for weights in a run folder that are not the ones which its run left."""
    files: dict[str, str] = {}
    for read in (read_record, read_teacher_record):
        with suppress(CorruptRecord):  # it is of the other kind, or none of ours
            record = read(path.parent / RECORD)
            files |= (record and record.files) or {}
    if path.name in files:
        try:
            stream = open_checked(path, files)
        except AlteredFile as altered:
            raise UserError(f"{path.parent}: {altered}") from None
        if stream is not None:
            stream.close()


def _weights(content: Any, path: Path) -> Mapping[str, Tensor]:
    """The state dict in a checkpoint's content."""
    if isinstance(content, Mapping):
        candidates = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        for weights in (*candidates, content):
            if weights and all(isinstance(value, Tensor) for value in weights.values()):
                _check_plain(weights, path)
                return weights
    raise UserError(
        f"{path} holds no weights: give a state dict, bare or under {', '.join(map(repr, WRAPPERS[:-1]))} "
        f"or {WRAPPERS[-1]!r}"
    )


def _check_plain(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises UserError for a tensor that is not simply numbers in memory, as many as the file has."""
    size = path.stat().st_size
    for key, value in weights.items():
        kind = "nested" if value.is_nested else "complex" if value.is_complex() else ""
        if value.layout != torch.strided:
            kind = str(value.layout).removeprefix("torch.")
        elif value.device.type != "cpu":
            kind = f"{value.device.type} (without its numbers)"
        elif not kind and value.numel() * value.element_size() > size:
            kind = f"larger than the file, {tuple(value.shape)}"
        if kind:
            raise UserError(f"{path}: the tensor {key} is {kind}: save plain tensors, on the CPU")


def _first_fault(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The first tensor, in the network's order, that is of another kind than the network's, or not finite."""
    for key, expected in own.items():
        value = weights[key]
        if expected.is_floating_point() and not value.is_floating_point():
            return (
                f"the weights {key} are {str(value.dtype).removeprefix('torch.')}, no floating point numbers"
            )
        if value.is_floating_point() and not bool(value.float().isfinite().all()):
            return f"the weights {key} are not all finite numbers"
    return ""


def _without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drops the `module.` that data-parallel training puts before every key."""
    return {str(key).removeprefix("module."): value for key, value in weights.items()}


def _first_mismatch(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """The first key that differs, in the network's order, with its shape in the file and the one expected."""
    for key, expected in own.items():
        if key not in weights:
            return f"{key} is missing in the file, expected {tuple(expected.shape)}"
        if weights[key].shape != expected.shape:
            return f"{key} is {tuple(weights[key].shape)} in the file, expected {tuple(expected.shape)}"
    for key, value in weights.items():
        if key not in own:
            return f"{key} is {tuple(value.shape)} in the file, expected no such key"
    return None
