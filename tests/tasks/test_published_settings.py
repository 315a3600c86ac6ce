"""What is published for a pair reaches its runs, under names and in ranges that the baselines declare."""

from __future__ import annotations

import pytest

from benchmark.contracts import Choice, Range
from benchmark.planning.hyperparameters import resolve_hyperparameters
from benchmark.plugins import Registry


def settings_of(registry: Registry):
    task = registry.task("compression")
    for name, pair in task.pairs("cifar100").items():
        for baseline, each in pair.hyperparameters.items():
            yield name, baseline, each


def test_every_published_setting_is_a_hyperparameter_of_its_baseline_within_its_range(registry: Registry):
    checked = 0
    for pair, baseline, each in settings_of(registry):
        assert each.source, (pair, baseline)
        for name, value in each.values.items():
            part, _, field = (
                f"{baseline}.{name}".rpartition(".") if "+" not in baseline else name.rpartition(".")
            )
            declared = registry.baseline(part).hyperparameters[field]
            assert type(value) is declared.type, (pair, baseline, name)
            if isinstance(declared.search, Range):
                assert declared.search.low <= value <= declared.search.high, (pair, baseline, name, value)
            elif isinstance(declared.search, Choice) and declared.searched:
                assert value in declared.search.values
            checked += 1
    assert checked > 50


@pytest.mark.parametrize(
    ("pair", "baseline", "name", "value"),
    [
        ("resnet56-resnet20", "dkd", "nckd_weight", 2.0),
        ("wrn_40_2-ShuffleV1", "wkd_l", "weight", 200.0),
        ("resnet32x4-resnet8x4", "wkd_l+wkd_f", "wkd_l.weight", 200.0),
        ("resnet32x4-resnet8x4", "wkd_l+wkd_f", "wkd_f.ratio", 8.0),
        ("wrn_40_2-ShuffleV1", "cat_kd", "normalize", True),
        ("vgg13-vgg8", "logit_standardization", "temperature", 3.0),
        ("resnet110-resnet32", "cat_kd+kd", "cat_kd.weight", 1.8),
    ],
)
def test_runs_of_the_pair_take_them(pair, baseline, name, value, registry: Registry):
    published = registry.task("compression").pairs("cifar100")[pair].hyperparameters
    parts = registry.parts(baseline)
    assert resolve_hyperparameters(parts, published, {})[name] == value
    assert resolve_hyperparameters(parts, published, {name: 0.25})[name] == 0.25
    assert resolve_hyperparameters(parts, {}, {})[name] != value
