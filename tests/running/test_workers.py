"""Several processes: the same numbers as one, and a death costs what it must and no more."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import BaseContext
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmark.cli import main
from benchmark.planning.grid import make_plan
from benchmark.plugins import Registry, load
from benchmark.running import workers
from benchmark.running.display import PlainDisplay
from benchmark.running.ledger import Ledger
from benchmark.running.local import make_executor
from benchmark.running.orders import Order, balanced, parts_of
from benchmark.running.workers import WorkerPool, device_of
from benchmark.settings import parse
from tests.command import BARE, TINY, TINY_TASK, begun, forked, numbers, outcome, records, run, trials
from tests.running.test_followers import children_of

SETTINGS = [*TINY, *BARE]


@pytest.fixture
def cohorts(tmp_path: Path, registry: Registry):
    settings = parse([*SETTINGS, "--results-dir", str(tmp_path), "--seeds", "0", "1", "2", "3", "4"])
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
    """Workers start here as a user's do: from the command's main module."""
    names, seeds = ("scratch", "kd", "lckt"), ("--seeds", "0", "1", "2")
    assert run(tmp_path / "1", *seeds, baselines=names) == 0
    command = begun(tmp_path / "2", *seeds, "--baselines", *names, "--jobs", "2")
    told = command.communicate(timeout=400)
    assert command.returncode == 0, told
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


def test_what_is_recorded_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--seeds", "0", "1", "2")
    assert run(tmp_path, *arguments, baselines=("scratch", "kd")) == 0
    capsys.readouterr()
    assert run(tmp_path, *arguments, "--jobs", "2", baselines=("scratch", "kd")) == 0
    told = capsys.readouterr().out
    assert "[6/6 runs]" in told
    assert "epoch" not in told


def test_two_processes_tune_as_one_does(tmp_path: Path, quick_workers: None) -> None:
    tune = ("--seeds", "0", "--epochs", "4", "--tune", "4", "--validation", "0.3", "--plugin", TINY_TASK)
    for jobs in ("1", "2"):
        assert run(tmp_path / jobs, *tune, "--jobs", jobs, baselines=("scratch", "kd", "fitnet")) == 0
    one, two = trials(tmp_path / "1"), trials(tmp_path / "2")
    assert {name: outcome(each) for name, each in two.items()} == {
        name: outcome(each) for name, each in one.items()
    }
    sizes = {each.measurements.cohort_size for each in two.values() if each.status == "finished"}
    assert len(sizes) == 2, "they trained in one process"
    assert {slug: numbers(record) for slug, record in records(tmp_path / "2").items()} == {
        slug: numbers(record) for slug, record in records(tmp_path / "1").items()
    }


def test_a_run_that_kills_its_process_is_found_and_costs_no_other(
    tmp_path: Path, quick_workers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os, signal\nfrom benchmark import Distiller, baseline\n\n\n"
        '@baseline("deadly", title="Deadly", paper="Nobody, 2026")\n'
        "class Deadly(Distiller):\n"
        "    def forward(self, teacher, student, batch, progress):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arguments = ("--plugin", TINY_TASK, str(plugin), "--seeds", "0", "--jobs", "2")
    assert run(tmp_path, *arguments, baselines=("scratch", "deadly", "kd")) == 1
    recorded = {record.run.baseline: record.status for record in records(tmp_path).values()}
    assert recorded == {"scratch": "finished", "kd": "finished"}
    told = capsys.readouterr().out.splitlines()
    (line,) = (each for each in told if "deadly-seed0" in each and "failed" in each)
    assert "SIGKILL" in line


SLEEPER = """
import time
from pathlib import Path
from benchmark import Distiller, baseline


@baseline("sleeper", title="Sleeper")
class Sleeper(Distiller):
    def forward(self, teacher, student, batch, progress):
        if progress.step == 2:
            Path(__file__).with_name("asleep").touch()
            time.sleep({})
        return {{"sleeper": student.logits.square().mean()}}
"""


def with_forked_workers(arguments: list[str]) -> int:
    """The command; its workers begin at once."""
    workers.multiprocessing = SimpleNamespace(  # pyright: ignore[reportAttributeAccessIssue]
        get_context=lambda method: multiprocessing.get_context("fork")
    )
    return main(arguments)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("signals", "sleeps"), [(1, 1), (2, 100)], ids=["one", "two"])
def test_a_signal_to_all_processes_leaves_snapshots_and_a_second_one_does_not_wait(
    signals: int, sleeps: float, tmp_path: Path, forks: BaseContext
) -> None:
    """The workers are told twice each time: by whoever sent it, and by the command that they work for."""
    plugin, output, results = tmp_path / "sleeper.py", tmp_path / "told", tmp_path / "results"
    plugin.write_text(SLEEPER.format(sleeps))
    given = [
        *TINY[:4],
        str(plugin),
        *TINY[4:],
        *BARE,
        "--results-dir",
        str(results),
        "--seeds",
        "0",
        "--jobs",
        "2",
    ]
    process = forked(forks, output, with_forked_workers, [*given, "--baselines", "scratch", "sleeper"])
    assert process.pid is not None
    while not (tmp_path / "asleep").exists():
        assert process.is_alive(), output.read_text()
        time.sleep(0.02)
    everyone = [*(child for child, _ in children_of(process.pid)), process.pid]
    for each in everyone * signals:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGTERM)
        time.sleep(0.1)
    process.join(60)
    assert process.exitcode == 143, output.read_text()
    kept = {file.parent.name for file in results.glob("t/runs/*/snapshot.pt")}
    assert any("sleeper" in name for name in kept) == (signals == 1)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_what_can_not_be_meant_is_told_in_one_line_by_workers_too(
    tmp_path: Path, quick_workers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--jobs", "2", "--seeds", "0", "--set", "takd.assistant=nonsense")
    assert run(tmp_path, "--plugin", TINY_TASK, *arguments, baselines=("takd",)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "unknown architecture 'nonsense'" in line


def test_an_idle_process_that_dies_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_workers: None
) -> None:
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
    settings = parse([*SETTINGS, "--results-dir", str(tmp_path), "--jobs", "2", "--seeds", "0"])
    registry = load()
    plan = make_plan(settings, registry)
    display = PlainDisplay(Console(file=io.StringIO()))
    pool = WorkerPool(Ledger(settings.folder, registry), settings, display)
    pool.execute(plan.cohorts)
    assert killed
    assert pool.failures == []
    assert len(records(tmp_path)) == sum(len(cohort.runs) for cohort in plan.cohorts)
