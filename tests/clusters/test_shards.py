"""Shards: every run in one of them, each about as large, and together the whole grid."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmark.planning.grid import make_plan
from benchmark.plugins import Registry
from benchmark.running.sharding import own_first, shard
from benchmark.settings import parse
from tests.command import numbers, outcome, records, run, trials

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    *("--tasks", "compression", "--datasets", "shapes", "--pairs", "conv2d_16-conv2d_8", "--name", "t"),
    *("--train-samples", "64", "--teacher-samples", "64", "--epochs", "2", "--teacher-epochs", "1"),
    *("--no-probes", "--baselines", "scratch", "kd", "--seeds", "0", "1", "2", "3"),
)
SBATCH = """#!/bin/bash
# Runs the array's jobs one after another on this machine, as Slurm would somewhere.
for i in $(seq 1 "$(sed -n 's/.*--array=1-//p' "$1")"); do SLURM_ARRAY_TASK_ID=$i bash "$1" || exit 1; done
echo "Submitted batch job 7"
"""


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_run_is_in_one_shard_and_shards_are_alike(
    count: int, tmp_path: Path, registry: Registry
) -> None:
    settings = parse([*SMALL[:8], "--results-dir", str(tmp_path), "--seeds", "0", "1", "2", "3", "4"])
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
        [*SMALL[:8], "--results-dir", str(tmp_path), "--tune", "4", "--baselines", "scratch", "kd"]
    )
    cohorts = make_plan(settings, registry).tuning
    orders = [own_first(cohorts, number, 2) for number in (1, 2)]
    baselines = [[{run.baseline for run in cohort.runs} for cohort in order] for order in orders]
    assert baselines == [[{"scratch"}, {"kd"}], [{"kd"}, {"scratch"}]]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_four_shards_at_once_train_each_run_and_each_teacher_once(tmp_path: Path) -> None:
    shards = [
        subprocess.Popen(
            [sys.executable, "run_all.py", *SMALL, "--results-dir", str(tmp_path), "--shard", f"{number}/4"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in (1, 2, 3, 4)
    ]  # fmt: skip
    told = [each.communicate(timeout=380)[0] for each in shards]
    assert [each.returncode for each in shards] == [0] * 4, told
    assert len(records(tmp_path)) == 8
    assert "".join(told).count("epoch 1/1") == 1, "the teacher was trained more than once"
    for history in (tmp_path / "t" / "runs").glob("*/history.jsonl"):
        assert len(history.read_text().splitlines()) == 2
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_array_for_slurm_is_written_submitted_and_runs_the_grid(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", '#!/bin/bash\nexec "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    command = [sys.executable, "run_all.py", *SMALL, "--results-dir", str(tmp_path)]
    slurm = ["--executor", "slurm", "--jobs", "2", "--slurm", "partition=gpu", "time=1:00:00"]
    without = [part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "sbatch").exists()]
    written = subprocess.run(
        [*command, *slurm],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PATH": os.pathsep.join(without)},
    )
    assert written.returncode == 0, written.stderr
    script = (tmp_path / "t" / "slurm" / "array.sh").read_text()
    for line in ("--array=1-2", "--partition=gpu", "--time=1:00:00", "--requeue", "--signal=TERM@120"):
        assert f"#SBATCH {line}\n" in script
    assert "array.sh is written: hand it to sbatch" in written.stdout.replace("\n", " ")
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, *slurm], cwd=ROOT, capture_output=True, text=True, timeout=280, env=os.environ | path
    )
    assert done.returncode == 0, done.stderr
    assert "Submitted batch job 7" in done.stdout
    assert len(records(tmp_path)) == 8


def test_what_sbatch_refuses_is_told_in_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "sbatch").write_text("#!/bin/bash\necho 'invalid partition: moon' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert run(tmp_path, "--executor", "slurm", "--slurm", "partition=moon") == 2
    assert "invalid partition: moon; mend it with --slurm" in capsys.readouterr().err.replace("\n", " ")


def test_an_estimate_grows_with_what_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> list[str]:
        assert run(tmp_path, "--dry-run", "--estimate", *arguments, baselines=("scratch", "kd")) == 0
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("estimate:")]

    few = told("--seeds", "0", "--epochs", "1")
    assert few[0].startswith("estimate: stripes tiny_big-tiny_small: ")
    assert "in all, in one process on this device" in few[-1]
    many = told("--seeds", *map(str, range(20)), "--epochs", "4000")
    assert " h" in many[-1] or " min" in many[-1]
    assert " h" not in few[-1]
    assert not (tmp_path / "t" / "runs").exists()
