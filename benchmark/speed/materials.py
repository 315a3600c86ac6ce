"""What is timed: every run of a pair as one cohort, on random samples or on real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.contracts import Data, Pair, Request, Samples
from benchmark.data.feed import read_all
from benchmark.data.split_settings import SplitFacts, SplitSettings
from benchmark.data.splits import splits_of
from benchmark.errors import UserError, unknown
from benchmark.evaluation.accuracy import metrics_of
from benchmark.planning.datasets import DatasetChoice
from benchmark.planning.grid import PairPlanner
from benchmark.planning.hyperparameters import baseline_names
from benchmark.planning.overrides import parse_overrides
from benchmark.planning.specs import CohortSpec, DataSpec
from benchmark.plugins import Registry
from benchmark.seeds import generator
from benchmark.settings import Settings
from benchmark.speed.settings import Speed
from benchmark.training.materials import Materials


def make_materials(speed: Speed, registry: Registry) -> Materials:
    """Every run of the pair as one cohort. Raises UserError for unknown names and data that isn't there."""
    settings = Settings(
        baselines=speed.baselines, seeds=(0,), batch_size=speed.batch_size, precision=speed.precision
    )
    if speed.data_dir is None:
        choice, pair = _embedded(speed, registry)
        data = _random(choice.card.load(Request(cache=settings.cache)), speed)
    else:
        choice, pair, data = _real(speed, registry)
    split = SplitSettings(validation=0.0)
    spec = DataSpec(choice.task.name, choice.name, "", "stop", split, "", SplitFacts())
    planner = PairPlanner(settings, choice, spec, speed.pair, pair, parse_overrides((), registry))
    cohorts = list(planner.cohorts(baseline_names(settings, registry), registry))
    first = cohorts[0].runs[0]
    # Runs of other teachers (controls) cost the same with this one. Scratch is planned once more for each
    # method with first stages, with as many updates: its step is the same.
    runs = tuple(
        dataclasses.replace(run, teacher=first.teacher)
        for cohort in cohorts
        for run in cohort.runs
        if run.recipe == first.recipe
    )
    return Materials(
        CohortSpec(runs, probes=False),
        choice.task,
        choice.card,
        data,
        splits_of(data, split),
        metrics_of(choice.task, data),
        targets=None,
    )


def _choices(speed: Speed, registry: Registry, *, synthetic: bool) -> Iterator[tuple[DatasetChoice, Pair]]:
    """The datasets of that kind that have the pair, then those that can make it of two names.

    Raises UserError where there is none.
    """
    pairs: set[str] = set()
    datasets: set[str] = set()
    custom: list[tuple[DatasetChoice, Pair]] = []
    found = False
    for task in registry.tasks.values():
        for dataset, card in task.datasets().items():
            datasets.add(dataset)
            if speed.dataset not in ("", dataset):
                continue
            pairs |= task.pairs(dataset).keys()
            if card.synthetic != synthetic:
                continue
            choice = DatasetChoice(task, dataset, card, task.presets()["quick"], known=False)
            if speed.pair in task.pairs(dataset):
                found = True
                yield choice, task.pairs(dataset)[speed.pair]
            elif (pair := task.custom_pair(dataset, speed.pair)) is not None:
                custom.append((choice, pair))
    if speed.dataset and speed.dataset not in datasets:
        raise unknown("dataset", speed.dataset, datasets)
    yield from custom
    if not found and not custom:
        if speed.pair not in pairs:
            raise unknown("pair", speed.pair, pairs)
        which = (
            "an embedded dataset: give --data-dir" if synthetic else "a real dataset: leave --data-dir out"
        )
        raise UserError(f"the pair {speed.pair} is not one of {which}")


def _embedded(speed: Speed, registry: Registry) -> tuple[DatasetChoice, Pair]:
    return next(_choices(speed, registry, synthetic=True))


def _real(speed: Speed, registry: Registry) -> tuple[DatasetChoice, Pair, Data]:
    """The first real dataset of the pair that is in --data-dir, as many of its samples as are asked for."""
    missing: UserError | None = None
    for choice, pair in _choices(speed, registry, synthetic=False):
        try:
            data = choice.card.load(Request(data_dir=speed.data_dir))
        except UserError as error:
            missing = missing or error
            continue
        some = torch.randperm(len(data.train), generator=generator(0, "speed"))[: speed.samples]
        return choice, pair, dataclasses.replace(data, train=data.train.subset(some))
    assert missing is not None  # without any dataset the choices have raised
    raise missing


def _random(template: Data, speed: Speed) -> Data:
    """Samples of the template with random labels."""
    draw = generator(0, "speed")
    which = torch.randint(len(template.train), (speed.samples,), generator=draw)
    labels = torch.randint(speed.classes, (speed.samples, *template.train.labels.shape[1:]), generator=draw)
    values, modalities = read_all(template.train), dict(template.modalities)
    if speed.image_size is not None:
        for name, modality in modalities.items():
            if not modality.spatial or len(modality.shape) != 3 or template.dense:
                raise UserError(
                    f"--image-size: {name} of {template.name} is not the one image of a label: leave it out"
                )
            values[name] = _resized(values[name], speed.image_size)
            modalities[name] = dataclasses.replace(modality, shape=tuple(values[name].shape[1:]))
    return dataclasses.replace(
        template,
        train=Samples({name: x[which] for name, x in values.items()}, labels),
        classes=tuple(map(str, range(speed.classes))),
        modalities=modalities,
    )


def _resized(images: Tensor, side: int) -> Tensor:
    """[N, C, H, W] -> [N, C, side, side], of the same type."""
    return torch.cat([F.interpolate(x.float(), size=(side, side)).to(x.dtype) for x in images.split(256)])
