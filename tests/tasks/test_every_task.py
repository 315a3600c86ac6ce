"""What every registered task keeps: presets and pairs that name what there is."""

from __future__ import annotations

import pytest

from benchmark.models import is_architecture
from benchmark.plugins import load

TASKS = [(name, preset) for name, task in load().tasks.items() for preset in task.presets()]


@pytest.mark.parametrize(("name", "preset"), TASKS)
def test_presets_name_datasets_and_pairs_that_there_are(name: str, preset: str, registry) -> None:
    task = registry.tasks[name]
    chosen = task.presets()[preset]
    assert set(chosen.datasets) <= task.datasets().keys()
    for dataset in chosen.datasets:
        assert set(chosen.pairs) <= task.pairs(dataset).keys(), dataset


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in TASKS))
def test_the_quick_preset_needs_nothing_on_disk(name: str, registry) -> None:
    task = registry.tasks[name]
    cards = task.datasets()
    for dataset in task.presets()["quick"].datasets:
        assert cards[dataset].synthetic
        assert not cards[dataset].requires


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in TASKS))
def test_every_dataset_has_pairs_of_networks_that_there_are(name: str, registry) -> None:
    task = registry.tasks[name]
    for dataset, card in task.datasets().items():
        pairs = task.pairs(dataset)
        assert pairs, dataset
        assert card.synthetic or card.requires, dataset
        for pair in pairs.values():
            assert is_architecture(pair.teacher)
            assert is_architecture(pair.student)
            assert pair.teacher_modalities
            assert pair.student_modalities
