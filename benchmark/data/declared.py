"""Whether a loaded dataset is what it and its card declare; only what is in memory is looked at."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.contracts import IGNORE, Data, DatasetCard, Modality, Samples, Stored
from benchmark.errors import UserError

BYTE = 255


def check_declared(dataset: str, data: Data, card: DatasetCard, say: Callable[[str], None]) -> None:
    """Raises UserError where samples, modalities, classes and card contradict each other.

    say   gets a line on bytes that no scale brings to the networks' scale
    """
    for name, modality in data.modalities.items():
        known = card.shapes.get(name, modality.shape)
        if tuple(known) != tuple(modality.shape):
            raise UserError(
                f"{dataset}: {name} has the shape {_shape(modality.shape)} in its Modality, and "
                f"{_shape(known)} on the dataset's card: mend one of them"
            )
    for split, samples in (("train", data.train), ("test", data.test)):
        place = f"{dataset}, {split} samples"
        _check_labels(place, samples, len(data.classes))
        if missing := sorted(data.modalities.keys() - samples.names):
            raise UserError(f"{place}: {missing[0]} is declared, and missing: give it, or don't declare it")
        if isinstance(samples.modalities, Stored):
            _check_length(f"{place}: the list of rows", samples.modalities.rows, len(samples))
            continue
        for name, modality in data.modalities.items():
            _check_values(f"{place}: {name}", samples.modalities[name], modality, len(samples))
    for name, modality in data.modalities.items():
        if _unscaled(data.train, name, modality):
            say(
                f"warning: {dataset}: {name} is bytes, with scale=1 and a std of at most 1: networks see "
                "values in the hundreds; give its Modality scale=255"
            )


def _check_labels(place: str, samples: Samples, classes: int) -> None:
    labels = samples.labels
    _check_tensor(f"{place}: labels", labels)
    if labels.dtype != torch.int64:
        raise UserError(f"{place}: labels are {_dtype(labels)}: give whole numbers, int64")
    if samples.groups is not None:
        _check_tensor(f"{place}: groups", samples.groups)
        _check_length(f"{place}: groups", samples.groups, len(labels))
    if not labels.numel():
        return
    least, most = (int(each) for each in labels.aminmax())
    if least < IGNORE or most >= classes:
        wrong = least if least < IGNORE else most
        raise UserError(
            f"{place}: a label is {wrong}, with {classes} classes: give 0 to {classes - 1}, "
            f"or {IGNORE} for none"
        )


def _check_values(place: str, x: Tensor, modality: Modality, count: int) -> None:
    _check_tensor(place, x)
    _check_length(place, x, count)
    if tuple(x.shape[1:]) != tuple(modality.shape):
        raise UserError(
            f"{place} has samples of the shape {_shape(x.shape[1:])}, and its Modality says "
            f"{_shape(modality.shape)}: mend one of them"
        )
    # The extremes tell of both without a copy: a NaN is passed on, and infinities are extreme.
    if x.is_floating_point() and x.numel() and not all(end.isfinite() for end in x.aminmax()):
        row = next(row for row, sample in enumerate(x) if not sample.isfinite().all())
        raise UserError(f"{place} of sample {row} is not finite: mend it, or leave the sample out")


def _check_tensor(place: str, x: object) -> None:
    if not isinstance(x, Tensor):
        raise UserError(f"{place}: {type(x).__module__}.{type(x).__name__} given: give a torch tensor")


def _check_length(place: str, x: Tensor, count: int) -> None:
    if len(x) != count:
        raise UserError(f"{place} has {len(x)} samples, and there are {count} labels: give one for each")


def _unscaled(samples: Samples, name: str, modality: Modality) -> bool:
    """Whether networks would see bytes by the hundred: not 0 and 1, nor with statistics of bytes."""
    if isinstance(samples.modalities, Stored) or modality.scale != 1 or max(modality.std, default=BYTE) > 1:
        return False
    x = samples.modalities[name]
    return x.dtype == torch.uint8 and bool(x.numel()) and int(x.max()) > 1


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
