"""Shards: every run in one of them, each about as large, and together the whole grid."""

from __future__ import annotations

import os
from collections import Counter
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from benchmark import api
from benchmark.cli import main
from benchmark.errors import UserError
from benchmark.planning.grid import make_plan
from benchmark.plugins import Registry
from benchmark.running.sharding import own_first, shard
from benchmark.settings import Settings, parse
from tests.command import (
    BARE,
    ROOT,
    TINY,
    TINY_TASK,
    forked,
    numbers,
    outcome,
    records,
    run,
    trials,
    words,
)

SETTINGS = [*TINY, *BARE]
SBATCH = """#!/bin/bash
# Runs the array's jobs one after another on this machine, as Slurm would somewhere.
for i in $(seq 1 "$(sed -n 's/.*--array=1-//p' "$1")"); do SLURM_ARRAY_TASK_ID=$i bash "$1" || exit 1; done
echo "Submitted batch job 7"
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_run_is_in_one_shard_and_shards_are_alike(
    count: int, tmp_path: Path, registry: Registry
) -> None:
    settings = parse([*SETTINGS, "--results-dir", str(tmp_path), "--seeds", "0", "1", "2", "3", "4"])
    cohorts = make_plan(settings, registry).cohorts
    shards = [
        [each.slug for part in shard(cohorts, k + 1, count) for each in part.runs] for k in range(count)
    ]
    assert Counter(slug for each in shards for slug in each) == Counter(
        each.slug for cohort in cohorts for each in cohort.runs
    )
    assert max(map(len, shards)) - min(map(len, shards)) <= len(cohorts[0].runs)


def test_shards_one_after_another_leave_what_the_whole_command_leaves(tmp_path: Path) -> None:
    arguments, names = ("--seeds", "0", "1", "2"), ("scratch", "kd")
    assert run(tmp_path / "whole", *arguments, baselines=names) == 0
    counts = []
    for number in (2, 1, 3):
        assert (
            run(tmp_path / "parts", *arguments, "--shard", f"{number}/3", baselines=names, report=True) == 0
        )
        counts.append(len(records(tmp_path / "parts")))
    assert counts[0] < counts[1] < counts[2]
    assert not (tmp_path / "parts" / "t" / "tables").exists(), "a shard reported a part of the grid"
    whole, parts = records(tmp_path / "whole"), records(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for slug, record in parts.items():
        assert numbers(record) == numbers(whole[slug])


def test_shards_share_out_trials_and_choose_alike(tmp_path: Path) -> None:
    """The first one has nobody beside it and runs all of them; each begins with its own."""
    tune = ("--tune", "4", "--epochs", "4", "--validation", "0.3", "--seeds", "0", "1")
    names = ("scratch", "kd")
    assert run(tmp_path / "whole", *tune, baselines=names) == 0
    for number in (2, 1):
        assert run(tmp_path / "parts", *tune, "--shard", f"{number}/2", baselines=names) == 0
    whole, parts = records(tmp_path / "whole"), records(tmp_path / "parts")
    assert {slug: numbers(record) for slug, record in parts.items()} == {
        slug: numbers(record) for slug, record in whole.items()
    }
    assert {name: outcome(each) for name, each in trials(tmp_path / "parts").items()} == {
        name: outcome(each) for name, each in trials(tmp_path / "whole").items()
    }


def test_what_all_shards_need_is_begun_at_different_ends(tmp_path: Path, registry: Registry) -> None:
    settings = parse(
        [*SETTINGS, "--results-dir", str(tmp_path), "--tune", "4", "--baselines", "scratch", "kd"]
    )
    cohorts = make_plan(settings, registry).tuning
    orders = [own_first(cohorts, number, 2) for number in (1, 2)]
    baselines = [[{run.baseline for run in cohort.runs} for cohort in order] for order in orders]
    assert baselines == [[{"scratch"}, {"kd"}], [{"kd"}, {"scratch"}]]


def test_four_shards_at_once_train_each_run_and_each_teacher_once(tmp_path: Path, forks: BaseContext) -> None:
    results, output = tmp_path / "results", tmp_path / "told"
    grid = ("--baselines", "scratch", "kd", "--seeds", "0", "1", "2", "3", "--teacher-epochs", "1")
    shards = [
        forked(forks, output, main, words(results, *grid, "--shard", f"{number}/4"))
        for number in (1, 2, 3, 4)
    ]
    for each in shards:
        each.join(100)
    told = output.read_text()
    assert [each.exitcode for each in shards] == [0] * 4, told
    assert len(records(results)) == 8
    assert told.count("epoch 1/1") == 1, "the teacher was trained more than once"
    for history in (results / "t" / "runs").glob("*/history.jsonl"):
        assert len(history.read_text().splitlines()) == 2
    assert not list(results.rglob("*.lock"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_array_for_slurm_is_written_submitted_and_runs_the_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", '#!/bin/bash\nexec "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    names, jobs = ("scratch", "kd"), ("--plugin", TINY_TASK, "--seeds", "0", "1", "--jobs", "2")
    slurm = (*jobs, "--executor", "slurm", "--slurm", "partition=gpu", "time=1:00:00")
    path = os.environ["PATH"].split(os.pathsep)
    without = [part for part in path if not (Path(part) / "sbatch").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    assert run(tmp_path, *slurm, baselines=names) == 0
    script = (tmp_path / "t" / "slurm" / "array.sh").read_text()
    for line in ("--array=1-2", "--partition=gpu", "--time=1:00:00", "--requeue", "--signal=TERM@120"):
        assert f"#SBATCH {line}\n" in script
    assert "array.sh is written: hand it to sbatch" in capsys.readouterr().out.replace("\n", " ")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools), *path]))
    assert run(tmp_path, *slurm, baselines=names) == 0
    assert "Submitted batch job 7" in capsys.readouterr().out
    assert len(records(tmp_path)) == 4


def test_from_python_an_array_is_refused_with_the_command_that_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "train", lambda *_: pytest.fail("it trained"))
    settings = Settings(executor="slurm", jobs=2, slurm=("partition=gpu",), results_dir=tmp_path)
    with pytest.raises(UserError, match=r"run_all\.py .*--executor slurm .*--slurm partition=gpu"):
        api.run(settings)


@pytest.mark.parametrize(("shard", "reports"), [("", 1), ("1/2", 0)])
def test_from_python_as_from_the_command_line_a_shard_has_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: str, reports: int
) -> None:
    written = []
    monkeypatch.setattr(api, "train", lambda *_: None)
    monkeypatch.setattr(api, "write_report", lambda *_: written.append(True))
    api.run(Settings(shard=shard, results_dir=tmp_path))
    assert len(written) == reports


@pytest.mark.parametrize("options", [("partition", "cpu"), ("exclusive", "partition cpu"), ("mem",)])
def test_an_option_of_sbatch_without_its_value_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert run(tmp_path, "--executor", "slurm", "--slurm", *options) == 2
    line = " ".join(capsys.readouterr().err.split())
    assert "=VALUE, as in --slurm partition=gpu" in line
    assert not (tmp_path / "t" / "slurm" / "array.sh").exists()


def test_what_sbatch_refuses_is_told_in_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "sbatch").write_text("#!/bin/bash\necho 'invalid partition: moon' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert run(tmp_path, "--executor", "slurm", "--slurm", "partition=moon") == 2
    assert "invalid partition: moon; mend it with --slurm" in capsys.readouterr().err.replace("\n", " ")
