"""Plans: made without the data where it is known or missing, and never of data that has changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmark import DatasetCard, Request, UserError
from benchmark.plugins import Registry
from tests.command import records, run
from tests.tiny_task import TinyTask, tiny_data, tiny_samples


class Loads:
    """The embedded dataset of the tiny task, with a count of how often it is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.count = 0
        self.seed = 0
        cards = TinyTask.datasets

        def counted(task: TinyTask) -> dict[str, DatasetCard]:
            return {
                name: dataclasses.replace(card, load=self.load) if name == "stripes" else card
                for name, card in cards(task).items()
            }

        monkeypatch.setattr(TinyTask, "datasets", counted)

    def load(self, request: Request):
        self.count += 1
        data = tiny_data()
        if self.seed == 0:
            return data
        return dataclasses.replace(data, train=tiny_samples(240, self.seed), fingerprint=f"of {self.seed}")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    return Loads(monkeypatch)


def test_a_plan_over_known_data_reads_none(tmp_path: Path, loads: Loads, capsys) -> None:
    assert run(tmp_path, "--dry-run", baselines=("scratch", "kd")) == 0
    assert loads.count == 1
    for further in ((), ("--split-seeds", "7"), ("--label-fraction", "0.25"), ("--seeds", "4", "5")):
        assert run(tmp_path, "--dry-run", *further, baselines=("scratch", "kd")) == 0
    assert loads.count == 1
    assert "2 cohorts, 1 teacher, 4 runs: 0 recorded, 4 to do" in capsys.readouterr().out


def test_a_command_reads_its_data_once(tmp_path: Path, loads: Loads) -> None:
    assert run(tmp_path, "--seeds", "0", "1", baselines=("scratch",)) == 0
    assert loads.count == 1
    assert run(tmp_path, "--seeds", "0", "1", baselines=("scratch",)) == 0
    assert loads.count == 1


def test_data_that_changed_behind_its_plan_is_told_in_one_line_and_planned_anew(
    tmp_path: Path, loads: Loads, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, baselines=("scratch",)) == 0
    loads.seed = 3
    assert run(tmp_path, baselines=("kd",)) == 2
    line = capsys.readouterr().err
    assert "stripes has changed since it was planned" in line
    assert "give the same command again" in line
    assert len(line.strip().splitlines()) == 1
    assert run(tmp_path, baselines=("kd",)) == 0
    found = {record.run.baseline: record.provenance.data_fingerprint for record in records(tmp_path).values()}
    assert found == {"scratch": "tiny-stripes", "kd": "of 3"}


def test_a_plan_over_missing_data_is_printed_and_a_run_of_it_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(request: Request):
        raise UserError("stripes is real data: give --data-dir DIR")

    cards = TinyTask.datasets
    monkeypatch.setattr(
        TinyTask,
        "datasets",
        lambda task: {
            name: dataclasses.replace(card, load=missing, files=missing, synthetic=False)
            for name, card in cards(task).items()
        },
    )
    assert run(tmp_path, "--dry-run", baselines=("scratch", "kd")) == 0
    printed = capsys.readouterr().out
    assert "missing: stripes is real data: give --data-dir DIR" in printed
    assert "1 cohort, 1 teacher, 2 runs: 0 recorded, 2 to do" in printed
    assert run(tmp_path, baselines=("scratch", "kd")) == 2
    assert "give --data-dir DIR" in capsys.readouterr().err


def test_data_that_is_there_and_can_not_be_used_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(request: Request):
        raise UserError(f"{tmp_path}/a.png: can't be decoded")

    cards, file = TinyTask.datasets, tmp_path / "a.png"
    file.write_text("")
    monkeypatch.setattr(
        TinyTask,
        "datasets",
        lambda task: {
            name: dataclasses.replace(card, load=broken, files=lambda request: [file], synthetic=False)
            for name, card in cards(task).items()
        },
    )
    assert run(tmp_path, "--dry-run") == 0
    assert f"\nunusable: {file}: can't be decoded\n" in capsys.readouterr().out


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loads: Loads) -> None:
    file = tmp_path / "data.bin"
    file.write_text("one")
    cards = TinyTask.datasets
    monkeypatch.setattr(
        TinyTask,
        "datasets",
        lambda task: {
            name: dataclasses.replace(card, files=lambda request: [file], synthetic=False)
            for name, card in cards(task).items()
        },
    )
    for expected in (1, 1):
        assert run(tmp_path / "results", "--dry-run") == 0
        assert loads.count == expected
    file.write_text("another")
    assert run(tmp_path / "results", "--dry-run") == 0
    assert loads.count == 2


def test_verbose_lists_every_cohort(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--dry-run", "--verbose", "--seeds", "0", "1", baselines=("scratch", "kd")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("to do: scratch kd" in line for line in lines) == 2
    assert any("seed 1" in line for line in lines)


def test_a_value_outside_of_the_range_that_is_searched_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = ("kd.temperature=-1", "kd.weight=1e9", "kd.task_weight=0.5", "recipe.decay=0.5")
    assert run(tmp_path, "--dry-run", "--set", *values, "kd+fitnet.kd.weight=2", baselines=("kd",)) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")] == [
        "note: --set kd.temperature=-1 is outside of 1 to 20, where --tune searches",
        "note: --set kd.weight=1e+09 is outside of 0.1 to 10, where --tune searches",
    ]


def test_the_published_presets_are_planned_without_any_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], registry: Registry
) -> None:
    from benchmark.cli import main

    tasks = [name for name, task in registry.tasks.items() if type(task).__module__.startswith("tasks.")]
    assert main(["--preset", "paper", "--tasks", *tasks, "--dry-run", "--results-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("missing: ") == 3
    assert "690 runs: 0 recorded, 690 to do" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith("missing: "))


def test_split_seeds_make_splits_and_teachers_of_their_own(tmp_path: Path) -> None:
    seeds = ("--split-seeds", "0", "1", "--seeds", "0", "1")
    assert run(tmp_path, *seeds, "--label-fraction", "0.25", baselines=("kd",)) == 0
    found = [r for r in records(tmp_path).values() if r.run.baseline == "kd"]
    assert sorted((r.condition.split_seed, r.run.seed) for r in found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    teachers = {r.condition.split_seed: r.teacher.id for r in found}
    assert len(set(teachers.values())) == 2
    alone = tmp_path / "alone"
    assert (
        run(alone, "--split-seeds", "1", "--seeds", "1", "--label-fraction", "0.25", baselines=("kd",)) == 0
    )
    (again,) = (r for r in records(alone).values() if r.run.baseline == "kd")
    (before,) = (r for r in found if (r.condition.split_seed, r.run.seed) == (1, 1))
    assert again.results == before.results
