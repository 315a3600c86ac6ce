"""Samples on disk: the same batches as from memory, whoever reads them and wherever an epoch goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from benchmark import Data, Modality, Samples, Source, Stored
from benchmark.data.batches import TrainStream, in_order
from benchmark.data.feed import read_all
from benchmark.errors import UserError
from tests import tiny_task
from tests.command import numbers, records, run
from tests.tiny_task import sensed_samples, tiny_data

CPU = torch.device("cpu")
WORKERS = pytest.mark.parametrize("workers", [0, 1, 3])


@dataclass(frozen=True)
class Kept(Source):
    """Reads what a test holds in memory; `shift` adds a random whole number to each sample that is drawn."""

    modalities: Mapping[str, Tensor]
    shift: bool = False
    damaged: int = -1

    def read(self, row: int, names: frozenset[str], draw: Generator | None) -> Mapping[str, Tensor]:
        if row == self.damaged:
            raise UserError(f"{row}.png can't be decoded: mend or remove it")
        more = int(torch.randint(1, 50, (), generator=draw)) if self.shift and draw is not None else 0
        return {name: self.modalities[name][row] + more for name in names}


def on_disk(samples: Samples, workers: int, **options) -> Samples:
    """The same samples, told to be on disk, in another order of rows there."""
    assert not isinstance(samples.modalities, Stored)
    places = torch.randperm(len(samples), generator=torch.Generator().manual_seed(1))
    held = {name: x[places] for name, x in samples.modalities.items()}
    source = Kept(held, **options)
    return replace(samples, modalities=Stored(source, frozenset(held), places.argsort(), workers))


def stream(samples: Samples, data: Data, names: tuple[str, ...], labelled: float = 1.0) -> TrainStream:
    chosen = torch.arange(len(samples)) < labelled * len(samples)
    return TrainStream(data, samples, chosen, 16, 5, CPU, names)


def equal(ours: Iterator[Mapping[str, Tensor]], theirs: Iterator[Mapping[str, Tensor]]) -> bool:
    return all(
        one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        for one, other in zip(ours, theirs, strict=True)
    )


@WORKERS
@pytest.mark.parametrize("labelled", [1.0, 0.2])
def test_any_number_of_workers_gives_the_batches_of_samples_in_memory(workers: int, labelled: float) -> None:
    data = tiny_data()
    chosen = torch.arange(len(data.train))[::3]
    memory, disk = (each.subset(chosen) for each in (data.train, on_disk(data.train, workers)))
    ours, theirs = (stream(each, data, ("rgb",), labelled) for each in (disk, memory))
    for epoch in (0, 1):
        assert equal(ours.epoch(epoch), theirs.epoch(epoch))
    assert equal(in_order(data, disk, ["rgb"], CPU, 7), in_order(data, memory, ["rgb"], CPU, 7))
    assert torch.equal(read_all(disk)["rgb"], read_all(memory)["rgb"])


@WORKERS
def test_second_views_of_samples_on_disk_are_those_of_samples_in_memory(workers: int) -> None:
    data = tiny_data()
    pairs = zip(
        *(stream(each, data, ("rgb",)).steps(0) for each in (on_disk(data.train, workers), data.train)),
        strict=True,
    )
    for ours, theirs in pairs:
        for view in ("strong", "rotated"):
            assert torch.equal(ours.second(view)["rgb"], theirs.second(view)["rgb"])


@WORKERS
def test_crops_depend_on_sample_epoch_and_seed_and_an_epoch_goes_on_anywhere(workers: int) -> None:
    data = replace(tiny_data(), pad=0, flip=False)
    reference, samples = (on_disk(data.train, count, shift=True) for count in (0, workers))
    whole = [list(stream(reference, data, ("rgb",)).epoch(epoch)) for epoch in (0, 1)]
    for first in (0, 4, 14):
        rest = [step.batch for step in stream(samples, data, ("rgb",)).steps(1, first)]
        assert equal(iter(rest), iter(whole[1][first:]))
    drawn = [
        {
            int(row): float(x.sum())
            for batch in epoch
            for row, x in zip(batch["index"], batch["rgb"], strict=True)
        }
        for epoch in whole
    ]
    assert drawn[0].keys() == drawn[1].keys()
    changed = sum(drawn[0][row] != drawn[1][row] for row in drawn[0])
    assert changed > 0.9 * len(drawn[0]), "each epoch draws anew"
    plain = torch.cat([batch["rgb"] for batch in in_order(data, samples, ["rgb"], CPU)])
    memory = torch.cat([batch["rgb"] for batch in in_order(data, data.train, ["rgb"], CPU)])
    assert torch.equal(plain, memory), "evaluation sees samples as they are"


def test_a_labelled_sample_that_comes_round_again_in_an_epoch_is_cropped_anew() -> None:
    data = replace(tiny_data(), pad=0, flip=False)
    crops: dict[int, list[float]] = {}
    for batch in stream(on_disk(data.train, 0, shift=True), data, ("rgb",), labelled=0.03).epoch(0):
        for row, x in zip(batch["index"][batch["labelled"]], batch["rgb"][batch["labelled"]], strict=True):
            crops.setdefault(int(row), []).append(float(x.sum()))
    assert min(map(len, crops.values())) > 3
    assert min(len(set(each)) for each in crops.values()) > 1


def test_a_modality_that_nobody_sees_is_not_read_and_one_crop_serves_all() -> None:
    samples = sensed_samples(48, 0)
    seen: list[frozenset[str]] = []

    @dataclass(frozen=True)
    class Watched(Kept):
        def read(self, row: int, names: frozenset[str], draw: Generator | None) -> Mapping[str, Tensor]:
            seen.append(names)
            return super().read(row, names, draw)

    held = dict(samples.modalities)
    stored = Stored(Watched(held, shift=True), frozenset(held), torch.arange(48))
    plain = Modality((), (0.0,), (1.0,), spatial=False)
    modalities = {name: replace(plain, shape=tuple(x.shape[1:])) for name, x in held.items()}
    data = replace(tiny_data(), modalities=modalities, pad=0, flip=False)
    made = stream(replace(samples, modalities=stored), data, ("signal", "volume"))
    for batch in made.epoch(0):
        added = [batch[name] - held[name][batch["index"]] for name in ("signal", "volume")]
        assert torch.allclose(added[0].flatten(1)[:, 0], added[1].flatten(1)[:, 0], atol=1e-4)
        assert (added[0].flatten(1)[:, 0] >= 0.9).all()
    assert set(seen) == {frozenset(("signal", "volume"))}


@WORKERS
def test_a_sample_that_can_not_be_read_is_one_line(workers: int) -> None:
    data = tiny_data()
    made = stream(on_disk(data.train, workers, damaged=7), data, ("rgb",))
    with pytest.raises(UserError) as caught:
        list(made.epoch(0))
    assert str(caught.value) == "7.png can't be decoded: mend or remove it"


@WORKERS
def test_reading_leaves_the_random_state_of_torch_alone(workers: int) -> None:
    data = tiny_data()
    before = torch.get_rng_state()
    list(stream(on_disk(data.train, workers, shift=True), data, ("rgb",)).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("workers", "more"), [(0, ("--corruptions",)), (2, ())])
def test_a_command_on_samples_from_disk_leaves_the_numbers_of_one_in_memory(
    workers: int, more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--label-fraction", "0.5", *more)
    names = ("kd", "crd", "wcord", "mlkd")
    assert run(tmp_path / "memory", *arguments, baselines=names, probes=True) == 0

    def stored(name: str = "stripes") -> Data:
        data = tiny_data(name)
        return replace(data, train=on_disk(data.train, workers), test=on_disk(data.test, workers))

    monkeypatch.setattr(tiny_task, "tiny_data", stored)
    assert run(tmp_path / "disk", *arguments, baselines=names, probes=True) == 0
    ours, theirs = records(tmp_path / "disk"), records(tmp_path / "memory")
    assert ours.keys() == theirs.keys()
    for slug, record in ours.items():
        assert record.status == "finished", record.reason
        assert numbers(record) == numbers(theirs[slug])
        assert record.files == theirs[slug].files, "weights, arrays and history, to the byte"
