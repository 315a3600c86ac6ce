"""Who may see which sample: train, validation and teacher splits, drawn from the split seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.contracts import IGNORE, Data, Samples
from benchmark.data.split_settings import SplitSettings
from benchmark.errors import UserError
from benchmark.seeds import derive, generator


@dataclass(frozen=True)
class Splits:
    """Indices into `Data.train`, each [n] int64; `labelled` [len(train)] bool marks the samples whose label a
    student may use."""

    train: Tensor
    labelled: Tensor
    validation: Tensor
    teacher: Tensor

    def train_labels(self, labels: Tensor) -> Tensor:
        """The labels of the train split [len(train), ...], IGNORE where a student may not use them."""
        own = labels[self.train]
        usable = self.labelled.view(-1, *[1] * (own.ndim - 1))
        return torch.where(usable, own, torch.full_like(own, IGNORE))


def open_test(data: Data) -> Samples:
    """The test split. The only way to it: called when a network is finished, never to choose anything."""
    return data.test


def splits_of(data: Data, settings: SplitSettings) -> Splits:
    """The splits of a loaded dataset (see `make_splits`)."""
    return make_splits(data.train.labels, data.train.groups, data.name, settings)


def make_splits(labels: Tensor, groups: Tensor | None, name: str, settings: SplitSettings) -> Splits:
    """Draws the splits of the samples with these `labels` [N] (dense tasks [N, ...]) and `groups` [N].

    Pools are prefixes of one stratified order, so that smaller ones lie within larger ones.

    Validation is held out before anything else and is the same region for every label fraction: one
    teacher, that saw none of it, serves them all. Raises UserError where the data has too few samples for
    what is asked.
    """
    own = others = torch.arange(len(labels))
    if settings.teacher_data == "disjoint":
        own, others = _halves(labels, groups, settings.split_seed)
    own = own[stratified_order(labels[own], settings.split_seed)]
    others = others[stratified_order(labels[others], settings.split_seed)]
    pool = _prefix(own, settings.train_samples, "--train-samples", name)
    held_out = round(settings.validation * len(pool))
    region, train = pool[:held_out], pool[held_out:]
    validation = region[: round(held_out * settings.label_fraction)]
    labelled = _choose_labelled(labels[train], settings.label_fraction)
    if not len(train):
        raise UserError(f"{name}: {len(pool)} samples leave none to train on: raise --train-samples")

    if settings.teacher_data == "disjoint":
        teacher = _prefix(others, settings.teacher_samples, "--teacher-samples", name)
    else:
        size = len(pool) if settings.teacher_samples is None else settings.teacher_samples
        teacher = _prefix(others, size, "--teacher-samples", name)
        teacher = teacher[~torch.isin(teacher, region)]
    if not len(teacher):
        raise UserError(f"{name}: no sample is left for the teacher: raise --teacher-samples")
    return Splits(train, labelled, validation, teacher)


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """A random order [N] of which every prefix holds the classes in their proportions, to within one sample
    each."""
    random = torch.rand(len(labels), generator=generator(seed, "split"), dtype=torch.float64)
    classes = labels if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    position = torch.empty(len(labels), dtype=torch.float64)
    for each in classes.unique():
        members = (classes == each).nonzero().flatten()
        rank = random[members].argsort().argsort()
        position[members] = (rank.double() + 0.5) / len(members)
    # Ties between classes are broken at random; the jitter is far smaller than the distance between ranks.
    return (position + 1e-9 * random).argsort()


def _prefix(order: Tensor, size: int | None, setting: str, name: str) -> Tensor:
    if size is None:
        return order
    if size > len(order):
        raise UserError(f"{setting} {size}: {name} has only {len(order)} samples there")
    return order[:size]


def _halves(labels: Tensor, groups: Tensor | None, seed: int) -> tuple[Tensor, Tensor]:
    """The students' and the teacher's half of the samples: stratified, or of whole groups where there are
    any."""
    if groups is None:
        order = stratified_order(labels, derive(seed, "halves"))
        return order[: -(-len(order) // 2)], order[-(-len(order) // 2) :]
    names = groups.unique()
    shuffled = names[torch.randperm(len(names), generator=generator(seed, "groups"))]
    for_students = torch.isin(groups, shuffled[0::2])
    return for_students.nonzero().flatten(), (~for_students).nonzero().flatten()


def _choose_labelled(labels: Tensor, fraction: float) -> Tensor:
    """Marks [n] a prefix of the (stratified) train order, and at least one sample of every class."""
    usable = labels != IGNORE if labels.ndim == 1 else (labels != IGNORE).flatten(1).any(1)
    if fraction >= 1:
        return usable
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[: round(fraction * len(labels))] = True
    if labels.ndim == 1:
        for each in labels[usable].unique():
            chosen[(labels == each).nonzero()[0]] = True
    return chosen & usable
