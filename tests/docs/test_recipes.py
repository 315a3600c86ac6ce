"""The tables of presets and recipes on the page of the protocol are what the tasks declare."""

from __future__ import annotations

import re

import pytest

from benchmark import Preset, Recipe, plugins
from benchmark.plugins import Registry
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SHARES = {1.0: "", 0.25: "a quarter of the labels", 0.1: "a tenth of the labels"}
PRESETS = ("quick", "standard", "paper")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return plugins.load_tasks(installed_too=False)


def _rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, its head first."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def _tasks() -> list[str]:
    """The tasks of the table of presets; other tests may have registered more."""
    return [name.strip("`") for name in _rows("Presets")[0][1:]]


def _shown(recipe: Recipe) -> list[str]:
    """A recipe as the table's line has it, pairs left out."""
    names = {"sgd": "SGD" + ", Nesterov" * recipe.nesterov, "adamw": "AdamW"}
    steps = f"steps after {', '.join(f'{each:g}' for each in recipe.milestones)}"
    assert recipe.momentum == 0.9
    assert recipe.decay == 0.1
    assert recipe.warmup == {"cosine": 0.05, "steps": 0.0}[recipe.schedule]
    return [
        names[recipe.optimizer],
        f"{recipe.learning_rate:g}",
        steps if recipe.schedule == "steps" else recipe.schedule,
        str(recipe.batch_size),
        f"{recipe.weight_decay:g}",
        str(recipe.epochs),
    ]


def test_the_table_of_recipes_has_those_of_every_pair_and_no_other(registry: Registry) -> None:
    _, *rows = _rows("Recipes")
    told = {(re.findall(r"`(\w+)`", row[0])[0], *row[1:]) for row in rows}
    assert len(told) == len(rows)
    declared = {
        (name, *_shown(recipe))
        for name in _tasks()
        for task in [registry.tasks[name]]
        for dataset in task.datasets()
        for pair in task.pairs(dataset).values()
        for recipe in (pair.recipe, pair.teacher_recipe)
    }
    assert told == declared


def test_the_table_of_presets_says_what_each_runs(registry: Registry) -> None:
    head, *rows = _rows("Presets")
    assert [row[0].strip("`") for row in rows] == list(PRESETS)
    assert f"`{' '.join(registry.headline)}`" in PAGE
    for row in rows:
        for task, cell in zip(head[1:], row[1:], strict=True):
            preset = registry.tasks[task.strip("`")].presets()[row[0].strip("`")]
            assert _problems(preset, cell.replace("as `standard`", rows[1][head.index(task)])) == []


def _problems(preset: Preset, cell: str) -> list[str]:
    """What a preset has that its cell doesn't say."""
    epochs = f"{preset.epochs} epochs" if preset.epochs else "epochs"
    needed = [f"`{preset.datasets[0]}`", epochs, SHARES[preset.label_fraction]]
    if preset.train_samples:
        needed.append(f"{preset.train_samples} images")
    if len(preset.pairs) == 1:
        needed.append(f"`{preset.pairs[0]}`")
    if not preset.validation:
        needed.append("no validation")
    assert preset.seeds == (0, 1, 2, 3, 4)
    return [each for each in needed if each not in cell]
