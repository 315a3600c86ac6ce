"""Several processes: the same numbers as one, and a death costs what it must and no more."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.planning.grid import make_plan
from benchmark.plugins import Registry, load
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import Ledger
from benchmark.running.local import make_executor
from benchmark.running.orders import Order, balanced, parts_of
from benchmark.running.workers import WorkerPool, device_of
from benchmark.settings import parse
from tests.command import numbers, outcome, records, run, trials

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("--tasks", "compression", "--datasets", "shapes", "--pairs", "conv2d_16-conv2d_8", "--name", "t"),
    *("--train-samples", "64", "--teacher-samples", "64", "--epochs", "2", "--teacher-epochs", "1"),
    *("--no-probes", "--no-report"),
]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: workers are started from a main module, as a user's are."""
    return subprocess.run(
        [sys.executable, "run_all.py", *SMALL, "--results-dir", str(folder), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip


@pytest.fixture
def cohorts(tmp_path: Path, registry: Registry):
    settings = parse([*SMALL, "--results-dir", str(tmp_path), "--seeds", "0", "1", "2", "3", "4"])
    return make_plan(settings, registry).cohorts


@pytest.mark.parametrize("jobs", [2, 3, 4, 8])
def test_every_run_is_ordered_once_and_no_worker_gets_much_more_than_its_share(jobs: int, cohorts) -> None:
    orders = balanced([(cohort, cohort.runs) for cohort in cohorts], jobs)
    ordered = Counter(run.slug for order in orders for run in order.runs)
    assert ordered == Counter(run.slug for cohort in cohorts for run in cohort.runs)
    for order in orders:
        assert all(run in order.cohort.runs for run in order.runs)
    loads = [0] * jobs
    for order in orders:
        loads[loads.index(min(loads))] += len(order.runs)
    assert max(loads) <= 1.05 * sum(ordered.values()) / jobs + 1
    if jobs < len(cohorts):
        assert sum(order.runs == order.cohort.runs for order in orders) >= len(cohorts) - jobs


def test_cohorts_of_unlike_size_are_shared_out_by_their_runs(cohorts) -> None:
    large, small = [(each, each.runs) for each in cohorts], [(each, each.runs[:1]) for each in cohorts]
    orders = balanced([*small, *large], 2)
    assert [len(order.runs) for order in orders] == [8, 8, 8, 8, 4, 4, 1, 1, 1, 1, 1]


def test_runs_that_train_alike_stay_together(cohorts) -> None:
    runs = cohorts[0].runs
    twins = [replace(run, tuning="tuned") for run in runs]
    parts = parts_of([*runs, *twins], 3)
    assert sum(map(len, parts)) == 2 * len(runs)
    where = [{run.training_id for run in part} for part in parts]
    assert all(not one & other for k, one in enumerate(where) for other in where[:k])


def test_an_order_that_can_not_be_halved_is_given_up(cohorts) -> None:
    run = cohorts[0].runs[0]
    twins = (run, replace(run, tuning="tuned"))
    trials = tuple(replace(run, tuning="trial", trial=number) for number in range(4))
    for runs in (twins, trials):
        assert parts_of(runs, 2) == [runs]
        assert Order(replace(cohorts[0], runs=runs), runs, attempt=2).after_a_death() == ()


def test_an_order_is_tried_twice_then_halved_until_one_run_is_left(cohorts) -> None:
    first = Order(cohorts[0], cohorts[0].runs)
    (second,) = first.after_a_death()
    assert (second.runs, second.attempt) == (first.runs, 2)
    halves = second.after_a_death()
    assert [each.attempt for each in halves] == [1, 1]
    assert sorted(run.name for each in halves for run in each.runs) == sorted(run.name for run in first.runs)
    alone = Order(cohorts[0], cohorts[0].runs[:1], attempt=2)
    assert alone.after_a_death() == ()
    assert Order(cohorts[0], attempt=2).after_a_death() == ()


def test_an_order_that_is_tried_again_leaves_alone_what_its_dead_worker_recorded(
    tmp_path: Path, registry: Registry
) -> None:
    assert run(tmp_path, baselines=("scratch", "kd")) == 0
    given = ["--tasks", "tiny_task", "--name", "t", "--no-probes", "--results-dir", str(tmp_path)]
    settings = parse([*given, "--baselines", "scratch", "kd", "lckt"])
    cohort = make_plan(settings, registry).cohorts[0]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("t/runs/*/record.json")}
    executor = make_executor(settings, registry, PlainDisplay(Console(quiet=True)))
    executor.perform(cohort, cohort.runs)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("t/runs/*/record.json")}
    assert after.items() >= before.items()
    (new,) = after.keys() - before.keys()
    assert "lckt" in new.parent.name


def test_a_worker_computes_on_the_device_that_is_named() -> None:
    assert device_of("cpu", 3) == "cpu"
    assert device_of("cuda:1", 3) == "cuda:1"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_leave_the_records_of_one(tmp_path: Path) -> None:
    arguments = ("--baselines", "scratch", "kd", "lckt", "--seeds", "0", "1", "2")
    for jobs in ("1", "2"):
        done = command(tmp_path / jobs, *arguments, "--jobs", jobs)
        assert done.returncode == 0, done.stderr
    one, two = records(tmp_path / "1"), records(tmp_path / "2")
    assert len(one) == 9
    assert {slug: numbers(record) for slug, record in one.items()} == {
        slug: numbers(record) for slug, record in two.items()
    }
    weights = [
        {
            path.parent.name: path.read_bytes()
            for path in (tmp_path / jobs).glob("t/runs/*/weights.safetensors")
        }
        for jobs in ("1", "2")
    ]
    assert weights[0] == weights[1]
    again = command(tmp_path / "2", *arguments, "--jobs", "2")
    assert "[9/9 runs]" in again.stdout
    assert "epoch" not in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_tune_as_one_does(tmp_path: Path) -> None:
    arguments = ("--baselines", "scratch", "kd", "fitnet", "--seeds", "0", "--epochs", "4", "--tune", "4")
    for jobs in ("1", "2"):
        done = command(tmp_path / jobs, *arguments, "--validation", "0.3", "--jobs", jobs)
        assert done.returncode == 0, done.stderr
    one, two = trials(tmp_path / "1"), trials(tmp_path / "2")
    assert {name: outcome(each) for name, each in two.items()} == {
        name: outcome(each) for name, each in one.items()
    }
    assert len({each.measurements.cohort_size for each in two.values()}) == 2, "they trained in one process"
    assert {slug: numbers(record) for slug, record in records(tmp_path / "2").items()} == {
        slug: numbers(record) for slug, record in records(tmp_path / "1").items()
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_kills_its_process_is_found_and_costs_no_other(tmp_path: Path) -> None:
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os, signal\nfrom benchmark import Distiller, baseline\n\n\n"
        '@baseline("deadly", title="Deadly", paper="Nobody, 2026")\n'
        "class Deadly(Distiller):\n"
        "    def forward(self, teacher, student, batch, progress):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = command(
        tmp_path,
        "--plugin",
        str(plugin),
        "--baselines",
        "scratch",
        "deadly",
        "kd",
        "--seeds",
        "0",
        "--jobs",
        "2",
    )
    assert done.returncode == 1, done.stderr
    recorded = {record.run.baseline: record.status for record in records(tmp_path).values()}
    assert recorded == {"scratch": "finished", "kd": "finished"}
    (line,) = (each for each in done.stdout.splitlines() if "deadly-seed0" in each and "failed" in each)
    assert "SIGKILL" in line


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_can_not_be_meant_is_told_in_one_line_by_workers_too(tmp_path: Path) -> None:
    done = command(
        tmp_path, "--baselines", "takd", "--jobs", "2", "--seeds", "0", "--set", "takd.assistant=nonsense"
    )
    assert done.returncode == 2
    assert "unknown architecture 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_idle_process_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one cohort for two processes after its teacher: whoever has nothing to do is killed once."""
    killed: list[int] = []
    give = WorkerPool._give

    def kill_idle(pool, worker, orders, awaited):
        give(pool, worker, orders, awaited)
        if worker.order is None and not killed:
            killed.append(worker.process.pid)
            worker.process.kill()
            worker.process.join()

    monkeypatch.setattr(WorkerPool, "_give", kill_idle)
    settings = parse([*SMALL, "--results-dir", str(tmp_path), "--jobs", "2", "--seeds", "0"])
    registry = load()
    plan = make_plan(settings, registry)
    display = PlainDisplay(Console(file=io.StringIO()))
    pool = WorkerPool(Ledger(settings.folder, registry), settings, display)
    pool.execute(plan.cohorts)
    assert killed
    assert pool.failures == []
    assert len(records(tmp_path)) == sum(len(cohort.runs) for cohort in plan.cohorts)
