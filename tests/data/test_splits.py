"""Splits: who sees which sample."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmark import Samples, UserError
from benchmark.checksums import content_checksum
from benchmark.contracts import IGNORE
from benchmark.data.split_settings import SplitSettings
from benchmark.data.splits import make_splits, splits_of, stratified_order
from tests.tiny_task import CLASSES, tiny_data

DATA = tiny_data()


def members(index: torch.Tensor) -> set[int]:
    return set(index.tolist())


def test_every_prefix_of_the_stratified_order_has_the_classes_in_proportion() -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    order = stratified_order(labels, 3)
    assert members(order) == set(range(100))
    for length in range(10, 101, 10):
        counts = torch.bincount(labels[order[:length]], minlength=3)
        assert (counts - torch.tensor([0.6, 0.3, 0.1]) * length).abs().max() <= 1


def test_another_split_seed_gives_another_split() -> None:
    first, second = (splits_of(DATA, SplitSettings(split_seed=seed)) for seed in (0, 1))
    assert members(first.validation) != members(second.validation)


def test_validation_is_held_out_of_what_students_and_teacher_train_on() -> None:
    for teacher_samples in (None, 120, 240):
        splits = splits_of(DATA, SplitSettings(train_samples=120, teacher_samples=teacher_samples))
        assert len(splits.validation) == 12
        assert len(splits.train) == 108
        assert not members(splits.validation) & (members(splits.train) | members(splits.teacher))
        assert len(splits.teacher) == (teacher_samples or 120) - 12
        assert members(splits.train) <= members(splits.teacher)


def test_a_shared_teacher_learns_from_the_students_samples() -> None:
    splits = splits_of(DATA, SplitSettings())
    assert members(splits.teacher) == members(splits.train)


def test_a_disjoint_teacher_and_its_students_share_no_sample() -> None:
    splits = splits_of(DATA, SplitSettings(teacher_data="disjoint"))
    assert not members(splits.teacher) & (members(splits.train) | members(splits.validation))
    assert len(splits.teacher) == 120
    counts = torch.bincount(DATA.train.labels[splits.teacher], minlength=CLASSES)
    assert counts.max() - counts.min() <= 2


def test_a_disjoint_teacher_has_whole_groups_of_its_own() -> None:
    groups = torch.arange(240) // 24
    train = Samples(DATA.train.modalities, DATA.train.labels, groups)
    splits = splits_of(dataclasses.replace(DATA, train=train), SplitSettings(teacher_data="disjoint"))
    assert not members(groups[splits.teacher]) & members(groups[torch.cat([splits.train, splits.validation])])


def test_the_groups_of_students_and_teacher_hang_on_the_split_seed() -> None:
    groups = torch.arange(240) // 24
    train = Samples(DATA.train.modalities, DATA.train.labels, groups)
    data = dataclasses.replace(DATA, train=train)
    settings = [SplitSettings(split_seed=seed, teacher_data="disjoint") for seed in range(4)]
    assert len({frozenset(members(groups[splits_of(data, each).teacher])) for each in settings}) > 1


def test_few_labels_are_counted_with_those_of_validation_and_lie_within_more_labels() -> None:
    full = splits_of(DATA, SplitSettings())
    few = splits_of(DATA, SplitSettings(label_fraction=0.25))
    assert few.train.equal(full.train)
    assert few.teacher.equal(full.teacher)
    assert members(few.validation) <= members(full.validation)
    assert int(few.labelled.sum()) + len(few.validation) == pytest.approx(0.25 * 240, abs=1)
    more = splits_of(DATA, SplitSettings(label_fraction=0.5))
    assert bool((more.labelled | ~few.labelled).all())


def test_every_class_keeps_a_label_however_few_there_are() -> None:
    splits = splits_of(DATA, SplitSettings(label_fraction=0.005))
    assert members(DATA.train.labels[splits.train][splits.labelled]) == set(range(CLASSES))


@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_a_sample_without_a_label_is_never_one_whose_label_may_be_used(fraction: float) -> None:
    labels = torch.where(torch.arange(240) % 5 == 0, IGNORE, DATA.train.labels)
    splits = make_splits(labels, None, "some", SplitSettings(label_fraction=fraction))
    assert bool(splits.labelled.any())
    assert not bool((labels[splits.train][splits.labelled] == IGNORE).any())


def test_hidden_labels_are_not_among_the_train_labels() -> None:
    splits = splits_of(DATA, SplitSettings(label_fraction=0.1))
    labels = splits.train_labels(DATA.train.labels)
    assert labels[splits.labelled].equal(DATA.train.labels[splits.train][splits.labelled])
    assert bool((labels[~splits.labelled] == IGNORE).all())


def test_no_validation_trains_on_everything() -> None:
    splits = splits_of(DATA, SplitSettings(validation=0.0))
    assert (len(splits.train), len(splits.validation)) == (240, 0)


@pytest.mark.parametrize("settings", [SplitSettings(train_samples=1000), SplitSettings(teacher_samples=241)])
def test_more_samples_than_there_are_is_an_error_that_says_how_many_there_are(
    settings: SplitSettings,
) -> None:
    with pytest.raises(UserError, match="only 240"):
        splits_of(DATA, settings)


@pytest.mark.parametrize(
    ("settings", "groups", "expected"),
    [
        (SplitSettings(validation=0.15, label_fraction=0.5), None, "0100bc7cc9fb6caa0bc5020229f4b342"),
        (
            SplitSettings(1, validation=0.15, teacher_data="disjoint"),
            None,
            "2fe6bdf898f6d013aa2d6f9af00d32a0",
        ),
        (
            SplitSettings(1, validation=0.15, teacher_data="disjoint"),
            torch.arange(40) // 5,
            "0b4b0d1f567495d162b67333c6b2f0dd",
        ),
        (SplitSettings(validation=0.25, train_samples=35), None, "1e7046c4641352f961d5101b962bc952"),
    ],
)
def test_splits_stay_what_they_were_when_published_runs_were_made(
    settings: SplitSettings, groups: torch.Tensor | None, expected: str
) -> None:
    splits = make_splits(torch.arange(40) % 4, groups, "some", settings)
    found = {name: index.int().tolist() for name, index in vars(splits).items()}
    assert content_checksum(found) == expected
