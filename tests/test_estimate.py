"""The hours that a command, or the tables of a paper, would take on this device."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from benchmark.catalogue import estimate
from benchmark.planning.grid import make_plan
from benchmark.planning.specs import RunSpec
from benchmark.plugins import Registry
from benchmark.reporting.papers import load_papers
from benchmark.settings import parse
from benchmark.speed import Bench, Timing, bench_of
from tests.command import TINY, run

TABLE = {
    "title": "two methods", "shows": "pairs", "task": "tiny_task", "dataset": "stripes",
    "pairs": ["tiny_big-tiny_small"], "baselines": ["scratch", "kd"], "seeds": [0],
    "conditions": {"epochs": 1},
    "arguments": "--tasks tiny_task --datasets stripes --no-probes --no-report --epochs 1",
}  # fmt: skip


def test_an_estimate_grows_with_what_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> list[str]:
        assert run(tmp_path, "--dry-run", "--estimate", *arguments, baselines=("scratch", "kd")) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("estimate:")]

    few = told("--seeds", "0", "--epochs", "1")
    assert re.fullmatch(
        r"estimate: stripes tiny_big-tiny_small: .+ s of training, .+ s of it the teachers'", few[0]
    )
    assert "in all, in one process on this device" in few[-1]
    many = told("--seeds", *map(str, range(20)), "--epochs", "4000")
    assert " h" in many[-1] or " min" in many[-1]
    assert " h" not in few[-1]
    assert not (tmp_path / "t" / "runs").exists()


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a step took a second for each run of a cohort, and none for the teacher."""

    def timed(bench: Bench, runs: tuple[RunSpec, ...], steps: int) -> Timing:
        return Timing(1000.0 * len(runs), None, 0.0, {}, {}, 0.0)

    monkeypatch.setattr(Bench, "time", timed)
    monkeypatch.setattr(Bench, "time_teacher", lambda bench, steps: 0.0)
    monkeypatch.setattr(estimate, "show_seconds", lambda seconds: f"{seconds:g} s")


def total(results: Path, capsys: pytest.CaptureFixture[str], baselines: tuple[str, ...], *more: str) -> int:
    """The seconds in all of a dry run."""
    assert run(results, "--dry-run", "--estimate", *more, baselines=baselines) == 0
    (found,) = re.findall(r"estimate: (\d+) s in all", capsys.readouterr().out)
    return int(found)


def test_runs_that_do_not_apply_cost_nothing(
    a_second_each: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = total(tmp_path, capsys, ("kd",))
    assert alone > 0
    assert total(tmp_path, capsys, ("kd", "pseudo_label")) == alone
    assert total(tmp_path, capsys, ("pseudo_label",)) == 0


def test_tuning_costs_at_most_its_trials_and_every_run_once_more(
    a_second_each: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = total(tmp_path, capsys, ("scratch", "kd"))
    assert total(tmp_path, capsys, ("scratch", "kd"), "--tune", "3") == (1 + 3 + 1) * once
    two_seeds = total(tmp_path, capsys, ("scratch", "kd"), "--tune", "3", "--seeds", "0", "1")
    assert two_seeds == (2 + 3 + 2) * once
    assert run(tmp_path, "--dry-run", "--estimate", "--tune", "3") == 0
    assert "estimate: at most that" in capsys.readouterr().out


def test_what_applies_with_few_labels_is_told_from_what_does_with_all(
    a_second_each: None, tmp_path: Path, registry: Registry
) -> None:
    asked = [*TINY, "--results-dir", str(tmp_path), "--baselines", "pseudo_label"]
    meter = estimate.Meter(parse(asked), registry, print)
    found = []
    for more in ([], ["--label-fraction", "0.5"]):
        cohort = make_plan(parse([*asked, *more]), registry).cohorts[0]
        assert [run.baseline for run in cohort.runs] == ["pseudo_label"]
        (seconds,) = meter.seconds([cohort], {id(cohort): {run.name for run in cohort.runs}}).values()
        found.append(seconds.total)
    assert found[0] == 0 < found[1]


def test_what_is_timed_is_a_step_of_the_cohort_s_own_size_and_precision(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[tuple[int, int, str]] = []

    def time(bench: Bench, runs: tuple[RunSpec, ...], steps: int) -> Timing:
        sizes = (bench.batch_size, bench.materials.spec.teacher.recipe.batch_size)
        with bench.fabric.autocast():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        timed.append((*sizes, str(product.dtype)))
        return Timing(1.0, None, 0.0, {}, {}, 0.0)

    monkeypatch.setattr(Bench, "time", time)
    monkeypatch.setattr(Bench, "time_teacher", lambda bench, steps: 0.0)
    asked = [*TINY, "--results-dir", str(tmp_path), "--baselines", "scratch"]
    meter = estimate.Meter(parse(asked), registry, print)
    for more in (
        ["--batch-size", "4"],
        ["--batch-size", "8"],
        ["--batch-size", "8", "--set", "teacher_recipe.batch_size=2"],
        ["--batch-size", "8", "--precision", "bf16"],
        ["--batch-size", "4"],
    ):
        cohort = make_plan(parse([*asked, *more]), registry).cohorts[0]
        meter.seconds([cohort], {id(cohort): {run.name for run in cohort.runs}})
    (_, small, _), (_, large, _), *_ = timed
    assert timed == [
        (4, small, "torch.float32"),
        (8, large, "torch.float32"),
        (8, 2, "torch.float32"),
        (8, large, "torch.bfloat16"),
    ]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paper's list in the place of all others: a table, one of many epochs, one of absent data."""
    long = TABLE | {"arguments": f"{TABLE['arguments']}00000", "conditions": {"epochs": 100000}}
    far = TABLE | {
        "task": "compression", "dataset": "cifar100", "pairs": ["vgg13-vgg8"],
        "arguments": "--datasets cifar100 --data-dir NOWHERE --no-probes --no-report",
    }  # fmt: skip
    items = [each | {"number": f"Table {number}"} for number, each in enumerate((TABLE, long, far), start=1)]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"title": "A paper", "items": items}))
    monkeypatch.setattr(estimate, "load_papers", partial(load_papers, folder=tmp_path))


def test_each_table_of_a_paper_is_estimated_and_a_cohort_is_timed_once(
    tables: None, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []
    monkeypatch.setattr(estimate, "bench_of", lambda *what: timed.append(what) or bench_of(*what))
    settings = parse(["--figures", "mine", "--estimate", "--results-dir", str(tmp_path), "--name", "t"])

    def told() -> list[str]:
        return list(estimate.estimate_papers(settings, registry, print))

    few, many, absent = told()
    assert re.fullmatch(r"estimate: mine, Table 1: .+ s of training, .+ s of it the teachers'", few)
    assert re.fullmatch(r"estimate: mine, Table 2: .*(h|min).* of training, .* of it the teachers'", many)
    assert absent == "estimate: cifar100 is not here and not counted"
    assert len(timed) == 1
    assert run(tmp_path, "--epochs", "1", "--datasets", "stripes", baselines=("scratch", "kd")) == 0
    assert [line.split(":")[1] for line in told()] == [
        " mine, Table 2",
        " cifar100 is not here and not counted",
    ]
