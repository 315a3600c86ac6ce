"""What a reader gives is what it declares: told in one line that names the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import Data, Modality, Request, Samples, UserError
from benchmark.data.declared import check_declared
from benchmark.data.facts import load_dataset
from benchmark.data.readers import fingerprint
from tests.test_bad_input import refused
from tests.tiny_task import TinySenses, sensed_data


def changed(data: Data, **modalities: Any) -> Data:
    """With other values of these modalities in the train samples."""
    assert isinstance(data.train.modalities, dict)
    return replace(data, train=replace(data.train, modalities=data.train.modalities | modalities))


def labelled(data: Data, labels: Any) -> Data:
    return replace(data, test=replace(data.test, labels=labels))


def declared(data: Data, **modalities: Modality) -> Data:
    return replace(data, modalities={**data.modalities, **modalities})


def with_infinity(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[3, 1, 2] = torch.inf
    x[5, 0, 0] = torch.nan
    return x


def signal(data: Data) -> torch.Tensor:
    assert isinstance(data.train.modalities, dict)
    return data.train.modalities["signal"]


MISTAKES: list[tuple[str, Callable[[Data], Data], str]] = [
    (
        "senses",
        lambda data: declared(data, signal=Modality((3, 8), (0.0,), (1.0,))),
        "train samples: signal has samples of the shape (2, 8), and its Modality says (3, 8)",
    ),
    (
        "senses",
        lambda data: changed(data, signal=signal(data)[:-1]),
        "train samples: signal has 95 samples, and there are 96 labels",
    ),
    (
        "senses",
        lambda data: changed(data, signal=signal(data).numpy()),
        "train samples: signal: numpy.ndarray given: give a torch tensor",
    ),
    (
        "senses",
        lambda data: changed(data, signal=with_infinity(signal(data))),
        "train samples: signal of sample 3 is not finite",
    ),
    (
        "senses",
        lambda data: declared(data, sound=Modality((2, 8), (0.0,), (1.0,))),
        "train samples: sound is declared, and missing",
    ),
    (
        "senses",
        lambda data: labelled(data, data.test.labels + 1),
        "test samples: a label is 6, with 6",
    ),
    ("senses", lambda data: labelled(data, data.test.labels - 2), "test samples: a label is -2"),
    ("senses", lambda data: labelled(data, data.test.labels.float()), "test samples: labels are float32"),
    ("senses", lambda data: labelled(data, data.test.labels.numpy()), "test samples: labels: numpy.ndarray"),
    ("senses", lambda data: labelled(data, data.test.labels[:-1]), "test samples: groups has 60 samples"),
    (
        "masks",
        lambda data: labelled(data, data.test.labels + 252),
        "test samples: a label is 255",
    ),
    (
        "blind",
        lambda data: labelled(data, data.test.labels + 1),
        "test samples: a label is 0",
    ),
]


@pytest.mark.parametrize(("name", "mistake", "told"), MISTAKES, ids=[told for *_, told in MISTAKES])
def test_samples_that_contradict_their_dataset_are_refused(
    name: str, mistake: Callable[[Data], Data], told: str
) -> None:
    card, says = TinySenses().datasets()[name], []
    check_declared(name, sensed_data(name), card, says.append)
    with pytest.raises(UserError) as refusal:
        check_declared(f"dataset {name}", mistake(sensed_data(name)), card, says.append)
    assert str(refusal.value).startswith(f"dataset {name}, {told}")
    assert says == []


def test_a_card_that_contradicts_its_dataset_is_refused_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = TinySenses().datasets()
    wrong = cards | {"senses": replace(cards["senses"], shapes={"signal": (2, 4)})}
    monkeypatch.setattr(TinySenses, "datasets", lambda self: wrong)
    line = refused(capsys, "--tasks", "tiny_senses", "--results-dir", str(tmp_path))
    assert "senses of task tiny_senses: signal has the shape (2, 8) in its Modality, and (2, 4)" in line


def test_a_reader_that_gives_no_data_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {"senses": replace(TinySenses().datasets()["senses"], load=lambda request: None)}
    monkeypatch.setattr(TinySenses, "datasets", lambda self: cards)
    with pytest.raises(UserError, match="senses of task tiny_senses: its reader gave NoneType, no Data"):
        load_dataset(TinySenses(), "senses", Request())


@pytest.mark.parametrize(
    ("modality", "warned"),
    [
        (Modality((3, 8, 8), (0.5,) * 3, (0.25,) * 3), True),
        (Modality((3, 8, 8), (0.5,) * 3, (0.25,) * 3, scale=255.0), False),
        (Modality((3, 8, 8), (127.0,) * 3, (64.0,) * 3), False),
    ],
)
def test_bytes_without_a_scale_are_told_of(modality: Modality, warned: bool) -> None:
    says: list[str] = []
    check_declared(
        "dataset senses",
        declared(sensed_data("senses"), rgb=modality),
        TinySenses().datasets()["senses"],
        says.append,
    )
    assert [("rgb is bytes" in line and "scale=255" in line) for line in says] == [True] * warned


def test_arrays_of_numpy_have_a_fingerprint_so_that_their_dataset_can_be_named() -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    x = torch.randn(3, 2)
    assert fingerprint({"train": Samples({"x": x}, labels)})
    assert fingerprint({"train": Samples({"x": x.numpy()}, labels.numpy())})  # pyright: ignore[reportArgumentType]
