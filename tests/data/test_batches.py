"""Batches: order, labelled share, augmentation, scale."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from benchmark import Data, Modality, Samples
from benchmark.contracts import IGNORE
from benchmark.data.batches import TrainStream, in_order, normalise, shift_and_flip
from tests.tiny_task import tiny_data

DATA = tiny_data()
CPU = torch.device("cpu")
ALL = torch.ones(len(DATA.train), dtype=torch.bool)


def stream(labelled: torch.Tensor = ALL, seed: int = 0, batch_size: int = 32) -> TrainStream:
    return TrainStream(DATA, DATA.train, labelled, batch_size, seed, CPU, DATA.modalities)


def test_an_epoch_shows_samples_once_and_leaves_out_the_last_partial_batch() -> None:
    batches = list(stream().epoch(0))
    seen = torch.cat([batch["index"] for batch in batches])
    assert len(batches) == stream().steps_per_epoch == 7
    assert len(seen.unique()) == len(seen) == 224


def test_any_epoch_can_be_drawn_without_those_before_it() -> None:
    straight = stream()
    for _ in range(3):
        expected = list(straight.epoch(2))
    again = list(stream().epoch(2))
    for one, other in zip(expected, again, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_epochs_and_seeds_differ() -> None:
    first = next(stream().epoch(0))["index"]
    assert not first.equal(next(stream().epoch(1))["index"])
    assert not first.equal(next(stream(seed=1).epoch(0))["index"])


@pytest.mark.parametrize(("batch_size", "least"), [(2, 1), (10, 3), (18, 5), (32, 8), (64, 16)])
def test_a_quarter_of_labelled_samples_is_never_less_than_one(batch_size: int, least: int) -> None:
    labelled = torch.arange(len(DATA.train)) < 3
    batches = stream(labelled, batch_size=batch_size).epoch(0)
    assert {int(batch["labelled"].sum()) for batch in batches} == {least}


def test_batches_hold_a_quarter_of_labelled_samples_when_labels_are_few() -> None:
    labelled = torch.zeros(len(DATA.train), dtype=torch.bool)
    labelled[torch.randperm(len(labelled))[:12]] = True
    few = stream(labelled)
    batches = list(few.epoch(0))
    assert all(int(batch["labelled"].sum()) == 8 for batch in batches)
    assert all(len(batch["index"]) == 32 for batch in batches)
    unlabelled = torch.cat([batch["index"][~batch["labelled"]] for batch in batches])
    assert len(unlabelled.unique()) == len(unlabelled)
    pool = torch.cat([batch["index"][batch["labelled"]] for batch in batches])
    counts = torch.bincount(pool)[labelled]
    assert counts.max() - counts.min() <= 1


def test_the_share_of_labelled_samples_is_kept_when_it_is_more_than_a_quarter() -> None:
    labelled = torch.arange(len(DATA.train)) % 2 == 0
    assert all(int(batch["labelled"].sum()) == 16 for batch in stream(labelled).epoch(0))


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 120, 200, 237, 238, 239])
def test_any_number_of_labels_gives_full_batches_and_about_one_pass(count: int) -> None:
    labelled = torch.zeros(len(DATA.train), dtype=torch.bool)
    labelled[torch.randperm(len(labelled))[:count]] = True
    few = stream(labelled)
    batches = list(few.epoch(0))
    assert len(batches) == few.steps_per_epoch
    assert 7 <= len(batches) <= 10
    assert all(len(batch["index"]) == 32 for batch in batches)
    assert all(8 <= int(batch["labelled"].sum()) <= 31 for batch in batches)


def test_without_any_label_every_sample_is_shown_once_all_the_same() -> None:
    batches = list(stream(~ALL).epoch(0))
    assert all(len(batch["index"]) == 32 and not bool(batch["labelled"].any()) for batch in batches)
    seen = torch.cat([batch["index"] for batch in batches])
    assert len(batches) == 7
    assert len(seen.unique()) == len(seen)


def test_labelled_samples_come_round_in_another_order_each_time() -> None:
    labelled = torch.arange(len(DATA.train)) < 8
    rounds = [batch["index"][batch["labelled"]].tolist() for batch in stream(labelled).epoch(0)]
    assert all(sorted(each) == list(range(8)) for each in rounds)
    assert len(set(map(tuple, rounds))) == len(rounds)


def test_crop_and_flip_do_what_torchvision_does_sample_by_sample() -> None:
    x = torch.arange(2 * 1 * 5 * 6, dtype=torch.float32).view(2, 1, 5, 6)
    shift, flip = torch.tensor([[0, 3], [2, 1]]), torch.tensor([True, False])
    moved = shift_and_flip(x, 2, shift, flip)
    for number in range(2):
        top, left = int(shift[0, number]), int(shift[1, number])
        expected = F.pad(x[number], (2, 2, 2, 2))[:, top : top + 5, left : left + 6]
        assert moved[number].equal(expected.flip(2) if flip[number] else expected)


def test_every_place_in_the_padded_image_is_drawn_as_often_as_any_other() -> None:
    data = dataclasses.replace(DATA, pad=2)
    source = TrainStream(data, data.train, ALL, 32, 0, CPU, data.modalities)
    shift, flip = source._draw_geometry(5000, torch.Generator().manual_seed(0))
    assert shift is not None
    assert flip is not None
    for offsets in shift:
        counts = offsets.bincount(minlength=5)
        assert len(counts) == 5
        assert int((counts - 1000).abs().max()) < 150
    assert float(flip.float().mean()) == pytest.approx(0.5, abs=0.03)


def test_all_modalities_of_a_sample_move_alike() -> None:
    grid = torch.arange(64, dtype=torch.float32).view(1, 1, 8, 8).expand(64, 1, 8, 8)
    plain = Modality((1, 8, 8), (0.0,), (1.0,))
    data = dataclasses.replace(
        DATA,
        train=Samples({"rgb": grid, "depth": grid.clone()}, torch.zeros(64, dtype=torch.int64)),
        modalities={"rgb": plain, "depth": plain},
        pad=3,
    )
    batch = next(
        TrainStream(data, data.train, torch.ones(64, dtype=torch.bool), 64, 0, CPU, data.modalities).epoch(0)
    )
    assert batch["rgb"].equal(batch["depth"])
    assert not batch["rgb"].equal(grid)


def test_scale_is_that_of_torchvision_normalise() -> None:
    modality = Modality((3, 8, 8), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), scale=255.0)
    x = DATA.train.modalities["rgb"][:5]
    expected = (x / 255 - torch.tensor(modality.mean).view(3, 1, 1)) / torch.tensor(modality.std).view(
        3, 1, 1
    )
    torch.testing.assert_close(normalise(x, modality), expected)


def test_evaluation_reads_every_sample_once_in_order_and_unaugmented() -> None:
    batches = list(in_order(DATA, DATA.test, DATA.modalities, CPU, batch_size=50))
    assert torch.cat([batch["index"] for batch in batches]).equal(torch.arange(120))
    shown = torch.cat([batch["rgb"] for batch in batches])
    assert shown.equal(normalise(DATA.test.modalities["rgb"], DATA.modalities["rgb"]))


def test_reading_leaves_the_samples_as_they_were() -> None:
    floats = dataclasses.replace(
        DATA, train=Samples({"rgb": DATA.train.modalities["rgb"].float()}, DATA.train.labels)
    )
    before = floats.train.modalities["rgb"].clone()
    list(TrainStream(floats, floats.train, ALL, 32, 0, CPU, floats.modalities).epoch(0))
    list(in_order(floats, floats.train, floats.modalities, CPU))
    assert floats.train.modalities["rgb"].equal(before)


def coordinate_data(count: int, height: int, width: int, frames: int) -> Data:
    """Every pixel of every modality, and of the mask, says where it comes from (row, column), from 1 on."""
    rows, columns = torch.meshgrid(torch.arange(1, height + 1), torch.arange(1, width + 1), indexing="ij")
    place = (rows * 100 + columns).expand(count, height, width)
    modalities = {
        "rgb": place[:, None].expand(-1, 3, -1, -1).to(torch.int16),
        "depth": place[:, None].float(),
        "video": place[:, None, None].expand(-1, 2, frames, -1, -1).to(torch.int16),
        "sound": torch.ones(count, 4, 9),
    }
    samples = Samples(modalities, place.contiguous())
    shapes = {name: tuple(x.shape[1:]) for name, x in modalities.items()}
    described = {
        name: Modality(shape, (0.0,) * shape[0], (1.0,) * shape[0], spatial=name != "sound")
        for name, shape in shapes.items()
    }
    classes = tuple(map(str, range(int(place.max()) + 1)))
    return Data("coordinates", samples, samples, classes, described, "c", True, pad=3, flip=True)


def test_the_same_crop_and_flip_hit_every_modality_and_the_mask() -> None:
    data = coordinate_data(32, 8, 11, frames=3)
    stream = TrainStream(data, data.train, torch.ones(32, dtype=torch.bool), 32, 0, CPU, data.modalities)
    kept = set()
    for batch in stream.epoch(0):
        inside = batch["depth"][:, 0] > 0
        assert torch.equal(batch["label"], torch.where(inside, batch["depth"][:, 0].long(), IGNORE))
        for channel in range(3):
            assert torch.equal(batch["rgb"][:, channel], batch["depth"][:, 0])
        for channel in range(2):
            for frame in range(3):
                assert torch.equal(batch["video"][:, channel, frame], batch["depth"][:, 0])
        assert torch.equal(batch["sound"], torch.ones(32, 4, 9))
        for sample in batch["depth"][:, 0]:
            there = sample[sample > 0].long()
            mirrored = bool((sample[4].diff()[(sample[4] > 0)[1:] & (sample[4] > 0)[:-1]] < 0).all())
            kept.add((int(there.min()), int(there.max()), mirrored))
    # Shifts and mirrors really vary, independently of each other.
    assert len(kept) > 15
    assert {mirrored for *_, mirrored in kept} == {True, False}


def test_evaluation_reads_no_modality_but_those_it_names() -> None:
    data = coordinate_data(6, 8, 8, frames=2)
    bare = Samples({"sound": data.test.modalities["sound"]}, data.test.labels)
    (batch,) = in_order(data, bare, ("sound",), CPU)
    assert batch.keys() == {"index", "label", "labelled", "sound"}


def test_training_prepares_only_what_somebody_sees_with_the_same_draws() -> None:
    data = coordinate_data(32, 8, 11, frames=3)
    labelled = torch.ones(32, dtype=torch.bool)
    all_of_it, depth = (
        next(TrainStream(data, data.train, labelled, 16, 0, CPU, names).epoch(1))
        for names in (data.modalities, ("depth",))
    )
    assert set(all_of_it) - set(depth) == {"rgb", "video", "sound"}
    assert all(torch.equal(depth[name], all_of_it[name]) for name in depth)
