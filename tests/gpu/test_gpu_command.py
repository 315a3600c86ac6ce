"""`make gpu` without a GPU: tiny and on the CPU it leaves its file; what can't be meant is a line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpu.__main__ import main
from tests.gpu.parts import ROOT, carried_out, counted, studied

TESTS = """
import pytest

pytestmark = pytest.mark.gpu

def test_good():
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_bad(number):
    print("number", number)
    assert number == 1

@pytest.mark.skip
def test_left_out():
    pass
"""
TINY = (
    *("--device", "cpu", "--dataset", "shapes", "--pair", "conv2d_4-conv2d_4", "--workers", "0"),
    *("--baselines", "scratch", "kd", "--batch-size", "16", "--steps", "2", "--repeats", "1"),
    *("--samples", "64", "--train-samples", "64", "--teacher-samples", "64", "--epochs", "1"),
    *("--teacher-epochs", "1"),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the whole command leaves, one of whose parts fails."""
    place = tmp_path_factory.mktemp("gpu")
    (place / "test_some.py").write_text(TESTS)
    code = main([*TINY, "--tests", str(place / "test_some.py"), "--json", str(place / "gpu.json")])
    assert code == 1
    return json.loads((place / "gpu.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_part_that_fails_says_so_and_the_others_run(report: dict[str, Any]) -> None:
    parts = report["parts"]
    assert [(name, part["outcome"]) for name, part in parts.items()] == [
        ("tests", "failed"), ("speed", "passed"), ("study", "passed"),
    ]  # fmt: skip
    assert (parts["tests"]["passed"], parts["tests"]["failed"], parts["tests"]["skipped"]) == (2, 1, 1)
    ((failed, told),) = parts["tests"]["failed_tests"].items()
    assert failed.endswith("test_some::test_bad[2]")
    assert "E       assert 2 == 1" in told
    assert "number 2" in told
    assert any("test_bad[2]" in line for line in parts["tests"]["last_lines"])
    assert sum(part["seconds"] for part in parts.values()) <= report["seconds"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_file_holds_machine_table_and_scores(report: dict[str, Any]) -> None:
    assert report["machine"]["versions"]["torch"] == str(torch.__version__)
    assert report["machine"]["device"] == "cpu"
    assert "tests.gpu" in report["machine"]["command"]
    table = report["parts"]["speed"]["report"]
    assert table["cohort"]["runs"].keys() == table["alone"].keys() == {"scratch", "kd"}
    assert table["fused"]["wall_ms"]["median"] > 0
    study = report["parts"]["study"]
    assert study["runs"].keys() == {"scratch", "kd"}
    assert all(0 <= run["scores"]["top1"] <= 100 for run in study["runs"].values())
    whole = sum(run["seconds"] for run in study["runs"].values())
    assert study["seconds_per_epoch"] == pytest.approx(whole)
    assert study["teacher"]["scores"]["top1"] >= 0
    assert study["epochs_of_runs_without_record"] == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_gpu_it_ends_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tests.gpu: no CUDA device is here")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--dataset", "cifar10"],
            "--data-dir: give the folder that holds cifar10, as in make gpu DATA=FOLDER",
        ),
        (["--dataset", "cifar10", "--data-dir", "nowhere"], "--data-dir nowhere: give the folder"),
        (["--dataset", "cifar11"], "did you mean cifar10"),
        (["--minutes", "0"], "--minutes 0.0: give a number above 0"),
        (["--epochs", "0"], "--epochs 0: give a whole number from 1 up"),
        (["--samples", "1"], "--samples 1: give a whole number from 2 up"),
        (["--batch-size", "1"], "--batch-size 1: give a whole number from 2 up"),
        (["--baselines", "all"], "--baselines: give the names themselves, such as scratch kd wcord"),
        (["--baselines"], "--baselines: give the names themselves, such as scratch kd wcord"),
        (["--baselines", "kd", "at", "kd"], "--baselines: kd is given twice: give it once"),
        (["--json", "nowhere/gpu.json"], "can't be written"),
    ],
    ids=[
        *("no folder", "other folder", "dataset", "minutes", "epochs", "samples", "batch size"),
        *("all baselines", "no baselines", "baseline twice", "file"),
    ],
)
def test_bad_input_is_a_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_part_whose_time_is_over_is_interrupted_and_keeps_its_last_lines() -> None:
    waits = (
        "import time\nprint('begun', flush=True)\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n"
        "    print('ended')\n    raise SystemExit(130) from None"
    )
    done = carried_out(["-c", waits], 4.0)
    assert (done.code, done.out_of_time, done.last_lines) == (130, True, ["begun", "ended"])
    assert 4 <= done.seconds < 30


def test_what_was_stopped_leaves_what_it_had(tmp_path: Path) -> None:
    assert counted(tmp_path / "tests.xml") == {}
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "history.jsonl").write_text("{}\n{}\n")
    assert studied(tmp_path / "runs", 3) == {"runs": {}, "epochs_of_runs_without_record": {"one": 2}}


def test_make_hands_the_folder_over() -> None:
    done = subprocess.run(
        ["make", "-n", "gpu", "DATA=some/where"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "-m tests.gpu --data-dir some/where" in done.stdout
